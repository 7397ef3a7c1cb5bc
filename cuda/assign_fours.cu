// A move of the sort into a grid: a thread takes a group of four cells, of which no two groups share any. Rows lie all
// over memory, a few sectors each: what a thread has read of them once is near when it asks for their next channel.
#include "assign_fours.h"
#include "warp.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 128, WARPS = THREADS / 32;

// Blocks of `side` cells a side, beginning at (top, left) and going on beyond the border from the other side.
struct Blocks {
  unsigned height, width, side, top, left;

  __device__ __forceinline__ unsigned across() const { return width / side; }
  __device__ __forceinline__ long long count() const { return (long long)(height / side) * across(); }

  __device__ __forceinline__ unsigned cell(unsigned block, unsigned local) const {
    const unsigned y = top + block / across() * side + local / side, x = left + block % across() * side + local % side;
    return (y >= height ? y - height : y) * width + (x >= width ? x - width : x);
  }
};

struct Four {
  unsigned cell[4];
  bool whole;  // all within their block

  __device__ __forceinline__ unsigned at(int k) const {
    return k == 0 ? cell[0] : k == 1 ? cell[1] : k == 2 ? cell[2] : cell[3];
  }
};

__device__ __forceinline__ Four four_of(const Blocks& blocks, const long long* groups, long long count, long long i) {
  const unsigned block = (unsigned)(i / count), cells = blocks.side * blocks.side;
  const long long* local = groups + 4 * (i % count);
  Four four{{}, true};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const unsigned long long own = (unsigned long long)__ldg(local + k);
    four.whole &= own < cells;
    four.cell[k] = blocks.cell(block, own < cells ? (unsigned)own : 0u);
  }
  return four;
}

// Puts what lies at rows of `width` where a way has it.
template <class T> __device__ __forceinline__ void move(const Four& four, int way, long long width, T* array) {
  size_t from[4], to[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) from[k] = (size_t)four.at(row_of(way, k)) * width, to[k] = (size_t)four.cell[k] * width;
#pragma unroll 1
  for (long long c = 0; c < width; ++c) {
    T moved[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) moved[k] = array[from[k] + c];
#pragma unroll
    for (int k = 0; k < 4; ++k) array[to[k] + c] = moved[k];
  }
}

// Moves the rows of a group; returns by how much the sum of dot products rose.
__device__ __forceinline__ float assign(const Four& four, long long channels, float* values, long long* order,
                                        const float* target) {
  float dots[4][4] = {}, excess;
#pragma unroll 2
  for (long long c = 0; c < channels; ++c) {
    float row[4], want[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      row[k] = values[(size_t)four.cell[k] * channels + c];
      want[k] = __ldg(target + (size_t)four.cell[k] * channels + c);
    }
#pragma unroll
    for (int r = 0; r < 4; ++r)
#pragma unroll
      for (int k = 0; k < 4; ++k) dots[r][k] += row[r] * want[k];
  }
  const int way = (int)best_way<float>(dots, excess);
  if (way == 0) return 0.0f;
  move(four, way, channels, values);
  move(four, way, 1, order);
  return excess;
}

}  // namespace

// `gains` [blocks]: by how much the sum of squared distances fell. Groups with a cell outside of a block stay as they are.
extern "C" __global__ void __launch_bounds__(THREADS)
    assign_fours(float* values, long long* order, const float* target, long long height, long long width,
                 long long channels, const long long* groups, long long count, long long side, long long top,
                 long long left, float* gains) {
  __shared__ float sums[WARPS];
  const Blocks blocks{(unsigned)height, (unsigned)width, (unsigned)side, (unsigned)top, (unsigned)left};
  const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
  float gain = 0.0f;
  if (i < blocks.count() * count) {
    const Four four = four_of(blocks, groups, count, i);
    if (four.whole) gain = assign(four, channels, values, order, target);
  }
  gain = sum_of_warp(gain);
  if (lane_index() == 0) sums[threadIdx.x / 32] = gain;
  __syncthreads();
  if (threadIdx.x != 0) return;
  float all = 0.0f;
#pragma unroll
  for (int warp = 0; warp < WARPS; ++warp) all += sums[warp];
  gains[blockIdx.x] = 2.0f * all;
}
