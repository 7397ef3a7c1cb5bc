// Pictures of a grid in one pass: march, encode, density, transmittance, colour, nothing written between them. Warps work
// for themselves. A group of `lanes` neighbouring lanes follows a ray: in a turn it looks for samples, for a bounded time,
// then the warp takes whatever its lanes have found through the networks. Groups whose ray is done get another when some
// have none; rays come off one counter, neighbours to one warp.
//
// Macros: those of field.cuh; EXACT, whether networks are computed in float32.
#include "composite.h"
#include "march.cuh"
#if EXACT
#include "networks_exact.cuh"
#else
#include "networks_half.cuh"
#endif
#include "trace.h"

using namespace scenekit;

namespace {

constexpr int WARPS = 8, BLOCKS = 2;  // of a block, of a multiprocessor
constexpr int PROBES = 4;             // steps that a lane looks at in a turn, as long as it finds nothing
constexpr int ENOUGH = 24;            // lanes of a warp with a sample for which others need not look on
constexpr int VACANT = 8;             // lanes of a warp without a ray from which on it takes further ones

struct Rays {
  const float *origins, *directions, *near, *far, *jitter;
  long long count;
  unsigned long long* next;
};

struct Pixels {
  float *colors, *opacities, *distances;
  long long* samples;
};

// What a lane knows of the ray that its group follows; what it has seen of it itself.
struct Follower {
  RayMarch march = {};
  int ray = -1, taken = 0, lit = 0;
  float light = 1.0f, opacity = 0.0f, distance = 0.0f, color[3] = {};
};

// Rays that the warp has taken off the counter.
struct Queue {
  long long next = 0, end = 0;
  bool dry = false;  // nothing is left on the counter
};

// A sample of a lane, if it has one.
struct Found {
  bool is = false;
  float distance = 0.0f, delta = 0.0f;
};

__device__ __forceinline__ void write(const Group& group, const Follower& f, bool done, const Pixels& to) {
  if (!__any_sync(ALL, done)) return;
  float color[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) color[c] = group.sum(f.color[c]);
  const float opacity = group.sum(f.opacity), distance = group.sum(f.distance);
  if (!done || group.own != 0) return;
#pragma unroll
  for (int c = 0; c < 3; ++c) to.colors[3ll * f.ray + c] = color[c];
  to.opacities[f.ray] = opacity;
  to.distances[f.ray] = distance;
  to.samples[f.ray] = f.lit;
}

// Gives a ray to every group without one, as long as there are any.
__device__ __forceinline__ void take_rays(const Group& group, const Rays& rays, const StepRule& rule, int cascades,
                                          Queue& queue, Follower& f, Networks& networks, const Pixels& pixels) {
  const int together = 32 / group.lanes;
  for (;;) {
    const unsigned vacant = __ballot_sync(ALL, f.ray < 0 && group.own == 0);
    if (!vacant) return;
    if (queue.next >= queue.end) {
      if (queue.dry) return;
      long long first = 0;
      if (lane_index() == 0) first = (long long)atomicAdd(rays.next, (unsigned long long)together);
      queue.next = __shfl_sync(ALL, first, 0);
      queue.end = queue.next + together < rays.count ? queue.next + together : rays.count;
      queue.dry = queue.end >= rays.count;
      continue;
    }
    const long long r = queue.next + __popc(vacant & ((1u << group.first) - 1));
    const bool takes = f.ray < 0 && r < queue.end;
    queue.next += __popc(vacant);
    bool misses = false;
    if (takes) {
      f = Follower{};
      f.ray = (int)r;
      const float* d = rays.directions + 3 * r;
      misses = !enter_march(rule, cascades, rays.origins + 3 * r, d, rays.near[r], rays.far[r], rays.jitter[r], f.march);
      if (!misses) networks.face(d);
    }
    write(group, f, misses, pixels);
    if (misses) f.ray = -1;
  }
}

// Looks for the next sample of this lane, or some that its group shares.
__device__ __forceinline__ Found search(const Group& group, const StepRule& rule, const CellBits& bits, int most,
                                        Follower& f) {
  Found found;
  bool looks = f.ray >= 0;
  for (int k = 0; k < PROBES && __any_sync(ALL, looks); ++k) {
    if (k > 0 && __popc(__ballot_sync(ALL, found.is)) >= ENOUGH) break;
    Probe probe;
    const unsigned samples = probe_together(group, rule, bits, f.march, looks, probe);
    if (group.has_own(samples) && f.taken + group.before_own(samples) < most)
      found = {true, probe.middle, probe.length};
    f.taken += __popc(samples);
    looks = looks && !samples && f.march.next >= 0;
  }
  return found;
}

}  // namespace

// `next` begins as 0.
extern "C" __global__ void __launch_bounds__(32 * WARPS, BLOCKS)
    trace_hash_grid(const float* origins, const float* directions, const float* near, const float* far,
                    const float* jitter, long long count, long long max_samples, const Word* fine, const Word* coarse,
                    long long cascades, long long grid, const float* rule_numbers, long long rule_size,
                    const Entry* table, const int* layout, const float* weights, float log_density, float per_side,
                    long long contracted, long long shaded, long long lanes, unsigned long long* next, float* colors,
                    float* opacities, float* distances, long long* samples) {
  // Blocks that begin late mostly find nothing left.
  if (__syncthreads_and(*(volatile unsigned long long*)next >= (unsigned long long)count)) return;
  SK_DYNAMIC_SHARED(unsigned, memory);
  __shared__ StepRule rule;
  if (threadIdx.x == 0) rule = step_rule(rule_numbers, rule_size);
  Networks networks(weights, memory);
  const Rays rays{origins, directions, near, far, jitter, count, next};
  const Pixels pixels{colors, opacities, distances, samples};
  const CellBits bits = cell_bits(fine, coarse, cascades, grid);
  const Group group((int)lanes);
  const int most = max_samples < 1 << 30 ? (int)max_samples : 1 << 30;
  Queue queue;
  Follower f;
  for (;;) {
    if (__popc(__ballot_sync(ALL, f.ray < 0)) >= VACANT)
      take_rays(group, rays, rule, bits.cascades, queue, f, networks, pixels);
    if (!__any_sync(ALL, f.ray >= 0)) return;
    const Found found = search(group, rule, bits, most, f);
    if (__any_sync(ALL, found.is)) {
      if (found.is) {
        float p[3];
#pragma unroll
        for (int a = 0; a < 3; ++a) p[a] = f.march.ray.origin[a] + f.march.ray.direction[a] * found.distance;
        field_position<float>(p, contracted, per_side);
        networks.encode(p, table, layout);
      }
      const float raw = networks.density(found.is) + log_density;
      const float alpha = found.is ? step_alpha<float>(raw, found.delta) : 0.0f;
      float through;
      const float before = f.light * group.product_before(1.0f - alpha, through);
      f.light *= through;
      const bool lit = found.is && before >= STOP;
      const float weight = lit ? before * alpha : 0.0f;
      f.opacity += weight;
      f.distance += weight * found.distance;
      f.lit += __popc(group.ballot(lit));
      const bool seen = shaded && weight > INVISIBLE;
      if (__any_sync(ALL, seen)) {
        float raw_color[3];
        networks.color(seen, raw_color);
        if (seen)
          for (int c = 0; c < 3; ++c) f.color[c] += weight * sigmoid<float>(raw_color[c]);
      }
    }
    const bool done = f.ray >= 0 && !(f.light >= STOP && f.taken < most && f.march.next >= 0);
    write(group, f, done, pixels);
    if (done) f.ray = -1;
  }
}
