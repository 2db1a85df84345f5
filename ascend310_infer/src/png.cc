// PNG by libpng. libpng reports errors by longjmp, so that nothing with a destructor lives beside the calls.
#include <png.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "error.h"
#include "image.h"

namespace seg {
namespace {

constexpr size_t kMostPixels = size_t{1} << 28;

struct Failure {
  char text[160] = "";
};

void OnError(png_structp png, png_const_charp message) {
  auto* failure = static_cast<Failure*>(png_get_error_ptr(png));
  std::snprintf(failure->text, sizeof(failure->text), "%s", message);
  png_longjmp(png, 1);
}

void OnWarning(png_structp, png_const_charp) {}

// First half: the header. Returns false after an error.
bool ReadHeader(png_structp png, png_infop info, FILE* file) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_init_io(png, file);
  png_read_info(png, info);
  png_set_expand(png);  // palette and few bits to 8, transparency to alpha
  png_set_gray_to_rgb(png);
  png_set_strip_alpha(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  return true;
}

bool ReadRows(png_structp png, png_infop info, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_read_image(png, rows);
  png_read_end(png, info);  // a truncated file is noticed here at the latest
  return true;
}

// 16 bits to 8 by the depth that the largest value needs, as in training: `wide` is big-endian.
void Narrow(const std::vector<uint8_t>& wide, std::vector<uint8_t>* narrow) {
  int largest = 0, depth = 8;
  for (size_t i = 0; i < narrow->size(); ++i) largest = std::max(largest, wide[2 * i] << 8 | wide[2 * i + 1]);
  while (depth < 16 && largest >= 1 << depth) depth += 2;
  for (size_t i = 0; i < narrow->size(); ++i) {
    (*narrow)[i] = static_cast<uint8_t>((wide[2 * i] << 8 | wide[2 * i + 1]) >> (depth - 8));
  }
}

// EXIF's orientation, 1 to 8: tag 0x0112 of the first directory; 1 where there is none.
int Orientation(const uint8_t* exif, size_t size) {
  if (size < 8 || (std::memcmp(exif, "II*", 4) != 0 && std::memcmp(exif, "MM\0*", 4) != 0)) return 1;
  const bool little = exif[0] == 'I';
  auto number = [&](size_t place, int bytes) {
    size_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | exif[place + (little ? bytes - 1 - i : i)];
    return value;
  };
  const size_t directory = number(4, 4);
  if (directory + 2 > size) return 1;
  for (size_t i = 0, entry = directory + 2; i < number(directory, 2) && entry + 12 <= size; ++i, entry += 12) {
    if (number(entry, 2) != 0x0112) continue;
    const size_t found = number(entry + 2, 2) == 3 ? number(entry + 8, 2) : 1;
    return found >= 1 && found <= 8 ? static_cast<int>(found) : 1;
  }
  return 1;
}

// The picture as its EXIF orientation says that it is looked at.
Image Turned(const Image& stored, int orientation) {
  if (orientation == 1) return stored;
  const bool swapped = orientation >= 5;
  // Whether the stored rows run from the bottom, and the stored columns from the right, of the picture.
  const bool up = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  const bool left = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  Image picture;
  picture.width = swapped ? stored.height : stored.width;
  picture.height = swapped ? stored.width : stored.height;
  picture.rgb.resize(stored.rgb.size());
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const int row = up ? picture.height - 1 - y : y, column = left ? picture.width - 1 - x : x;
      const size_t from = swapped ? size_t(column) * stored.width + row : size_t(row) * stored.width + column;
      std::copy_n(stored.rgb.data() + 3 * from, 3, picture.rgb.data() + 3 * (size_t(y) * picture.width + x));
    }
  }
  return picture;
}

void Append(png_structp png, png_bytep data, png_size_t size) {
  auto* out = static_cast<std::vector<uint8_t>*>(png_get_io_ptr(png));
  out->insert(out->end(), data, data + size);
}

bool WriteRows(png_structp png, png_infop info, png_bytepp rows, int width, int height, int channels) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_IHDR(png, info, width, height, 8, channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_compression_level(png, 3);
  png_set_filter(png, 0, PNG_FILTER_NONE);  // label maps have long runs, which filters break
  png_write_info(png, info);
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  return true;
}

}  // namespace

Image ReadPng(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw UserError("image " + path + ": cannot be opened (" + std::strerror(errno) + ")");
  Failure failure;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &failure, OnError, OnWarning);
  png_infop info = png_create_info_struct(png);
  Image image;
  std::vector<uint8_t> wide;  // of 16 bits
  std::vector<png_bytep> rows;
  png_uint_32 exif_size = 0;
  png_bytep exif = nullptr;
  int orientation = 1;
  bool good = ReadHeader(png, info, file.get());
  const bool fits = !good || size_t{png_get_image_width(png, info)} * png_get_image_height(png, info) <= kMostPixels;
  if (good && fits) {
    image.width = static_cast<int>(png_get_image_width(png, info));
    image.height = static_cast<int>(png_get_image_height(png, info));
    const size_t row = png_get_rowbytes(png, info);
    image.rgb.resize(size_t{3} * image.width * image.height);
    if (row == size_t{6} * image.width) wide.resize(2 * image.rgb.size());
    uint8_t* pixels = wide.empty() ? image.rgb.data() : wide.data();
    for (int y = 0; y < image.height; ++y) rows.push_back(pixels + row * y);
    good = row == size_t(wide.empty() ? 3 : 6) * image.width && ReadRows(png, info, rows.data());
    if (good && png_get_eXIf_1(png, info, &exif_size, &exif) != 0) orientation = Orientation(exif, exif_size);
  }
  png_destroy_read_struct(&png, &info, nullptr);
  if (!fits) throw UserError("image " + path + ": has more than 2^28 pixels; make it smaller");
  if (!good) throw UserError("image " + path + ": is damaged or not a PNG (" + failure.text + "); replace it");
  if (!wide.empty()) Narrow(wide, &image.rgb);
  return Turned(image, orientation);
}

std::vector<uint8_t> EncodePng(const uint8_t* pixels, int width, int height, int channels) {
  Failure failure;
  std::vector<uint8_t> bytes;
  std::vector<png_bytep> rows;
  for (int y = 0; y < height; ++y) rows.push_back(const_cast<png_bytep>(pixels + size_t(y) * width * channels));
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &failure, OnError, OnWarning);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &bytes, Append, nullptr);
  const bool good = WriteRows(png, info, rows.data(), width, height, channels);
  png_destroy_write_struct(&png, &info);
  if (!good) throw std::runtime_error(std::string("a picture cannot be encoded: ") + failure.text);
  return bytes;
}

}  // namespace seg
