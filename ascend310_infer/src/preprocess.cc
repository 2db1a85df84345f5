// The same pixels as ModelDescription.prepare of src/export/description.py.
#include "preprocess.h"

#include <cstring>

namespace seg {

void Prepare(const ModelDescription& description, const Image& image, size_t slot, Bytes* batch) {
  const Image resized = Resize(image, description.width, description.height, description.resize);
  const size_t count = static_cast<size_t>(description.width) * description.height;
  if (description.pixels) {
    std::memcpy(batch->data() + slot * count * 3, resized.rgb.data(), count * 3);
    return;
  }
  auto* out = reinterpret_cast<float*>(batch->data()) + slot * count * 3;
  for (size_t c = 0; c < 3; ++c, out += count) {
    const uint8_t* in = resized.rgb.data() + (description.bgr ? 2 - c : c);
    const float mean = description.mean[c], std = description.std[c];
    for (size_t i = 0; i < count; ++i) out[i] = (static_cast<float>(in[3 * i]) - mean) / std;
  }
}

}  // namespace seg
