// A stable sort of pairs by tile: passes over BITS bits of the tile each, the lowest first (Adinets and Merrill 2022). A
// block ranks its pairs digit by digit, learns from the blocks before it where its own begin, and writes them in runs.
// How many pairs there are is known on the GPU alone.
#pragma once

#include "look_back.cuh"

namespace scenekit {

constexpr int SORTERS = 256, SORTING_WARPS = SORTERS / 32;
constexpr int EACH = 16;  // pairs of a thread
constexpr int SHARE = SORTERS * EACH;
constexpr int BINS = 1 << BITS;
static_assert(BINS <= SORTERS, "a thread owns a digit");

__device__ __forceinline__ int digit_of(TILE_INDEX tile, int shift) { return (int)tile >> shift & (BINS - 1); }

// Which of the lanes that are `there` have the same digit as this one.
__device__ __forceinline__ unsigned lanes_alike(int digit, bool there) {
  unsigned alike = __ballot_sync(ALL, there);
#pragma unroll
  for (int bit = 0; bit < BITS; ++bit) {
    const bool set = digit >> bit & 1;
    const unsigned with = __ballot_sync(ALL, set);
    alike &= set ? with : ~with;
  }
  return alike;
}

struct Sorting {
  TILE_INDEX tiles[SHARE];
  int gaussians[SHARE];
  int counts[SORTING_WARPS][BINS];  // of a warp's pairs by digit, then of those of the warps before it
  int first[BINS];                  // where a digit's pairs begin among the block's
  long long shift[BINS];            // from a place among the block's pairs to that in the result
  int sums[SORTING_WARPS];
  int number;
};

// Ranks each of the thread's pairs among those of its warp with the same digit, in their order.
__device__ __forceinline__ void rank_pairs(Sorting& block, const TILE_INDEX (&tiles)[EACH], int there, int shift,
                                           int (&ranks)[EACH]) {
  int* counts = block.counts[threadIdx.x / 32];
#pragma unroll
  for (int k = 0; k < EACH; ++k) {
    const int digit = digit_of(tiles[k], shift);
    const unsigned alike = lanes_alike(digit, there > 32 * k);
    const unsigned nearer = alike & ((1u << lane_index()) - 1);
    int before = 0;
    if (there > 32 * k) before = counts[digit];
    __syncwarp();
    if (there > 32 * k && !nearer) counts[digit] = before + __popc(alike);
    __syncwarp();
    ranks[k] = before + __popc(nearer);
  }
}

// A thread's digit: where its pairs begin within the block and in the result.
__device__ __forceinline__ void place_digits(Sorting& block, const long long* histogram, unsigned long long* said, int number) {
  const int digit = threadIdx.x;
  int total = 0, all = 0;
  if (digit < BINS) {
    all = (int)histogram[digit];
#pragma unroll
    for (int warp = 0; warp < SORTING_WARPS; ++warp) {
      const int count = block.counts[warp][digit];
      block.counts[warp][digit] = total;
      total += count;
    }
    say(said + (long long)number * BINS + digit, number, total);
  }
  const int first = sum_in_block<SORTING_WARPS>(total, block.sums) - total;
  __syncthreads();
  const int begin = sum_in_block<SORTING_WARPS>(all, block.sums) - all;
  if (digit >= BINS) return;
  const long long before = sum_before_of_digit(said + digit, BINS, number, total);
  block.first[digit] = first;
  block.shift[digit] = begin + before - first;
}

}  // namespace scenekit
