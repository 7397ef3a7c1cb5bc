// Means along one axis of a grid: a thread slides its window over SEGMENT cells of a line, and adds up the first of them
// anew. Neighbouring threads take what lies side by side in memory. Sums are float64, as on a CPU.
#include "neighbourhood_means.h"

using namespace scenekit;

namespace {

constexpr int THREADS = 256, SEGMENT = 64;

__device__ __forceinline__ long long place(long long i, long long length, bool wraps) {
  return wraps ? wrapped(i, length) : reflected(i, length);
}

}  // namespace

// Over 2 radius + 1 of `length` along the middle axis of [outer, length, inner], which `wraps` around or is reflected.
extern "C" __global__ void __launch_bounds__(THREADS)
    neighbourhood_means(const float* grid, long long outer, long long length, long long inner, long long radius,
                        long long wraps, float* result) {
  const long long segments = (length + SEGMENT - 1) / SEGMENT;
  const long long thread = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (thread >= outer * segments * inner) return;
  const long long first = thread / inner % segments * SEGMENT, line = thread / (inner * segments) * length * inner;
  const float* from = grid + line + thread % inner;
  float* to = result + line + thread % inner;
  const double share = 1.0 / (double)(2 * radius + 1);
  double sum = 0.0;
#pragma unroll 4
  for (long long i = first - radius; i <= first + radius; ++i) sum += __ldg(from + place(i, length, wraps) * inner);
  const long long end = first + SEGMENT < length ? first + SEGMENT : length;
#pragma unroll 4
  for (long long i = first; i < end; ++i) {
    to[i * inner] = (float)(sum * share);
    sum += (double)__ldg(from + place(i + radius + 1, length, wraps) * inner);
    sum -= (double)__ldg(from + place(i - radius, length, wraps) * inner);
  }
}
