// Structural similarity: a block takes a tile of one channel, blurs it along rows and then down columns in shared
// memory. The backward pass makes maps of three derivatives, then blurs those: the window is its own transpose.
#include "ssim.h"

using namespace scenekit;

namespace {

constexpr int THREADS = 256, WIDE = 32, TALL = 16;  // pixels of a tile
constexpr int R = SSIM_RADIUS, ROWS = TALL + 2 * R, COLUMNS = WIDE + 2 * R;
constexpr int MINE = WIDE * TALL / THREADS;  // pixels of a thread

struct Image {
  long long height, width, channels;

  // Of the tile's pixel, which may lie outside of the image.
  __device__ bool holds(long long y, long long x) const { return y >= 0 && y < height && x >= 0 && x < width; }
  __device__ long long at(long long y, long long x) const { return (y * width + x) * channels + blockIdx.z; }
};

__device__ long long tile_y() { return (long long)blockIdx.y * TALL; }
__device__ long long tile_x() { return (long long)blockIdx.x * WIDE; }

// The tile and what is about it; zero outside of the image.
__device__ void load_tile(const float* from, const Image& image, float (*tile)[COLUMNS]) {
  for (int i = threadIdx.x; i < ROWS * COLUMNS; i += THREADS) {
    long long y = tile_y() + i / COLUMNS - R, x = tile_x() + i % COLUMNS - R;
    tile[i / COLUMNS][i % COLUMNS] = image.holds(y, x) ? __ldg(from + image.at(y, x)) : 0.0f;
  }
}

// N quantities of one pixel, blurred down the column of rows that were blurred along.
template <int N> __device__ void blur_down(const float (*rows)[ROWS][WIDE], int y, int x, float (&sums)[N]) {
#pragma unroll
  for (int n = 0; n < N; ++n) sums[n] = 0.0f;
#pragma unroll
  for (int k = 0; k < 2 * R + 1; ++k)
#pragma unroll
    for (int n = 0; n < N; ++n) sums[n] += ssim_tap(k) * rows[n][y + k][x];
}

// Blurred x, y, x^2, y^2 and x y along the rows.
__device__ void moments_along(const float (*a)[COLUMNS], const float (*b)[COLUMNS], float (*rows)[ROWS][WIDE]) {
  for (int i = threadIdx.x; i < ROWS * WIDE; i += THREADS) {
    const int y = i / WIDE, x = i % WIDE;
    float sums[5] = {};
#pragma unroll
    for (int k = 0; k < 2 * R + 1; ++k) {
      const float va = a[y][x + k], vb = b[y][x + k], wa = ssim_tap(k) * va, wb = ssim_tap(k) * vb;
      sums[0] += wa;
      sums[1] += wb;
      sums[2] += wa * va;
      sums[3] += wb * vb;
      sums[4] += wa * vb;
    }
#pragma unroll
    for (int n = 0; n < 5; ++n) rows[n][y][x] = sums[n];
  }
}

// Calls use(pixel's place, its moments) for the thread's pixels within the image.
template <class Use>
__device__ void for_moments(const float* first, const float* second, const Image& image, float (*a)[COLUMNS],
                            float (*b)[COLUMNS], float (*rows)[ROWS][WIDE], Use use) {
  load_tile(first, image, a);
  load_tile(second, image, b);
  __syncthreads();
  moments_along(a, b, rows);
  __syncthreads();
#pragma unroll
  for (int m = 0; m < MINE; ++m) {
    const int x = threadIdx.x % WIDE, y = threadIdx.x / WIDE + m * (THREADS / WIDE);
    if (!image.holds(tile_y() + y, tile_x() + x)) continue;
    float s[5];
    blur_down<5>(rows, y, x, s);
    use(image.at(tile_y() + y, tile_x() + x), Moments<float>{s[0], s[1], s[2], s[3], s[4]});
  }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    ssim(const float* first, const float* second, long long height, long long width, long long channels,
         float* result) {
  __shared__ float a[ROWS][COLUMNS], b[ROWS][COLUMNS], rows[5][ROWS][WIDE];
  for_moments(first, second, {height, width, channels}, a, b, rows,
              [=](long long at, const Moments<float>& m) { result[at] = ssim_index<float>(m); });
}

// `maps` holds three images.
extern "C" __global__ void __launch_bounds__(THREADS)
    ssim_derivative_maps(const float* gradient, const float* first, const float* second, long long height,
                         long long width, long long channels, float* maps) {
  __shared__ float a[ROWS][COLUMNS], b[ROWS][COLUMNS], rows[5][ROWS][WIDE];
  const long long all = height * width * channels;
  for_moments(first, second, {height, width, channels}, a, b, rows, [=](long long at, const Moments<float>& m) {
    ssim_derivatives<float>(m, gradient[at], maps[at], maps[all + at], maps[2 * all + at]);
  });
}

extern "C" __global__ void __launch_bounds__(THREADS)
    ssim_backward(const float* maps, const float* first, const float* second, long long height, long long width,
                  long long channels, float* result) {
  __shared__ float tile[ROWS][COLUMNS], rows[3][ROWS][WIDE];
  const Image image{height, width, channels};
  for (int n = 0; n < 3; ++n) {
    __syncthreads();  // the tile before was read
    load_tile(maps + n * height * width * channels, image, tile);
    __syncthreads();
    for (int i = threadIdx.x; i < ROWS * WIDE; i += THREADS) {
      float sum = 0.0f;
#pragma unroll
      for (int k = 0; k < 2 * R + 1; ++k) sum += ssim_tap(k) * tile[i / WIDE][i % WIDE + k];
      rows[n][i / WIDE][i % WIDE] = sum;
    }
  }
  __syncthreads();
#pragma unroll
  for (int m = 0; m < MINE; ++m) {
    const int x = threadIdx.x % WIDE, y = threadIdx.x / WIDE + m * (THREADS / WIDE);
    if (!image.holds(tile_y() + y, tile_x() + x)) continue;
    float s[3];
    blur_down<3>(rows, y, x, s);
    const long long at = image.at(tile_y() + y, tile_x() + x);
    result[at] = s[0] + 2.0f * first[at] * s[1] + second[at] * s[2];
  }
}
