// Pillow's resizing: two passes of integer weights with 22 fractional bits, rounded to 8 bits in between.
#include <algorithm>
#include <cmath>

#include "image.h"

namespace seg {
namespace {

constexpr int kFractionBits = 22;

double Cubic(double x) {  // Keys' kernel with a = -0.5
  x = std::fabs(x);
  if (x < 1) return ((1.5 * x) - 2.5) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0;
}

double Triangle(double x) { return std::max(1 - std::fabs(x), 0.0); }

// Output pixel i is the sum over k < count[i] of weight[i * width + k] * input[first[i] + k].
struct Weights {
  int width = 0;
  std::vector<int> first, count;
  std::vector<int32_t> weight;
};

Weights MakeWeights(int in, int out, Filter filter) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);  // the kernel grows when the image shrinks: antialiasing
  const auto kernel = filter == Filter::kBicubic ? Cubic : Triangle;
  const double support = (filter == Filter::kBicubic ? 2.0 : 1.0) * stretch;
  Weights result;
  result.width = static_cast<int>(std::ceil(support)) * 2 + 1;
  result.first.resize(out);
  result.count.resize(out);
  result.weight.assign(static_cast<size_t>(out) * result.width, 0);
  std::vector<double> row(result.width);
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(in, static_cast<int>(center + support + 0.5)) - first;
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      row[k] = kernel((k + first - center + 0.5) * (1.0 / stretch));
      sum += row[k];
    }
    for (int k = 0; k < count; ++k) {
      const double value = (sum != 0 ? row[k] / sum : row[k]) * (1 << kFractionBits);
      result.weight[static_cast<size_t>(i) * result.width + k] =
          static_cast<int32_t>(value < 0 ? value - 0.5 : value + 0.5);
    }
    result.first[i] = first;
    result.count[i] = count;
  }
  return result;
}

uint8_t Round(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255)); }

Image ResizeWidth(const Image& source, int width, Filter filter) {
  const Weights weights = MakeWeights(source.width, width, filter);
  Image result{width, source.height, std::vector<uint8_t>(size_t{3} * width * source.height)};
  for (int y = 0; y < source.height; ++y) {
    const uint8_t* row = &source.rgb[size_t{3} * source.width * y];
    uint8_t* out = &result.rgb[size_t{3} * width * y];
    for (int x = 0; x < width; ++x) {
      const int32_t* weight = &weights.weight[static_cast<size_t>(x) * weights.width];
      const uint8_t* in = row + 3 * weights.first[x];
      int32_t sum[3] = {1 << (kFractionBits - 1), 1 << (kFractionBits - 1), 1 << (kFractionBits - 1)};
      for (int k = 0; k < weights.count[x]; ++k) {
        for (int c = 0; c < 3; ++c) sum[c] += in[3 * k + c] * weight[k];
      }
      for (int c = 0; c < 3; ++c) out[3 * x + c] = Round(sum[c]);
    }
  }
  return result;
}

Image ResizeHeight(const Image& source, int height, Filter filter) {
  const Weights weights = MakeWeights(source.height, height, filter);
  const size_t stride = size_t{3} * source.width;
  Image result{source.width, height, std::vector<uint8_t>(stride * height)};
  std::vector<int32_t> sum(stride);
  for (int y = 0; y < height; ++y) {
    std::fill(sum.begin(), sum.end(), 1 << (kFractionBits - 1));
    for (int k = 0; k < weights.count[y]; ++k) {  // row by row, so that the inner loop runs along memory
      const int32_t weight = weights.weight[static_cast<size_t>(y) * weights.width + k];
      const uint8_t* in = &source.rgb[stride * (weights.first[y] + k)];
      for (size_t x = 0; x < stride; ++x) sum[x] += in[x] * weight;
    }
    uint8_t* out = &result.rgb[stride * y];
    for (size_t x = 0; x < stride; ++x) out[x] = Round(sum[x]);
  }
  return result;
}

}  // namespace

Image Resize(const Image& source, int width, int height, Filter filter) {
  if (source.width == width && source.height == height) return source;
  const Image wide = source.width == width ? source : ResizeWidth(source, width, filter);
  return wide.height == height ? wide : ResizeHeight(wide, height, filter);
}

}  // namespace seg
