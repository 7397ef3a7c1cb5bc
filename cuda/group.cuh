// Groups of neighbouring lanes, a power of two of them, that work together; all lanes of a warp come along.
#pragma once

#include "warp.cuh"

namespace scenekit {

struct Group {
  int lanes, own, first;  // how many there are, which of them this one is, which lane of the warp the first is
  unsigned mask;

  __device__ explicit Group(int lanes)
      : lanes(lanes), own(lane_index() & (lanes - 1)), first(lane_index() - own), mask(ALL >> (32 - lanes)) {}

  // Which group of the launch this is.
  __device__ __forceinline__ long long index() const {
    return ((long long)blockIdx.x * blockDim.x + threadIdx.x) >> (__ffs(lanes) - 1);
  }

  // A bit for each lane for which `predicate` holds; whether this lane has one, and how many lanes before it do.
  __device__ __forceinline__ unsigned ballot(bool predicate) const {
    return __ballot_sync(ALL, predicate) >> first & mask;
  }
  __device__ __forceinline__ bool has_own(unsigned bits) const { return bits >> own & 1; }
  __device__ __forceinline__ int before_own(unsigned bits) const { return __popc(bits & ((1u << own) - 1)); }

  template <class T> __device__ __forceinline__ T of_last(T x) const {
    return lanes == 1 ? x : __shfl_sync(ALL, x, lanes - 1, lanes);
  }

  __device__ __forceinline__ float sum(float x) const {
#pragma unroll 1
    for (int step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL, x, step);
    return x;
  }

  // Product over the lanes before this one; `all` becomes that over all of them.
  __device__ __forceinline__ float product_before(float x, float& all) const {
    if (lanes == 1) {
      all = x;
      return 1.0f;
    }
#pragma unroll 1
    for (int step = 1; step < lanes; step *= 2) {
      const float other = __shfl_up_sync(ALL, x, step);
      if (own >= step) x *= other;
    }
    all = of_last(x);
    const float before = __shfl_up_sync(ALL, x, 1);
    return own == 0 ? 1.0f : before;
  }
};

}  // namespace scenekit
