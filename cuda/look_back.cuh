// Sums over all blocks before one, while they run: each says its own sum, and once it knows it that of all up to it
// (Merrill and Garland 2016). Blocks are numbered as they begin, so that those a block waits for have begun too.
#pragma once

#include "ptx.cuh"
#include "warp.cuh"

namespace scenekit {

// What a block says to those behind it, in the two lowest bits of a word: nothing yet, its own sum, or that of all up to
// it; the sum lies above.
constexpr unsigned long long SILENT = 0, OWN = 1, WHOLE = 2, KINDS = 3;

__device__ __forceinline__ unsigned long long heard(const unsigned long long* from) {
  unsigned long long word;
  do word = peek(from);
  while ((word & KINDS) == SILENT);
  return word;
}

__device__ __forceinline__ void say(unsigned long long* said, int block, long long sum) {
  publish(said, (unsigned long long)sum << 2 | (block == 0 ? WHOLE : OWN));
}

__device__ __forceinline__ void say_whole(unsigned long long* said, long long sum) {
  publish(said, (unsigned long long)sum << 2 | WHOLE);
}

// The sum over all blocks before `block`, whose own `sum` is said here; by a whole warp.
__device__ __forceinline__ long long sum_before(unsigned long long* said, int block, long long sum) {
  if (lane_index() == 0) say(said + block, block, sum);
  long long before = 0;
  for (int last = block - 1; last >= 0; last -= 32) {
    const int other = last - lane_index();
    const unsigned long long word = other < 0 ? WHOLE : heard(said + other);
    const unsigned whole = __ballot_sync(ALL, (word & KINDS) == WHOLE);
    // Those nearer than the first that knows everything before it, and that one.
    long long part = !whole || lane_index() < __ffs((int)whole) ? (long long)(word >> 2) : 0;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) part += __shfl_xor_sync(ALL, part, step);
    before += part;
    if (whole) break;
  }
  if (block > 0 && lane_index() == 0) say_whole(said + block, before + sum);
  return before;
}

// The same by one thread, of words that are `stride` apart; its own sum was said.
__device__ __forceinline__ long long sum_before_of_digit(unsigned long long* said, int stride, int block, int sum) {
  constexpr int AHEAD = 8;  // words that are asked for at once
  long long before = 0;
  bool known = block == 0;
  for (int last = block - 1; !known; last -= AHEAD) {
    unsigned long long words[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; ++k) words[k] = last < k ? WHOLE : peek(said + (long long)(last - k) * stride);
#pragma unroll
    for (int k = 0; k < AHEAD; ++k) {
      if (known) continue;
      if ((words[k] & KINDS) == SILENT) words[k] = heard(said + (long long)(last - k) * stride);
      before += (long long)(words[k] >> 2);
      known = (words[k] & KINDS) == WHOLE;
    }
  }
  if (block > 0) say_whole(said + (long long)block * stride, before + sum);
  return before;
}

// Sum over the lanes up to this one.
__device__ __forceinline__ int running_sum(int x) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int below = __shfl_up_sync(ALL, x, step);
    if (lane_index() >= step) x += below;
  }
  return x;
}

// Sum over the threads of a block up to this one; `sums` are free again after a barrier.
template <int WARPS> __device__ __forceinline__ int sum_in_block(int x, int (&sums)[WARPS]) {
  x = running_sum(x);
  const int warp = threadIdx.x / 32;
  if (lane_index() == 31) sums[warp] = x;
  __syncthreads();
#pragma unroll
  for (int other = 0; other < WARPS; ++other)
    if (other < warp) x += sums[other];
  return x;
}

}  // namespace scenekit
