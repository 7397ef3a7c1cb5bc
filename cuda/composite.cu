// Compositing: a warp takes a ray, 32 samples at a time; the light before a sample is a scan of products. The backward
// pass leaves that light where the gradient of the alpha will stand, and comes back from the far end with a scan of
// the affine maps "light that passes -> loss". Samples behind the last ray's get zeros. CHANNELS of the colours is a macro.
#include "composite.h"
#include "tail.cuh"
#include "warp.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 128, RAYS = THREADS / 32;
constexpr int C = CHANNELS;

__device__ long long ray_of_warp() { return (long long)blockIdx.x * RAYS + threadIdx.x / 32; }

// The first sample that is no ray's.
__device__ long long used(const long long* offsets, long long rays, long long count) {
  return within(offsets[rays], count);
}

// Light before the lane's sample, of which `t` reaches the first; `t` becomes what passes the last.
__device__ float light_before(float alpha, float& t) {
  float passed = scan_products(1.0f - alpha);
  float before = __shfl_up_sync(ALL, passed, 1);
  before = t * (lane_index() == 0 ? 1.0f : before);
  t *= __shfl_sync(ALL, passed, 31);
  return before;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    composite(const float* alphas, const float* colors, const float* distances, const long long* offsets,
              long long rays, long long count, float* color, float* opacity, float* distance, float* weights) {
  fill_rows(weights, 0.0f, used(offsets, rays, count), count);
  const long long ray = ray_of_warp();
  if (ray >= rays) return;
  const long long end = within(offsets[ray + 1], count);
  float sums[C + 2] = {}, t = 1.0f;
  for (long long base = within(offsets[ray], count); base < end; base += 32) {
    const long long i = base + lane_index();
    const float alpha = i < end && t >= STOP ? alphas[i] : 0.0f;
    const float before = light_before(alpha, t);
    const float weight = before >= STOP ? before * alpha : 0.0f;
    if (i >= end) continue;
    weights[i] = weight;
    if (weight == 0.0f) continue;
#pragma unroll
    for (int c = 0; c < C; ++c) sums[c] += weight * colors[C * i + c];
    sums[C] += weight;
    sums[C + 1] += weight * distances[i];
  }
#pragma unroll
  for (int c = 0; c < C + 2; ++c) sums[c] = sum_of_warp(sums[c]);
  if (lane_index() != 0) return;
#pragma unroll
  for (int c = 0; c < C; ++c) color[C * ray + c] = sums[c];
  opacity[ray] = sums[C];
  distance[ray] = sums[C + 1];
}

// Of what nobody asks for, `for_distance` and `for_weights`, there may be none: null pointers.
extern "C" __global__ void __launch_bounds__(THREADS)
    composite_backward(const float* for_color, const float* for_opacity, const float* for_distance,
                       const float* for_weights, const float* alphas, const float* colors, const float* distances,
                       const long long* offsets, long long rays, long long count, float* for_alphas,
                       float* for_colors) {
  fill_rows(for_alphas, 0.0f, used(offsets, rays, count), count);
  fill_rows(for_colors, 0.0f, C * used(offsets, rays, count), C * count);
  const long long ray = ray_of_warp();
  if (ray >= rays) return;
  const long long begin = within(offsets[ray], count), end = within(offsets[ray + 1], count);
  const int lane = lane_index();
  float t = 1.0f, behind = 0.0f, of_color[C + 1];
  for (long long base = begin; base < end; base += 32) {
    const long long i = base + lane;
    const float before = light_before(i < end && t >= STOP ? alphas[i] : 0.0f, t);
    if (i < end) for_alphas[i] = before;  // this lane comes back to it
  }
#pragma unroll
  for (int c = 0; c < C; ++c) of_color[c] = for_color[C * ray + c];
  const float of_opacity = for_opacity[ray], of_distance = for_distance ? for_distance[ray] : 0.0f;
  const long long blocks = end > begin ? (end - begin + 31) / 32 : 0;
  for (long long block = blocks - 1; block >= 0; --block) {
    const long long i = begin + 32 * block + lane;
    const bool seen = i < end && for_alphas[i] >= STOP;
    float before = 0.0f, alpha = 0.0f, value = 0.0f;
    if (seen) {
      before = for_alphas[i];
      alpha = alphas[i];
      value = (for_weights ? for_weights[i] : 0.0f) + of_opacity + of_distance * distances[i];
#pragma unroll
      for (int c = 0; c < C; ++c) value += of_color[c] * colors[C * i + c];
    }
    // behind before this sample = shift + factor * behind after all of the warp's.
    float factor = 1.0f - alpha, shift = alpha * value;
    scan_maps_back(factor, shift);
    float factor_after = __shfl_down_sync(ALL, factor, 1), shift_after = __shfl_down_sync(ALL, shift, 1);
    const float after = lane == 31 ? behind : shift_after + factor_after * behind;
    behind = __shfl_sync(ALL, shift, 0) + __shfl_sync(ALL, factor, 0) * behind;
    if (i >= end) continue;
    for_alphas[i] = before * (value - after);
#pragma unroll
    for (int c = 0; c < C; ++c) for_colors[C * i + c] = before * alpha * of_color[c];
  }
}
