// Batch norm of a training step with what follows it, as MindSpore custom operators ("aot"): the ReLU, and the sum with a
// shortcut before that. One pass over the map for what would be three kernels, and two for their derivatives.
#include <algorithm>
#include <cmath>

#include "threads.h"

namespace {
constexpr int64_t ENOUGH = 1 << 14;  // numbers of a map for which a second thread is worth its start
constexpr int64_t CHUNK = 1 << 12;   // numbers that are summed in float32; sums of chunks in float64

struct Map {  // (N, C, pixels), plain
  int64_t images, channels, pixels;
  explicit Map(const int64_t* shape) : images(shape[0]), channels(shape[1]), pixels(shape[2] * shape[3]) {}
  int64_t start(int64_t image, int64_t channel) const { return (image * channels + channel) * pixels; }
  double count() const { return double(images) * double(pixels); }
};

// Every channel is the work of one thread, so that sums do not depend on the number of threads.
template <class Work>
void each_channel(const Map& map, const Work& work) {
  int64_t parts = map.images * map.channels * map.pixels < ENOUGH ? 1 : std::min<int64_t>(pool().threads, map.channels);
  pool().parallel_for(int(parts), [&](int part, int count) {
    for (int64_t c = map.channels * part / count; c < map.channels * (part + 1) / count; c++) work(c);
  });
}

// The sum of term(index) over a channel's numbers.
template <class Term>
double sum(const Map& map, int64_t channel, const Term& term) {
  double total = 0;
  for (int64_t n = 0; n < map.images; n++) {
    int64_t first = map.start(n, channel), end = first + map.pixels;
    for (int64_t at = first; at < end; at += CHUNK) {
      float part = 0;
      int64_t last = std::min(at + CHUNK, end);
#pragma omp simd reduction(+ : part)
      for (int64_t i = at; i < last; i++) part += term(i);
      total += part;
    }
  }
  return total;
}

template <class Write>
void write(const Map& map, int64_t channel, const Write& one) {
  for (int64_t n = 0; n < map.images; n++) {
    int64_t first = map.start(n, channel), end = first + map.pixels;
#pragma omp simd
    for (int64_t i = first; i < end; i++) one(i);
  }
}
}  // namespace

// x, gamma, beta, running mean and variance, [shortcut], place (epsilon, share of the new, whether a ReLU follows)
// -> y, (2, C) mean and inverse deviation of the batch; running mean and variance are changed
extern "C" int normalise(int count, void** data, int*, int64_t** shapes, const char**, void*, void*) {
  return guarded("normalise", [&] {
    float** f = (float**)data;
    const Map map(shapes[0]);
    const bool adds = count == 9;
    const float *x = f[0], *gamma = f[1], *beta = f[2], *shortcut = f[5];
    const float *place = f[5 + adds], epsilon = place[0], share = place[1];
    const bool relu = place[2] > 0;
    float *mean = f[3], *variance = f[4], *y = f[6 + adds], *kept = f[7 + adds];
    each_channel(map, [&](int64_t c) {
      const float middle = float(sum(map, c, [=](int64_t i) { return x[i]; }) / map.count());
      const double squares = sum(map, c, [=](int64_t i) { return (x[i] - middle) * (x[i] - middle); });
      const float inverse = float(1 / std::sqrt(squares / map.count() + epsilon));
      const float scale = gamma[c] * inverse, shift = beta[c];
      kept[c] = middle;
      kept[map.channels + c] = inverse;
      mean[c] += share * (middle - mean[c]);
      variance[c] += share * (float(squares / std::max(map.count() - 1, 1.0)) - variance[c]);
      if (adds)
        write(map, c, [=](int64_t i) { y[i] = std::max((x[i] - middle) * scale + shift + shortcut[i], 0.0f); });
      else if (relu)
        write(map, c, [=](int64_t i) { y[i] = std::max((x[i] - middle) * scale + shift, 0.0f); });
      else
        write(map, c, [=](int64_t i) { y[i] = (x[i] - middle) * scale + shift; });
    });
  });
}

// x, y, derivative by y, gamma, kept (2, C), place -> derivatives by x, gamma, beta, [shortcut]
extern "C" int normalise_back(int count, void** data, int*, int64_t** shapes, const char**, void*, void*) {
  return guarded("normalise_back", [&] {
    float** f = (float**)data;
    const Map map(shapes[0]);
    const float *x = f[0], *y = f[1], *slope = f[2], *gamma = f[3], *kept = f[4], *place = f[5];
    const bool relu = place[2] > 0;
    float *by_x = f[6], *by_gamma = f[7], *by_beta = f[8], *by_shortcut = count == 10 ? f[9] : nullptr;
    each_channel(map, [&](int64_t c) {
      const float middle = kept[c], inverse = kept[map.channels + c];
      const auto passed = [=](int64_t i) { return relu && !(y[i] > 0) ? 0.0f : slope[i]; };
      const double total = sum(map, c, passed);
      const double along = sum(map, c, [=](int64_t i) { return passed(i) * (x[i] - middle); });
      by_beta[c] = float(total);
      by_gamma[c] = float(along * inverse);
      const float scale = gamma[c] * inverse, offset = float(total / map.count());
      const float tilt = float(along / map.count() * inverse * inverse);
      if (by_shortcut) write(map, c, [=](int64_t i) { by_shortcut[i] = passed(i); });
      write(map, c, [=](int64_t i) { by_x[i] = scale * (passed(i) - offset - (x[i] - middle) * tilt); });
    });
  });
}
