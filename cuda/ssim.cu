// Structural similarity: a block takes a strip of an image and walks down its rows, a thread a column of floats. Rows are
// blurred along from shared memory, and down in registers, where the windows of eleven rows are under way at once: each
// value is read once along and never down. The backward pass blurs maps of three derivatives the same way: the window is
// its own transpose. A pixel's CHANNELS (a macro) lie beside each other, so that neighbours are as many floats apart.
#include "ssim.h"
#include "warp.cuh"

using namespace scenekit;

constexpr int THREADS = 128, WARPS = THREADS / 32;
constexpr int R = SSIM_RADIUS, TAPS = 2 * R + 1;
constexpr int CHUNKS = 4, TALL = CHUNKS * TAPS - 2 * R;  // chunks of rows that a block reads, rows that it finishes
constexpr int HALO = R * CHANNELS, WIDE = THREADS + 2 * HALO;

namespace {

struct Images {
  long long height, row;  // `row` floats a row

  __device__ __forceinline__ long long first() const { return blockIdx.z * height * row; }
  __device__ __forceinline__ long long size() const { return gridDim.z * height * row; }
};

__device__ __forceinline__ long long strip_y() { return (long long)blockIdx.y * TALL; }
__device__ __forceinline__ long long strip_x() { return (long long)blockIdx.x * THREADS; }

// The next rows of a strip with what lies beside it; zero outside of the image.
__device__ __forceinline__ void load_chunk(const float* image, const Images& images, int chunk,
                                           float (&rows)[TAPS][WIDE]) {
  const int top = (int)strip_y() - R + chunk * TAPS, height = (int)images.height;
  for (int column = threadIdx.x; column < WIDE; column += THREADS) {
    const long long x = strip_x() - HALO + column;
    // Of a column beside the image there are no rows.
    const unsigned rows_there = x >= 0 && x < images.row ? (unsigned)height : 0u;
    const float* from = image + (images.first() + top * images.row + x);
#pragma unroll
    for (int j = 0; j < TAPS; ++j, from += images.row)
      rows[j][column] = (unsigned)(top + j) < rows_there ? __ldg(from) : 0.0f;
  }
}

// Blurs what `along(j, sums)` finds for row j of each chunk, down the thread's column. Calls use(place, sums) for every
// row of the strip within the image, `place` being that of the value in all images.
template <int SUMS, class Load, class Along, class Use>
__device__ __forceinline__ void walk_down(const Images& images, const Load& load, const Along& along, const Use& use) {
  const long long x = strip_x() + threadIdx.x;
  float windows[TAPS][SUMS] = {};  // of row r in place r mod TAPS
  for (int chunk = 0; chunk < CHUNKS; ++chunk) {
    if (strip_y() + chunk * TAPS - 2 * R >= images.height) return;
    __syncthreads();  // the chunk before was read
    load(chunk);
    __syncthreads();
#pragma unroll
    for (int j = 0; j < TAPS; ++j) {
      float sums[SUMS];
      along(j, sums);
#pragma unroll
      for (int k = 0; k < TAPS; ++k) {
        float(&window)[SUMS] = windows[(j - k + TAPS) % TAPS];  // of the row k above
#pragma unroll
        for (int n = 0; n < SUMS; ++n) window[n] = k == 0 ? ssim_tap(0) * sums[n] : window[n] + ssim_tap(k) * sums[n];
      }
      const int row = chunk * TAPS + j - 2 * R;  // whose window ends here
      const long long y = strip_y() + row;
      if (row >= 0 && y < images.height && x < images.row)
        use(images.first() + y * images.row + x, windows[(j + 1) % TAPS]);
    }
  }
}

using Pair = float[2][TAPS][WIDE];

// Blurred moments of two images.
template <class Use>
__device__ __forceinline__ void for_moments(const float* first, const float* second, const Images& images, Pair& rows,
                                            const Use& use) {
  auto load = [&](int chunk) {
    load_chunk(first, images, chunk, rows[0]);
    load_chunk(second, images, chunk, rows[1]);
  };
  auto along = [&](int j, float (&sums)[4]) {
#pragma unroll
    for (int n = 0; n < 4; ++n) sums[n] = 0.0f;
#pragma unroll
    for (int k = 0; k < TAPS; ++k) {
      const float a = rows[0][j][threadIdx.x + k * CHANNELS], b = rows[1][j][threadIdx.x + k * CHANNELS];
      const float wa = ssim_tap(k) * a, wb = ssim_tap(k) * b;
      sums[0] += wa;
      sums[1] += wb;
      sums[2] += wa * a + wb * b;
      sums[3] += wa * b;
    }
  };
  walk_down<4>(images, load, along, [&](long long at, const float (&s)[4]) {
    use(at, Moments<float>{s[0], s[1], s[2], s[3]});
  });
}

// From blurred maps of three derivatives to the gradient of the first image.
template <class Use>
__device__ __forceinline__ void for_gradients(const float* maps, const Images& images, float (&rows)[3][TAPS][WIDE],
                                              const float* first, const float* second, const Use& use) {
  auto load = [&](int chunk) {
    for (int n = 0; n < 3; ++n) load_chunk(maps + n * images.size(), images, chunk, rows[n]);
  };
  auto along = [&](int j, float (&sums)[3]) {
#pragma unroll
    for (int n = 0; n < 3; ++n) {
      sums[n] = 0.0f;
#pragma unroll
      for (int k = 0; k < TAPS; ++k) sums[n] += ssim_tap(k) * rows[n][j][threadIdx.x + k * CHANNELS];
    }
  };
  walk_down<3>(images, load, along, [&](long long at, const float (&s)[3]) {
    const float x = first[at], y = second[at];
    use(at, x, y, s[0] + 2.0f * x * s[1] + y * s[2]);
  });
}

// The sum of a value over a block, for its first thread.
__device__ __forceinline__ float sum_of_block(float x, float (&sums)[WARPS]) {
  x = sum_of_warp(x);
  if (lane_index() == 0) sums[threadIdx.x / 32] = x;
  __syncthreads();
  float all = 0.0f;
  for (int warp = 0; warp < WARPS; ++warp) all += sums[warp];
  return all;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    ssim(const float* first, const float* second, long long height, long long row, float* result) {
  __shared__ Pair rows;
  for_moments(first, second, {height, row}, rows,
              [=](long long at, const Moments<float>& m) { result[at] = ssim_index<float>(m); });
}

// `maps` holds three images for each.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    ssim_derivative_maps(const float* gradient, const float* first, const float* second, long long height,
                         long long row, float* maps) {
  __shared__ Pair rows;
  const Images images{height, row};
  const long long all = images.size();
  for_moments(first, second, images, rows, [=](long long at, const Moments<float>& m) {
    ssim_derivatives<float>(m, gradient[at], maps[at], maps[all + at], maps[2 * all + at]);
  });
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    ssim_backward(const float* maps, const float* first, const float* second, long long height, long long row,
                  float* result) {
  __shared__ float rows[3][TAPS][WIDE];
  for_gradients(maps, {height, row}, rows, first, second,
                [=](long long at, float, float, float gradient) { result[at] = gradient; });
}

// `partial` [blocks, 2] receives each block's sums of differences and of indices; `maps`, where there are any, the
// derivatives of each index.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    l1_dssim(const float* first, const float* second, long long height, long long row, float* partial, float* maps) {
  __shared__ Pair rows;
  __shared__ float sums[2][WARPS];
  const Images images{height, row};
  const long long all = images.size();
  float difference = 0.0f, index = 0.0f;
  for_moments(first, second, images, rows, [&](long long at, const Moments<float>& m) {
    difference += fabsf(first[at] - second[at]);
    index += ssim_index<float>(m);
    if (maps) ssim_derivatives<float>(m, 1.0f, maps[at], maps[all + at], maps[2 * all + at]);
  });
  difference = sum_of_block(difference, sums[0]);
  index = sum_of_block(index, sums[1]);
  if (threadIdx.x > 0) return;
  const long long block = blockIdx.x + (long long)gridDim.x * (blockIdx.y + (long long)gridDim.y * blockIdx.z);
  partial[2 * block] = difference;
  partial[2 * block + 1] = index;
}

// Both terms of the loss from the sums of all blocks: one block, in a fixed order.
extern "C" __global__ void __launch_bounds__(THREADS)
    l1_dssim_conclude(const float* partial, long long blocks, long long count, float weight, float* l1, float* dssim) {
  __shared__ float sums[2][WARPS];
  float difference = 0.0f, index = 0.0f;
  for (long long block = threadIdx.x; block < blocks; block += THREADS) {
    difference += partial[2 * block];
    index += partial[2 * block + 1];
  }
  difference = sum_of_block(difference, sums[0]);
  index = sum_of_block(index, sums[1]);
  if (threadIdx.x > 0) return;
  *l1 = (1.0f - weight) * (difference / (float)count);
  *dssim = weight * (1.0f - index / (float)count);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    l1_dssim_backward(const float* l1_gradient, const float* dssim_gradient, const float* maps, const float* first,
                      const float* second, long long height, long long row, float weight, float* result) {
  __shared__ float rows[3][TAPS][WIDE];
  const Images images{height, row};
  const float each = 1.0f / (float)images.size();
  const float step = *l1_gradient * (1.0f - weight) * each, scale = -*dssim_gradient * weight * each;
  for_gradients(maps, images, rows, first, second, [=](long long at, float x, float y, float gradient) {
    result[at] = (x > y ? step : x < y ? -step : 0.0f) + scale * gradient;
  });
}
