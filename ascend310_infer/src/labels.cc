// Enlarging, argmax and colours.
#include "labels.h"

#include <algorithm>
#include <cmath>

namespace seg {
namespace {

struct Tap {  // value = low + (high - low) * fraction
  int low, high;
  float fraction;
};

std::vector<Tap> MakeTaps(int in, int out, bool align_corners) {
  const float scale = align_corners && out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1)
                                               : static_cast<float>(in) / static_cast<float>(out);
  std::vector<Tap> taps(out);
  for (int i = 0; i < out; ++i) {
    const float position = align_corners ? i * scale : (static_cast<float>(i) + 0.5F) * scale - 0.5F;
    const float floor = std::floor(position);
    const int low = std::max(static_cast<int>(floor), 0);
    taps[i] = {std::min(low, in - 1), std::min(static_cast<int>(floor) + 1, in - 1), position - floor};
    taps[i].high = std::max(taps[i].high, 0);
  }
  return taps;
}

}  // namespace

std::vector<uint8_t> EnlargedArgmax(const float* logits, int classes, int height, int width, int out_height,
                                    int out_width, bool align_corners) {
  const std::vector<Tap> rows = MakeTaps(height, out_height, align_corners);
  const std::vector<Tap> columns = MakeTaps(width, out_width, align_corners);
  const size_t plane = static_cast<size_t>(height) * width;
  // A source row of all classes, stretched to the output's width; two of them serve many output rows.
  std::vector<float> low(static_cast<size_t>(classes) * out_width), high(low.size()), best(out_width);
  int low_row = -1, high_row = -1;
  auto stretch = [&](int row, std::vector<float>* out) {
    for (int c = 0; c < classes; ++c) {
      const float* in = logits + plane * c + static_cast<size_t>(row) * width;
      float* to = out->data() + static_cast<size_t>(c) * out_width;
      for (int x = 0; x < out_width; ++x) {
        const Tap& tap = columns[x];
        to[x] = in[tap.low] + (in[tap.high] - in[tap.low]) * tap.fraction;
      }
    }
  };
  std::vector<uint8_t> labels(static_cast<size_t>(out_height) * out_width, 0);
  for (int y = 0; y < out_height; ++y) {
    const Tap& tap = rows[y];
    if (tap.low == high_row) {
      std::swap(low, high);
      std::swap(low_row, high_row);
    }
    if (tap.low != low_row) stretch(low_row = tap.low, &low);
    if (tap.high != high_row) stretch(high_row = tap.high, &high);
    uint8_t* out = labels.data() + static_cast<size_t>(y) * out_width;
    for (int c = 0; c < classes; ++c) {
      const float* a = low.data() + static_cast<size_t>(c) * out_width;
      const float* b = high.data() + static_cast<size_t>(c) * out_width;
      for (int x = 0; x < out_width; ++x) {
        const float value = a[x] + (b[x] - a[x]) * tap.fraction;
        const bool better = c == 0 || value > best[x];
        best[x] = better ? value : best[x];
        out[x] = better ? static_cast<uint8_t>(c) : out[x];
      }
    }
  }
  return labels;
}

std::vector<uint8_t> Colorize(const std::vector<uint8_t>& labels, const std::vector<Color>& colors) {
  std::vector<uint8_t> rgb(labels.size() * 3, 0);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < colors.size()) std::copy_n(colors[labels[i]].data(), 3, rgb.data() + 3 * i);
  }
  return rgb;
}

}  // namespace seg
