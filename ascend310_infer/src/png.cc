// PNG by libpng. libpng reports errors by longjmp, so that nothing with a destructor lives beside the calls.
#include <png.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "error.h"
#include "image.h"

namespace seg {
namespace {

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
  png_set_strip_16(png);
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
  std::vector<png_bytep> rows;
  bool good = ReadHeader(png, info, file.get());
  if (good) {
    image.width = static_cast<int>(png_get_image_width(png, info));
    image.height = static_cast<int>(png_get_image_height(png, info));
    image.rgb.resize(size_t{3} * image.width * image.height);
    for (int y = 0; y < image.height; ++y) rows.push_back(image.rgb.data() + size_t{3} * image.width * y);
    good = png_get_rowbytes(png, info) == size_t{3} * image.width && ReadRows(png, info, rows.data());
  }
  png_destroy_read_struct(&png, &info, nullptr);
  if (!good) throw UserError("image " + path + ": is damaged or not a PNG (" + failure.text + "); replace it");
  return image;
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
