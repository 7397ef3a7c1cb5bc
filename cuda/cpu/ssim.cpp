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

void moments_down(const float* x, const float* y, int64_t at, const Shape& shape, Rows<4>& rows) {
  Window w = window_at(at, shape);
  float* to[4] = {rows.inside(0), rows.inside(1), rows.inside(2), rows.inside(3)};
  sweep(shape.row, [&](auto lane, int64_t i) __attribute__((always_inline)) {
    using T = decltype(lane);
    T sums[4] = {};
    for (int64_t k = w.first; k <= w.last; ++k) {
      int64_t from = (at + k) * shape.row + i;
      T a = read<T>(x + from), b = read<T>(y + from);
      T wa = a * TAP[k + SSIM_RADIUS], wb = b * TAP[k + SSIM_RADIUS];
      sums[0] += wa;
      sums[1] += wb;
      sums[2] += wa * a + wb * b;
      sums[3] += wa * b;
    }
    for (int n = 0; n < 4; ++n) __builtin_memcpy(to[n] + i, &sums[n], sizeof(T));
  });
}

template <class T> SK_LEAF Moments<T> moments_along(const Rows<4>& rows, int64_t i) {
  T m[4];
  rows.blur(i, m);
  return {m[0], m[1], m[2], m[3]};
}

void derivative_rows(const float* gradient, const float* x, const float* y, const Shape& shape, float* maps) {
  const int64_t plane = shape.height * shape.row;
  parallel(shape.height, GRAIN, [=](int64_t begin, int64_t end, int) {
    Rows<4> rows(shape);
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

// The terms of a row, and the derivatives of its indices where they are wanted; `shape` is that of one image, the row
// `at` of one, and `maps` those of all `size` values.
void loss_row(const float* x, const float* y, int64_t at, const Shape& shape, Rows<4>& rows, int64_t size,
              double (&sums)[2], float* maps) {
  moments_down(x, y, at, shape, rows);
  Wide differences{}, indices{};
  double rest[2] = {};
  sweep(shape.row, [&](auto lane, int64_t i) __attribute__((always_inline)) {
    using T = decltype(lane);
    int64_t to = at * shape.row + i;
    const Moments<T> m = moments_along<T>(rows, i);
    T difference = read<T>(x + to) - read<T>(y + to), index = ssim_index(m);
    difference = max(difference, -difference);
    if constexpr (sizeof(T) == sizeof(Wide)) {
      differences += difference;
      indices += index;
    } else {
      rest[0] += difference;
      rest[1] += index;
    }
    if (!maps) return;
    T by[3];
    ssim_derivatives<T>(m, splat<T>(1.0f), by[0], by[1], by[2]);
    for (int n = 0; n < 3; ++n) __builtin_memcpy(maps + n * size + to, &by[n], sizeof(T));
  });
  for (int i = 0; i < WIDTH; ++i) rest[0] += differences[i], rest[1] += indices[i];
  sums[0] = rest[0], sums[1] = rest[1];
}

// `plane` floats lie between the maps.
void maps_down(const float* maps, int64_t plane, int64_t at, const Shape& shape, Rows<3>& rows) {
  Window w = window_at(at, shape);
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
    Rows<4> rows(shape);
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
      maps_down(maps, height * shape.row, at, shape, rows);
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

// `partial` [count * height, 2] receives each row's sums of differences and of indices. `maps` may be null.
SCENEKIT_EXPORT void scenekit_l1_dssim(const float* images, const float* targets, int64_t count, int64_t height,
                                       int64_t width, int64_t channels, double* partial, float* maps) {
  const Shape shape{height, width * channels, channels};
  const int64_t plane = height * shape.row;
  parallel(count * height, GRAIN, [=](int64_t begin, int64_t end, int) {
    Rows<4> rows(shape);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t image = row / height * plane;
      double sums[2];
      loss_row(images + image, targets + image, row % height, shape, rows, count * plane, sums,
               maps ? maps + image : nullptr);
      partial[2 * row] = sums[0], partial[2 * row + 1] = sums[1];
    }
  });
}

// `steps` are what a difference and a derivative of an index weigh in the gradient.
SCENEKIT_EXPORT void scenekit_l1_dssim_backward(const float* steps, const float* images, const float* targets,
                                                const float* maps, int64_t count, int64_t height, int64_t width,
                                                int64_t channels, float* result) {
  const Shape shape{height, width * channels, channels};
  const int64_t plane = height * shape.row;
  const float step = steps[0], scale = steps[1];
  parallel(count * height, GRAIN, [=](int64_t begin, int64_t end, int) {
    Rows<3> rows(shape);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t image = row / height * plane, at = row % height;
      maps_down(maps + image, count * plane, at, shape, rows);
      sweep(shape.row, [&](auto lane, int64_t i) __attribute__((always_inline)) {
        using T = decltype(lane);
        const int64_t to = image + at * shape.row + i;
        T by[3], x = read<T>(images + to), y = read<T>(targets + to);
        rows.blur(i, by);
        const T zero{}, one = splat<T>(step);
        T sum = select(x > y, one, select(x < y, -one, zero)) + scale * (by[0] + 2.0f * x * by[1] + y * by[2]);
        __builtin_memcpy(result + to, &sum, sizeof(T));
      });
    }
  });
}
