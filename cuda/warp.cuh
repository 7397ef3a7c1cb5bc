// What the 32 lanes of a warp find together; all of them come along.
#pragma once

namespace scenekit {

constexpr unsigned ALL = 0xffffffffu;

__device__ __forceinline__ int lane_index() { return threadIdx.x % 32; }

template <class T> __device__ __forceinline__ T sum_of_warp(T x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(ALL, x, step);
  return x;
}

__device__ __forceinline__ int greatest_of_warp(int x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    const int other = __shfl_xor_sync(ALL, x, step);
    x = x > other ? x : other;
  }
  return x;
#else
  return __reduce_max_sync(ALL, x);
#endif
}

// The same value, by way of a shuffle: the compiler would compute a plain one anew wherever a loop uses it.
__device__ __forceinline__ int kept(int x) { return __shfl_sync(ALL, x, lane_index()); }

// Sum, and product, over this lane and all before it.
__device__ __forceinline__ float scan_sums(float x) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    float other = __shfl_up_sync(ALL, x, step);
    if (lane_index() >= step) x += other;
  }
  return x;
}

__device__ __forceinline__ float scan_products(float x) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    float other = __shfl_up_sync(ALL, x, step);
    if (lane_index() >= step) x *= other;
  }
  return x;
}

// The map x -> shift + factor * x of this lane after those of all lanes behind it.
__device__ __forceinline__ void scan_maps_back(float& factor, float& shift) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    float f = __shfl_down_sync(ALL, factor, step), s = __shfl_down_sync(ALL, shift, step);
    if (lane_index() + step < 32) {
      shift += factor * s;
      factor *= f;
    }
  }
}

}  // namespace scenekit
