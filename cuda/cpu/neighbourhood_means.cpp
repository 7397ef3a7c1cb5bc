// Loops of means over squares: running sums, so that every radius costs the same. Sums are float64: each row of the
// grid goes through one.
#include "../neighbourhood_means.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int64_t ROWS = 8;     // a thread's piece along
constexpr int64_t STRIP = 128;  // floats: a thread's piece down

struct Shape {
  int64_t height, width, channels;
};

void along(const float* row, const Shape& shape, int64_t radius, double* sums, float* result) {
  const int64_t channels = shape.channels;
  const double share = 1.0 / (double)(2 * radius + 1);
  std::fill(sums, sums + channels, 0.0);
  for (int64_t x = -radius; x <= radius; ++x)
    for (int64_t c = 0; c < channels; ++c) sums[c] += row[wrapped(x, shape.width) * channels + c];
  for (int64_t x = 0; x < shape.width; ++x) {
    const float* enters = row + wrapped(x + radius + 1, shape.width) * channels;
    const float* leaves = row + wrapped(x - radius, shape.width) * channels;
    for (int64_t c = 0; c < channels; ++c) {
      result[x * channels + c] = (float)(sums[c] * share);
      sums[c] += (double)enters[c] - (double)leaves[c];
    }
  }
}

void down(const float* grid, int64_t begin, int64_t end, const Shape& shape, int64_t radius, float* result) {
  const int64_t row = shape.width * shape.channels, count = end - begin;
  const double share = 1.0 / (double)(2 * radius + 1);
  double sums[STRIP] = {};
  for (int64_t y = -radius; y <= radius; ++y) {
    const float* from = grid + reflected(y, shape.height) * row + begin;
    for (int64_t i = 0; i < count; ++i) sums[i] += from[i];
  }
  for (int64_t y = 0; y < shape.height; ++y) {
    const float* enters = grid + reflected(y + radius + 1, shape.height) * row + begin;
    const float* leaves = grid + reflected(y - radius, shape.height) * row + begin;
    float* to = result + y * row + begin;
    for (int64_t i = 0; i < count; ++i) {
      to[i] = (float)(sums[i] * share);
      sums[i] += (double)enters[i] - (double)leaves[i];
    }
  }
}

}  // namespace

// `radius` below half of the width and of the height.
SCENEKIT_EXPORT void scenekit_neighbourhood_means(const float* grid, int64_t height, int64_t width, int64_t channels,
                                                  int64_t radius, float* result) {
  const Shape shape{height, width, channels};
  const int64_t row = width * channels;
  std::unique_ptr<float[]> memory(new float[(size_t)(height * row)]);
  float* halfway = memory.get();
  parallel(height, ROWS, [=](int64_t begin, int64_t end, int) {
    std::vector<double> sums((size_t)channels);
    for (int64_t y = begin; y < end; ++y)
      along(grid + y * row, shape, radius, sums.data(), halfway + y * row);
  });
  parallel(row, STRIP, [=](int64_t begin, int64_t end, int) { down(halfway, begin, end, shape, radius, result); });
}
