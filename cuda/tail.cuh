// Packed rows behind the last one that belongs to a ray.
#pragma once

namespace scenekit {

// `value` from `begin` to `end`. All threads of a launch share the work: they come here before any of them ends.
template <class T>
__device__ __forceinline__ void fill_rows(T* to, T value, long long begin, long long end) {
  const long long threads = (long long)gridDim.x * blockDim.x;
#pragma unroll 1
  for (long long i = begin + (long long)blockIdx.x * blockDim.x + threadIdx.x; i < end; i += threads) to[i] = value;
}

}  // namespace scenekit
