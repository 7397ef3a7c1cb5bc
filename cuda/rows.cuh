// Rows of a few floats, one to a lane: those of a warp lie together in memory, and are moved between there and shared
// memory in whole lines. Lane by lane a row of 45 floats would take 45 accesses of 32 sectors each.
#pragma once

#include "ptx.cuh"
#include "warp.cuh"

namespace scenekit {

// Which rows of an array are a warp's: `count` of them from `first` on, a multiple of 32.
struct WarpRows {
  long long first;
  int count;

  __device__ __forceinline__ unsigned all() const { return count == 32 ? ALL : (1u << count) - 1; }
};

__device__ __forceinline__ WarpRows rows_of_warp(long long count) {
  const long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 32 * 32;
  const long long left = count - first;
  return {first, left < 0 ? 0 : left < 32 ? (int)left : 32};
}

// Calls move(i) for every fourth float of 32 rows of WIDTH.
template <int WIDTH, class Move> __device__ __forceinline__ void each_four(const Move& move) {
  constexpr int FOURS = 8 * WIDTH;
#pragma unroll
  for (int first = 0; first < FOURS; first += 32)
    if (FOURS - first >= 32 || lane_index() < FOURS - first) move(4 * (first + lane_index()));
}

// Begins to copy rows to shared memory, which begins at a multiple of 16 bytes as the array does; those not `wanted` may
// stay out. They are there after `fetched`.
template <int WIDTH>
__device__ __forceinline__ void fetch_rows(const float* array, const WarpRows& rows, unsigned wanted, float* shared) {
  const float* from = array + WIDTH * rows.first;
  if (wanted == ALL) {
    each_four<WIDTH>([=](int i) { copy_async(shared + i, from + i); });
  } else if (rows.count == 32) {
    each_four<WIDTH>([=](int i) {
      if ((wanted >> i / WIDTH | wanted >> (i + 3) / WIDTH) & 1u) copy_async(shared + i, from + i);
    });
  } else {
#pragma unroll 1
    for (int i = lane_index(); i < rows.count * WIDTH; i += 32) shared[i] = from[i];
  }
}

__device__ __forceinline__ void fetched() {
  wait_for_copies();
  __syncwarp();
}

// And back, all of them.
template <int WIDTH>
__device__ __forceinline__ void store_rows(const float* shared, const WarpRows& rows, float* array) {
  float* to = array + WIDTH * rows.first;
  if (rows.count == 32) {
    each_four<WIDTH>([=](int i) { *(float4*)(to + i) = *(const float4*)(shared + i); });
  } else {
#pragma unroll 1
    for (int i = lane_index(); i < rows.count * WIDTH; i += 32) to[i] = shared[i];
  }
}

// The row that each lane has, through `shared`, which others may have used before and may after.
template <int WIDTH>
__device__ __forceinline__ void put_rows(const float (&row)[WIDTH], const WarpRows& rows, float* shared, float* array) {
  __syncwarp();
#pragma unroll
  for (int k = 0; k < WIDTH; ++k) shared[lane_index() * WIDTH + k] = row[k];
  __syncwarp();
  store_rows<WIDTH>(shared, rows, array);
  __syncwarp();
}

}  // namespace scenekit
