// Loops of the structural similarity index. A row of pixels with its channels beside each other is one row of
// floats: neighbours in x stand a pixel's channels apart, so any number of channels runs in full lanes. Each
// output row is blurred down its eleven rows first, then along, from buffers with zeros at either end.
#include "../ssim.h"

#include <memory>
#include <vector>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int TAPS = 2 * SSIM_RADIUS + 1;
constexpr int64_t GRAIN = 8;  // rows
constexpr float TAP[TAPS] = {ssim_tap(0), ssim_tap(1), ssim_tap(2), ssim_tap(3), ssim_tap(4), ssim_tap(5),
                             ssim_tap(6), ssim_tap(7), ssim_tap(8), ssim_tap(9), ssim_tap(10)};

struct Shape {
  int64_t height, row, channels;  // `row` floats a row
};

template <class T> SK_LEAF T read(const float* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

// Calls body(tag, i) over [0, count), first in full registers, then one by one; the tag has the lane's type.
template <class Body> SK_LEAF void sweep(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + WIDTH <= count; i += WIDTH) body(Wide{}, i);
  for (; i < count; ++i) body(float{}, i);
}

// N rows of floats, each with the radius of zeros at both ends.
template <int N> class Rows {
 public:
  explicit Rows(const Shape& shape)
      : channels_(shape.channels), stride_(shape.row + 2 * SSIM_RADIUS * shape.channels), memory_(N * stride_, 0.0f) {}
  float* inside(int n) { return memory_.data() + n * stride_ + SSIM_RADIUS * channels_; }

  // Blurred along the row, at float `i`.
  template <class T> SK_LEAF void blur(int64_t i, T (&result)[N]) const {
    for (int n = 0; n < N; ++n) {
      const float* from = memory_.data() + n * stride_ + i;
      T sum = read<T>(from) * TAP[0];
      for (int k = 1; k < TAPS; ++k) sum += read<T>(from + k * channels_) * TAP[k];
      result[n] = sum;
    }
  }

 private:
  int64_t channels_, stride_;
  std::vector<float> memory_;
};

struct Window {
  int64_t first, last;  // rows about y that exist, relative to it
};

Window window_at(int64_t y, const Shape& shape) {
  Window w{-SSIM_RADIUS, SSIM_RADIUS};
  if (y + w.first < 0) w.first = -y;
  if (y + w.last >= shape.height) w.last = shape.height - 1 - y;
  return w;
}

void moments_down(const float* x, const float* y, int64_t at, const Shape& shape, Rows<5>& rows) {
  Window w = window_at(at, shape);
  float* to[5] = {rows.inside(0), rows.inside(1), rows.inside(2), rows.inside(3), rows.inside(4)};
  sweep(shape.row, [&](auto lane, int64_t i) __attribute__((always_inline)) {
    using T = decltype(lane);
    T sums[5] = {};
    for (int64_t k = w.first; k <= w.last; ++k) {
      int64_t from = (at + k) * shape.row + i;
      T a = read<T>(x + from), b = read<T>(y + from);
      T wa = a * TAP[k + SSIM_RADIUS], wb = b * TAP[k + SSIM_RADIUS];
      sums[0] += wa;
      sums[1] += wb;
      sums[2] += wa * a;
      sums[3] += wb * b;
      sums[4] += wa * b;
    }
    for (int n = 0; n < 5; ++n) __builtin_memcpy(to[n] + i, &sums[n], sizeof(T));
  });
}

template <class T> SK_LEAF Moments<T> moments_along(const Rows<5>& rows, int64_t i) {
  T m[5];
  rows.blur(i, m);
  return {m[0], m[1], m[2], m[3], m[4]};
}

void derivative_rows(const float* gradient, const float* x, const float* y, const Shape& shape, float* maps) {
  const int64_t plane = shape.height * shape.row;
  parallel(shape.height, GRAIN, [=](int64_t begin, int64_t end, int) {
    Rows<5> rows(shape);
    for (int64_t at = begin; at < end; ++at) {
      moments_down(x, y, at, shape, rows);
      sweep(shape.row, [&](auto lane, int64_t i) __attribute__((always_inline)) {
        using T = decltype(lane);
        int64_t to = at * shape.row + i;
        T by[3];
        ssim_derivatives<T>(moments_along<T>(rows, i), read<T>(gradient + to), by[0], by[1], by[2]);
        for (int n = 0; n < 3; ++n) __builtin_memcpy(maps + n * plane + to, &by[n], sizeof(T));
      });
    }
  });
}

void maps_down(const float* maps, int64_t at, const Shape& shape, Rows<3>& rows) {
  Window w = window_at(at, shape);
  const int64_t plane = shape.height * shape.row;
  float* to[3] = {rows.inside(0), rows.inside(1), rows.inside(2)};
  sweep(shape.row, [&](auto lane, int64_t i) __attribute__((always_inline)) {
    using T = decltype(lane);
    T sums[3] = {};
    for (int64_t k = w.first; k <= w.last; ++k)
      for (int n = 0; n < 3; ++n)
        sums[n] += read<T>(maps + n * plane + (at + k) * shape.row + i) * TAP[k + SSIM_RADIUS];
    for (int n = 0; n < 3; ++n) __builtin_memcpy(to[n] + i, &sums[n], sizeof(T));
  });
}

}  // namespace

SCENEKIT_EXPORT void scenekit_ssim(const float* image, const float* target, int64_t height, int64_t width,
                                   int64_t channels, float* result) {
  const Shape shape{height, width * channels, channels};
  parallel(height, GRAIN, [=](int64_t begin, int64_t end, int) {
    Rows<5> rows(shape);
    for (int64_t at = begin; at < end; ++at) {
      moments_down(image, target, at, shape, rows);
      sweep(shape.row, [&](auto lane, int64_t i) __attribute__((always_inline)) {
        using T = decltype(lane);
        T index = ssim_index(moments_along<T>(rows, i));
        __builtin_memcpy(result + at * shape.row + i, &index, sizeof(T));
      });
    }
  });
}

// The chain through the blurs needs their derivatives blurred: the window is its own transpose.
SCENEKIT_EXPORT void scenekit_ssim_backward(const float* gradient, const float* image, const float* target,
                                            int64_t height, int64_t width, int64_t channels, float* result) {
  const Shape shape{height, width * channels, channels};
  std::unique_ptr<float[]> memory(new float[(size_t)(3 * height * shape.row)]);
  float* maps = memory.get();
  derivative_rows(gradient, image, target, shape, maps);
  parallel(height, GRAIN, [=](int64_t begin, int64_t end, int) {
    Rows<3> rows(shape);
    for (int64_t at = begin; at < end; ++at) {
      maps_down(maps, at, shape, rows);
      sweep(shape.row, [&](auto lane, int64_t i) __attribute__((always_inline)) {
        using T = decltype(lane);
        int64_t to = at * shape.row + i;
        T by[3];
        rows.blur(i, by);
        T sum = by[0] + 2.0f * read<T>(image + to) * by[1] + read<T>(target + to) * by[2];
        __builtin_memcpy(result + to, &sum, sizeof(T));
      });
    }
  });
}
