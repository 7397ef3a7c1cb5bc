// Pictures of a grid in one pass: march, encode, density, transmittance, colour, nothing written between them. Warps work
// for themselves. Rays come off one counter, neighbours to one warp, and wait once their first sample is found. A group of
// `lanes` neighbouring lanes follows a ray: in a turn it looks for samples, for a bounded time, then the warp takes
// whatever its lanes have found through the networks. Groups whose ray is done take another when some have none.
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
constexpr int FEW = 4;                // lanes that still look, for which the others do not wait
constexpr int VACANT = 4;             // lanes without a ray from which on the warp takes further ones

// What all warps count together: rays taken, and samples of rays that are done. None is taken once those fill the room.
struct Counters {
  unsigned long long* of;
  long long room;  // negative where there is no end to it

  __device__ __forceinline__ bool is_full() const {
    return room >= 0 && *(volatile unsigned long long*)(of + 1) >= (unsigned long long)room;
  }
  __device__ __forceinline__ bool is_over(long long count) const {
    return is_full() || *(volatile unsigned long long*)of >= (unsigned long long)count;
  }
  __device__ __forceinline__ void add(int lit) const {
    if (room < 0) return;
    lit = sum_of_warp(lit);
    if (lane_index() == 0 && lit) atomicAdd(of + 1, (unsigned long long)lit);
  }
};

struct Rays {
  const float *origins, *directions, *near, *far, *jitter;
  long long count;
  Counters counters;

  // False where ray r meets no cascade at all.
  __device__ __forceinline__ bool enter(const StepRule& rule, const CellBits& bits, long long r, RayMarch& march) const {
    const float *origin = origins + 3 * r, *direction = directions + 3 * r;
    return enter_march(rule, bits.cascades, origin, direction, near[r], far[r], jitter[r], march);
  }
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

// Rays that the warp has taken off the counter and that meet something, until groups follow them; in shared memory, which
// they are and which of their steps is the first sample.
struct Waiting {
  int2* rays;
  int first = 0, count = 0;
  bool are_last = false;
};

// A sample of a lane, if it has one.
struct Found {
  bool is = false;
  float distance = 0.0f, delta = 0.0f;
};

__device__ __forceinline__ void write(const Follower& f, long long ray, const Pixels& to) {
#pragma unroll
  for (int c = 0; c < 3; ++c) to.colors[3 * ray + c] = f.color[c];
  to.opacities[ray] = f.opacity;
  to.distances[ray] = f.distance;
  to.samples[ray] = f.lit;
}

// Writes what groups whose ray is done have seen together; those are without one then.
__device__ __forceinline__ void leave_rays(const Group& group, bool done, const Counters& counters, Follower& f,
                                           const Pixels& pixels) {
  if (!__any_sync(ALL, done)) return;
  counters.add(done && group.own == 0 ? f.lit : 0);
  Follower all = f;
#pragma unroll
  for (int c = 0; c < 3; ++c) all.color[c] = group.sum(f.color[c]);
  all.opacity = group.sum(f.opacity);
  all.distance = group.sum(f.distance);
  if (!done) return;
  if (group.own == 0) write(all, f.ray, pixels);
  f.ray = -1;
}

// Takes rays off the counter and looks for the first sample of each, a lane for a ray. Most of what there is to search is
// searched here, by neighbours side by side; what finds nothing needs no group.
__device__ __forceinline__ void look_ahead(const Group& group, const Rays& rays, const StepRule& rule,
                                           const CellBits& bits, Waiting& waiting, const Pixels& pixels) {
  const int together = 32 / group.lanes;
  long long first = 0;
  if (lane_index() == 0)
    first = rays.counters.is_full() ? rays.count : (long long)atomicAdd(rays.counters.of, (unsigned long long)together);
  first = __shfl_sync(ALL, first, 0);
  const long long r = first + lane_index();
  const bool is_ray = lane_index() < together && r < rays.count;
  RayMarch march = {};
  float distance, delta;
  const bool meets = is_ray && rays.enter(rule, bits, r, march) && next_sample(rule, bits, march, distance, delta);
  if (is_ray && !meets) write(Follower{}, r, pixels);
  const unsigned all = __ballot_sync(ALL, meets);
  __syncwarp();  // all have read what was there
  if (meets) waiting.rays[__popc(all & ((1u << lane_index()) - 1))] = make_int2((int)r, march.next - 1);
  __syncwarp();
  waiting.first = 0;
  waiting.count = __popc(all);
  waiting.are_last = first + together >= rays.count;
}

// Gives a ray to every group without one, as long as there are any.
__device__ __forceinline__ void take_rays(const Group& group, const Rays& rays, const StepRule& rule,
                                          const CellBits& bits, bool shaded, Waiting& waiting, Follower& f,
                                          Networks& networks, const Pixels& pixels) {
  for (;;) {
    const unsigned vacant = __ballot_sync(ALL, f.ray < 0 && group.own == 0);
    if (!vacant) return;
    if (waiting.first >= waiting.count) {
      if (waiting.are_last) return;
      look_ahead(group, rays, rule, bits, waiting, pixels);
      continue;
    }
    const int place = waiting.first + __popc(vacant & ((1u << group.first) - 1));
    waiting.first += __popc(vacant);
    if (f.ray >= 0 || place >= waiting.count) continue;
    const int2 found = waiting.rays[place];
    f = Follower{};
    f.ray = found.x;
    rays.enter(rule, bits, f.ray, f.march);
    f.march.next = found.y;
    if (shaded) networks.face(rays.directions + 3ll * f.ray);
  }
}

// Looks for the next sample of this lane, or some that its group shares.
__device__ __forceinline__ Found search(const Group& group, const StepRule& rule, const CellBits& bits, int most,
                                        Follower& f) {
  Found found;
  bool looks = f.ray >= 0;
  for (int k = 0; k < PROBES; ++k) {
    if (__popc(__ballot_sync(ALL, looks)) <= (k ? FEW : 0)) break;
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

// `counted` begins as 0, 0; rays that are not taken for want of room keep what `samples` begin as.
extern "C" __global__ void __launch_bounds__(32 * WARPS, BLOCKS)
    trace_hash_grid(const float* origins, const float* directions, const float* near, const float* far,
                    const float* jitter, long long count, long long max_samples, const Word* words,
                    long long cascades, long long grid, const float* rule_numbers, long long rule_size,
                    const Entry* table, const int* layout, const float* weights, float log_density, float per_side,
                    long long contracted, long long shaded, long long lanes, long long room, unsigned long long* counted,
                    float* colors, float* opacities, float* distances, long long* samples) {
  // Blocks that begin late mostly find nothing left.
  const Counters counters{counted, room};
  if (__syncthreads_and(counters.is_over(count))) return;
  SK_DYNAMIC_SHARED(unsigned, memory);
  __shared__ StepRule rule;
  __shared__ int2 places[WARPS][32];
  if (threadIdx.x == 0) rule = step_rule(rule_numbers, rule_size);
  Networks networks(weights, memory);
  const Rays rays{origins, directions, near, far, jitter, count, counters};
  const Pixels pixels{colors, opacities, distances, samples};
  const CellBits bits = cell_bits(words, cascades, grid);
  const Group group((int)lanes);
  const int most = max_samples < 1 << 30 ? (int)max_samples : 1 << 30;
  Waiting waiting{places[threadIdx.x / 32]};
  Follower f;
  for (;;) {
    if (__popc(__ballot_sync(ALL, f.ray < 0)) >= VACANT)
      take_rays(group, rays, rule, bits, shaded, waiting, f, networks, pixels);
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
    leave_rays(group, done, counters, f, pixels);
  }
}
