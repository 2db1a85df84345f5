// Pictures: PNG in and out, and Pillow's resizing.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace seg {

struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> rgb;  // height x width x 3
};

// Grey and palette images become RGB, an alpha channel is dropped, 16 bits become 8, and the picture is turned as its
// EXIF orientation says, as in training. Throws UserError: not a PNG, a damaged or a huge one.
Image ReadPng(const std::string& path);

// `channels` 1 (grey) or 3 (RGB). Returns the file's bytes.
std::vector<uint8_t> EncodePng(const uint8_t* pixels, int width, int height, int channels);

enum class Filter { kBicubic, kBilinear };

// Pillow's antialiased resizing of 8-bit images, bit for bit.
Image Resize(const Image& source, int width, int height, Filter filter);

}  // namespace seg
