// Rendered pixels over a background against photographed ones over the same: Huber loss, squared error, what had room, and
// gradients. A thread takes a pixel; sums of blocks are added up in a fixed order.
#include "warp.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 256, WARPS = THREADS / 32;
enum { HUBER, SQUARED, JUDGED, SERVED, SUMS };

// Null pointers of masks mean: all are valid, none is left out.
struct Pixels {
  const float *colors, *opacities, *behind;
  long long apart;  // floats from one colour behind to the next: 3, or 0 where there is but one
  const float* photographed;
  long long channels;
  const bool *valid, *left_out;
  long long count;

  __device__ bool is_served(long long r) const { return !left_out || !left_out[r]; }
  __device__ bool is_judged(long long r) const { return is_served(r) && (!valid || valid[r]); }

  // What is seen less what was photographed, or less itself where nothing is judged: 0 then, but NaN where what is seen
  // is no number, which no mask hides.
  __device__ void errors(long long r, bool judged, float (&error)[3]) const {
    const float through = 1.0f - opacities[r];
    const float* photograph = photographed + channels * r;
    const float alpha = channels == 4 ? photograph[3] : 1.0f;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const float back = behind[apart * r + c];
      const float seen = colors[3 * r + c] + through * back;
      error[c] = seen - (judged ? photograph[c] * alpha + (1.0f - alpha) * back : seen);
    }
  }
};

__device__ long long pixel_of_thread() { return (long long)blockIdx.x * THREADS + threadIdx.x; }

// Sums over the block, for its first thread; all threads come along.
__device__ void add_up(float (&sums)[SUMS]) {
  __shared__ float of_warps[SUMS][WARPS];
#pragma unroll
  for (int s = 0; s < SUMS; ++s) {
    const float sum = sum_of_warp(sums[s]);
    if (lane_index() == 0) of_warps[s][threadIdx.x / 32] = sum;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int s = 0; s < SUMS; ++s) {
    sums[s] = 0.0f;
    for (int w = 0; w < WARPS; ++w) sums[s] += of_warps[s][w];
  }
}

}  // namespace

// `sums`: SUMS rows of one number for each block.
extern "C" __global__ void __launch_bounds__(THREADS)
    pixel_loss(const float* colors, const float* opacities, const float* behind, long long apart,
               const float* photographed, long long channels, const bool* valid, const bool* left_out, long long count,
               float delta, float* sums) {
  const Pixels pixels{colors, opacities, behind, apart, photographed, channels, valid, left_out, count};
  const long long r = pixel_of_thread();
  float own[SUMS] = {};
  if (r < count) {
    own[SERVED] = pixels.is_served(r);
    own[JUDGED] = pixels.is_judged(r);
    float error[3];
    pixels.errors(r, pixels.is_judged(r), error);
#pragma unroll
    for (int c = 0; c < 3; ++c) {
      const float size = fabsf(error[c]);
      own[HUBER] += size < delta ? size * size : 2.0f * delta * (size - 0.5f * delta);
      own[SQUARED] += size * size;
    }
  }
  add_up(own);
  if (threadIdx.x == 0)
    for (int s = 0; s < SUMS; ++s) sums[s * gridDim.x + blockIdx.x] = own[s];
}

// One block.
extern "C" __global__ void __launch_bounds__(THREADS)
    pixel_loss_sum(const float* sums, long long blocks, long long count, float* huber, float* squared,
                   float* served) {
  float own[SUMS] = {};
  for (long long b = threadIdx.x; b < blocks; b += THREADS)
    for (int s = 0; s < SUMS; ++s) own[s] += sums[s * blocks + b];
  add_up(own);
  if (threadIdx.x != 0) return;
  *huber = count ? own[HUBER] / (3.0f * count) : 0.0f;
  *squared = own[SQUARED] / (3.0f * fmaxf(own[JUDGED], 1.0f));
  *served = count ? own[SERVED] / count : 1.0f;
}

// `for_behind` may be a null pointer.
extern "C" __global__ void __launch_bounds__(THREADS)
    pixel_loss_backward(const float* for_huber, const float* colors, const float* opacities, const float* behind,
                        long long apart, const float* photographed, long long channels, const bool* valid,
                        const bool* left_out, long long count, float delta, float* for_colors, float* for_opacities,
                        float* for_behind) {
  const Pixels pixels{colors, opacities, behind, apart, photographed, channels, valid, left_out, count};
  const long long r = pixel_of_thread();
  if (r >= count) return;
  float error[3], for_opacity = 0.0f;
  pixels.errors(r, pixels.is_judged(r), error);
  const float scale = 2.0f * *for_huber / (3.0f * count);
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const float slope = scale * (error[c] > delta ? delta : error[c] < -delta ? -delta : error[c]);
    for_colors[3 * r + c] = slope;
    for_opacity -= slope * behind[apart * r + c];
    if (for_behind) for_behind[3 * r + c] = slope * (1.0f - opacities[r]);
  }
  for_opacities[r] = for_opacity;
}
