// Single pixels of many pictures by their numbers: a thread takes a pixel.
//
// Macro: HALVES, whether a picture's values are of half precision, and not bytes that stand for [0, 1].
#include <cuda_fp16.h>

namespace {

#if HALVES
using Value = __half;
__device__ float read(Value x) { return __half2float(x); }
#else
using Value = unsigned char;
__device__ float read(Value x) { return (float)x / 255.0f; }
#endif

constexpr int THREADS = 256;

// The photograph that pixel `i` is of: the last that begins at it or before.
__device__ long long owner_of(long long i, const long long* starts, long long photographs) {
  long long low = 0, high = photographs;
  while (high - low > 1) {
    const long long middle = (low + high) / 2;
    if (starts[middle] <= i) low = middle;
    else high = middle;
  }
  return low;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    pixels_at(const long long* index, const long long* starts, const long long* widths, const Value* colors,
              long long count, long long photographs, long long channels, long long* cameras, float* positions,
              float* found) {
  const long long r = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (r >= count) return;
  const long long i = index[r], camera = owner_of(i, starts, photographs);
  const unsigned local = (unsigned)(i - starts[camera]), width = (unsigned)widths[camera], row = local / width;
  cameras[r] = camera;
  positions[2 * r] = (float)(local - row * width) + 0.5f;
  positions[2 * r + 1] = (float)row + 0.5f;
  for (long long c = 0; c < channels; ++c) found[channels * r + c] = read(colors[channels * i + c]);
}
