// From logits to label maps.
#pragma once
#include <cstdint>
#include <vector>

#include "description.h"

namespace seg {

// The class of every pixel after logits (classes, height, width) were enlarged bilinearly to out_height x out_width,
// in MindSpore's arithmetic. The first of equal logits wins.
std::vector<uint8_t> EnlargedArgmax(const float* logits, int classes, int height, int width, int out_height,
                                    int out_width, bool align_corners);

// The colours of trainIds; those beyond the classes are black.
std::vector<uint8_t> Colorize(const std::vector<uint8_t>& labels, const std::vector<Color>& colors);

}  // namespace seg
