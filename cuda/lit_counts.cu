// How many samples of each ray light reaches: a warp takes a ray, 32 samples at a time, and stops where none of them is lit.
#include "composite.h"
#include "warp.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 128, RAYS = THREADS / 32;

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    lit_counts(const float* thickness, const long long* offsets, long long rays, long long count, long long* counts) {
  const long long ray = (long long)blockIdx.x * RAYS + threadIdx.x / 32;
  if (ray >= rays) return;
  const long long begin = within(offsets[ray], count), end = within(offsets[ray + 1], count);
  float before = 0.0f;
  long long lit = 0;
  for (long long base = begin; base < end && before < OPAQUE; base += 32) {
    const long long i = base + lane_index();
    float own = i < end ? thickness[i] : 0.0f;
    own = own < OPAQUE ? own : 2.0f * OPAQUE;  // also what is not a number
    const float through = scan_sums(own);
    float light = __shfl_up_sync(ALL, through, 1);
    light = before + (lane_index() == 0 ? 0.0f : light);
    lit += __popc(__ballot_sync(ALL, i < end && light < OPAQUE));
    before += __shfl_sync(ALL, through, 31);
  }
  if (lane_index() == 0) counts[ray] = lit;
}
