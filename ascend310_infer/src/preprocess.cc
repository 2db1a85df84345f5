// The inputs of the networks, as src/export/deploy.py describes them.
#include "preprocess.h"

#include <cstring>

#include "error.h"

namespace seg {
namespace {

constexpr Network kNetworks[] = {
    {"deeplab_multi", 1, true, true, {104.00698793F, 116.66876762F, 122.67891434F}, {1, 1, 1}},
    {"icnet", 0, true, false, {123.675F, 116.28F, 103.53F}, {58.395F, 57.12F, 57.375F}},
    {"pointrend", 1, false, true, {103.53F, 116.28F, 123.675F}, {1, 1, 1}},
};

}  // namespace

const Network& FindNetwork(const std::string& name) {
  std::string names;
  for (const Network& network : kNetworks) {
    if (name == network.name) return network;
    names += (names.empty() ? "" : ", ") + std::string(network.name);
  }
  throw UserError("network: '" + name + "' is unknown; there is " + names);
}

Preprocessor::Preprocessor(const Network& network, const TensorInfo& input) : network_(network) {
  const auto& shape = input.shape;
  pixels_ = shape.size() == 4 && input.type == Type::kUint8 && shape[3] == 3;
  const bool planes = shape.size() == 4 && input.type == Type::kFloat32 && shape[1] == 3;
  if (!pixels_ && !planes) {
    throw UserError("the model's input is " + ToText(input) + "; Nx3xHxW float32 or NxHxWx3 uint8 is needed");
  }
  height_ = static_cast<int>(shape[pixels_ ? 1 : 2]);
  width_ = static_cast<int>(shape[pixels_ ? 2 : 3]);
}

void Preprocessor::Fill(const Image& image, size_t slot, Bytes* batch) const {
  const Image resized = ResizeBicubic(image, width_, height_);
  const size_t count = static_cast<size_t>(width_) * height_;
  if (pixels_) {
    std::memcpy(batch->data() + slot * count * 3, resized.rgb.data(), count * 3);
    return;
  }
  auto* out = reinterpret_cast<float*>(batch->data()) + slot * count * 3;
  for (int c = 0; c < 3; ++c, out += count) {
    const uint8_t* in = resized.rgb.data() + (network_.bgr ? 2 - c : c);
    const float mean = network_.mean[c], std = network_.std[c];
    for (size_t i = 0; i < count; ++i) out[i] = (static_cast<float>(in[3 * i]) - mean) / std;
  }
}

}  // namespace seg
