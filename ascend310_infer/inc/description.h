// The file X.json beside a model X.onnx, X.om, ...: what its images and outputs look like. export.py writes it.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine.h"
#include "image.h"

namespace seg {

using Color = std::array<uint8_t, 3>;  // red, green, blue

struct ModelDescription {
  std::string path;            // of the description itself
  bool pixels = false;         // the model takes N x H x W x 3 uint8 RGB, not N x 3 x H x W float32
  int height = 0, width = 0;   // of its input
  bool bgr = false;            // order of the channels
  std::array<float, 3> mean{}, std{};  // input = (pixel - mean) / std, in that order
  Filter resize = Filter::kBicubic;
  size_t outputs = 0;
  size_t prediction = 0;       // which output it is
  bool aligned_corners = false;
  bool argmax = false;         // outputs are label maps, not logits
  std::vector<Color> colors;   // of the classes
};

// Throws UserError: the file is missing, damaged or of another format.
ModelDescription ReadDescription(const std::string& model_path);

// Throws UserError when the model's input or outputs are not what its description says.
void CheckModel(const ModelDescription& description, const Engine& engine);

}  // namespace seg
