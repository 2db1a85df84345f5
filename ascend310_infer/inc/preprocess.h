// From decoded pixels to what a model's input wants.
#pragma once
#include "description.h"
#include "engine.h"
#include "image.h"

namespace seg {

// Writes the image, resized, to place `slot` of a batch of the described input.
void Prepare(const ModelDescription& description, const Image& image, size_t slot, Bytes* batch);

}  // namespace seg
