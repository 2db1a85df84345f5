// From decoded pixels to what a model's input wants.
#pragma once
#include <string>

#include "engine.h"
#include "image.h"

namespace seg {

struct Network {
  const char* name;
  int prediction;         // which of its outputs is the prediction, when it has several
  bool align_corners;     // how its logits are enlarged
  bool bgr;               // order of the channels
  float mean[3], std[3];  // input = (pixel - mean) / std, in that order
};

// Throws UserError for an unknown name.
const Network& FindNetwork(const std::string& name);

class Preprocessor {
 public:
  // Throws UserError when `input` is neither N x 3 x H x W float32 nor N x H x W x 3 uint8.
  Preprocessor(const Network& network, const TensorInfo& input);

  // Writes the image, resized, to place `slot` of the batch.
  void Fill(const Image& image, size_t slot, Bytes* batch) const;

 private:
  const Network& network_;
  bool pixels_;  // the model takes the pixels as they are
  int width_, height_;
};

}  // namespace seg
