// Leaves of the ray marcher: where steps stand along a ray, which cascade answers for a point, where the cell
// ends. A sample set is a set of yes-or-no answers, so products and sums are rounded one by one: fused, they
// would move a sample across a cell's face on one machine and not on the other.
#pragma once

#include "lanes.h"

namespace scenekit {

#if defined(__CUDA_ARCH__)
SK_LEAF float times(float a, float b) { return __fmul_rn(a, b); }
SK_LEAF float plus(float a, float b) { return __fadd_rn(a, b); }
#else
// The files that include this one switch contraction off.
SK_LEAF float times(float a, float b) { return a * b; }
SK_LEAF float plus(float a, float b) { return a + b; }
#endif

// Lengths of steps, and what follows from them. `powers[k]` is (1 + cone)^k.
struct StepRule {
  float smallest, largest, cone;
  float widening, widest;  // distances where the cone reaches the smallest and the largest step
  float per_smallest, per_largest, per_cone, per_growth;  // reciprocals, the last of log2(1 + cone); for estimates only
  const float* powers;
  int power_count;
};

// `c`: the first five members and log2(1 + cone).
SK_LEAF StepRule step_rule_of(const float* c, const float* powers, int power_count) {
  return {c[0], c[1], c[2], c[3], c[4], 1 / c[0], 1 / c[1], 1 / c[2], 1 / c[5], powers, power_count};
}

SK_LEAF float step_at(const StepRule& rule, float t) {
  return min(max(times(t, rule.cone), rule.smallest), rule.largest);
}

// The steps of one ray: equal ones first, then growing ones, then equal ones again. The start of any step
// follows from its index, so that a stretch of empty space is skipped without walking it.
struct StepLattice {
  float first, second, third;  // where the three stretches begin
  float per_second;            // reciprocal, for estimates only
  int equal, growing;          // steps of the first two
};

constexpr float MANY_STEPS = 1073741824.0f;

SK_LEAF int powers_below(const StepRule& rule, float factor) {
  int low = 0, high = rule.power_count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (rule.powers[middle] < factor) low = middle + 1;
    else high = middle;
  }
  return low;
}

SK_LEAF float ceiling(float x) {
  float whole = (float)(int)x;
  return whole < x ? whole + 1.0f : whole;
}

SK_LEAF StepLattice lattice_of(const StepRule& rule, float near, float jitter) {
  StepLattice at;
  at.first = plus(near, times(jitter, step_at(rule, near)));
  float count = (rule.widening - at.first) / rule.smallest;
  at.equal = (int)ceiling(max(min(count, MANY_STEPS), 0.0f));
  at.second = plus(at.first, times((float)at.equal, rule.smallest));
  at.per_second = 1.0f / at.second;
  at.growing = powers_below(rule, rule.widest / at.second);
  at.growing = at.growing < rule.power_count ? at.growing : rule.power_count - 1;
  at.third = times(at.second, rule.powers[at.growing]);
  return at;
}

// Length and middle of step `n`.
SK_LEAF float step_middle(const StepRule& rule, const StepLattice& at, int n, float& length) {
  float begin;
  if (n < at.equal) {
    begin = plus(at.first, times((float)n, rule.smallest));
    length = rule.smallest;
  } else if (n - at.equal < at.growing) {
    begin = times(at.second, rule.powers[n - at.equal]);
    length = times(begin, rule.cone);
  } else {
    begin = plus(at.third, times((float)(n - at.equal - at.growing), rule.largest));
    length = rule.largest;
  }
  return plus(begin, times(length, 0.5f));
}

SK_LEAF float power_of_two(int k) { return bits_to_float((127 + k) << 23); }

// log2 within 2e-4 for positive x: a call of the library would empty every register.
SK_LEAF float rough_log2(float x) {
  int bits = float_to_bits(x);
  float m = bits_to_float((bits & 0x007fffff) | 0x3f800000);
  float p = -0.0784407f;
  p = p * m + 0.6260322f;
  p = p * m + -2.0783352f;
  p = p * m + 4.0292114f;
  p = p * m + -2.4983531f;
  return p + (float)((bits >> 23) - 127);
}

// The first step from `least` on whose middle reaches `target`, or one a little before it, never one behind:
// the estimate may err, the walk back may not.
SK_LEAF int seek(const StepRule& rule, const StepLattice& at, float target, int least) {
  float guess;
  if (target <= at.second) guess = (target - at.first) * rule.per_smallest + 0.5f;
  else if (target <= at.third) guess = (float)at.equal + rough_log2(target * at.per_second) * rule.per_growth + 0.5f;
  else guess = (float)at.equal + (float)at.growing + (target - at.third) * rule.per_largest + 0.5f;
  int n = (int)max(min(guess, MANY_STEPS), (float)least);
  n = n > least ? n : least;
  float length;
  while (n > least && step_middle(rule, at, n - 1, length) >= target) --n;
  return n;
}

// The smallest cascade [-2^k, 2^k]^3 that holds the point and whose cells are no shorter than the step;
// `cascades` where none holds it.
SK_LEAF int cascade_of(float reach, float length, float finest_cell, int cascades) {
  int k = 0;
  float half_side = 1.0f;
  while (k < cascades && reach > half_side) {
    half_side *= 2.0f;
    ++k;
  }
  float cell = finest_cell * half_side;
  while (k < cascades - 1 && length > cell) {
    cell *= 2.0f;
    ++k;
  }
  return k;
}

SK_LEAF int cell_of(float x, float inverse_half_side, int grid) {
  int cell = (int)times(plus(x * inverse_half_side, 1.0f), 0.5f * (float)grid);
  cell = cell > 0 ? cell : 0;  // also what is not a number
  return cell < grid ? cell : grid - 1;
}

// The occupancy as bits: one word for 4^3 cells, and behind all of these one for 4^3 of those words, so that a ray crosses
// 16^3 empty cells in one stride.
typedef unsigned long long Word;

struct CellBits {
  const Word *fine, *coarse;
  int cascades, grid, blocks, boxes;  // cells, words, and words of words along a side
  int stride_limit;                   // cells a side of the largest node that no finer cascade's face cuts
  float finest;                       // side of a cell of the first cascade
};

SK_LEAF CellBits cell_bits(const Word* words, long long cascades, long long grid) {
  const int blocks = (int)(grid + 3) / 4, boxes = (int)(grid + 15) / 16;
  const Word* coarse = words + cascades * blocks * blocks * blocks;
  CellBits bits{words, coarse, (int)cascades, (int)grid, blocks, boxes, 16, 2.0f / (float)grid};
  // The face of cascade k - 1 lies a quarter of the way into cascade k.
  while (cascades > 1 && bits.stride_limit > 1 && grid / 4 % bits.stride_limit) bits.stride_limit /= 4;
  return bits;
}

SK_LEAF long long cell_at(int x, int y, int z, int side) { return ((long long)x * side + y) * side + z; }
SK_LEAF int word_at(int cascade, int x, int y, int z, int side) { return ((cascade * side + x) * side + y) * side + z; }
SK_LEAF int bit_of(int x, int y, int z) { return ((x & 3) << 4) | ((y & 3) << 2) | (z & 3); }

// 0 where the cell is occupied, else the side in cells of the largest known empty node about it.
SK_LEAF int empty_side(const CellBits& o, int cascade, const int cell[3]) {
  int x = cell[0], y = cell[1], z = cell[2];
  Word box = o.coarse[word_at(cascade, x >> 4, y >> 4, z >> 4, o.boxes)];
  if (!box) return o.stride_limit;
  if (!(box >> bit_of(x >> 2, y >> 2, z >> 2) & 1)) return o.stride_limit < 4 ? o.stride_limit : 4;
  Word block = o.fine[word_at(cascade, x >> 2, y >> 2, z >> 2, o.blocks)];
  return block >> bit_of(x, y, z) & 1 ? 0 : 1;
}

// Positions are rounded; this is more than their error, relative to the origin and the cascade.
constexpr float SLACK = 1e-6f;
constexpr float FOREVER = 3.0e38f;

struct Ray {
  float origin[3], direction[3], inverse[3];
  float enter, leave;  // of the largest cascade, a little outside of it
};

SK_LEAF Ray ray_of(const float* origin, const float* direction, float near, float far, float half_side) {
  Ray ray;
  ray.enter = near;
  ray.leave = far;
  for (int a = 0; a < 3; ++a) {
    float o = origin[a], d = direction[a];
    ray.origin[a] = o;
    ray.direction[a] = d;
    ray.inverse[a] = 1.0f / d;
    float reach = half_side + SLACK * ((o < 0 ? -o : o) + half_side);
    if (d == 0.0f) {
      if (!(o >= -reach && o <= reach)) ray.leave = -FOREVER;
      continue;
    }
    float low = (-reach - o) * ray.inverse[a], high = (reach - o) * ray.inverse[a];
    ray.enter = max(ray.enter, min(low, high));
    ray.leave = min(ray.leave, max(low, high));
  }
  return ray;
}

// A distance a little before the ray leaves the node of `side` cells about `cell`.
SK_LEAF float exit_of(const Ray& ray, const int cell[3], int side, float half_side, float cell_side) {
  float exit = FOREVER;
  for (int a = 0; a < 3; ++a) {
    float o = ray.origin[a], d = ray.direction[a];
    float slack = SLACK * ((o < 0 ? -o : o) + half_side);
    int face = cell[a] & -side;
    float border = (float)(d > 0 ? face + side : face) * cell_side - half_side;
    float t = ((d > 0 ? border - slack : border + slack) - o) * ray.inverse[a];
    exit = d != 0.0f && t < exit ? t : exit;
  }
  return exit;
}

// A ray and how far along its steps it has come.
struct RayMarch {
  Ray ray;
  StepLattice lattice;
  int next;
};

// False where the ray meets no cascade at all.
SK_LEAF bool enter_march(const StepRule& rule, int cascades, const float* origin, const float* direction, float near,
                         float far, float jitter, RayMarch& march) {
  march.ray = ray_of(origin, direction, near, far, power_of_two(cascades - 1));
  if (!(march.ray.enter < march.ray.leave)) return false;
  march.lattice = lattice_of(rule, near, jitter);
  march.next = seek(rule, march.lattice, march.ray.enter, 0);
  return true;
}

// What a step of a ray meets.
struct Probe {
  float middle, length;
  int cascade, cell[3];
  int empty;  // side in cells of the largest known empty node about it; 0 where the cell is occupied
};

// False where step `n` is behind the end of the ray.
SK_LEAF bool probe_step(const StepRule& rule, const CellBits& o, const RayMarch& march, int n, Probe& probe) {
  const Ray& ray = march.ray;
  probe.middle = step_middle(rule, march.lattice, n, probe.length);
  if (!(probe.middle < ray.leave)) return false;
  float p[3], reach = 0.0f;
  for (int a = 0; a < 3; ++a) {
    p[a] = plus(ray.origin[a], times(ray.direction[a], probe.middle));
    reach = max(reach, p[a] < 0 ? -p[a] : p[a]);
  }
  probe.cascade = cascade_of(reach, probe.length, o.finest, o.cascades);
  probe.empty = 1;
  if (probe.cascade == o.cascades) return true;
  float inverse = power_of_two(-probe.cascade);
  for (int a = 0; a < 3; ++a) probe.cell[a] = cell_of(p[a], inverse, o.grid);
  probe.empty = empty_side(o, probe.cascade, probe.cell);
  return true;
}

// The first step behind `n` that may be outside of the empty node in which a probe found step `n`.
SK_LEAF int step_past(const StepRule& rule, const CellBits& o, const RayMarch& march, const Probe& probe, int n) {
  if (probe.cascade == o.cascades) return n + 1;
  const float half_side = power_of_two(probe.cascade), side = o.finest * half_side;
  float target = exit_of(march.ray, probe.cell, probe.empty, half_side, side);
  target = min(target, march.ray.leave);
  // Steps longer than the cell belong to the next cascade, which may be occupied here.
  if (probe.cascade < o.cascades - 1 && rule.cone > 0)
    target = min(target, side * rule.per_cone * (1.0f - SLACK));
  return seek(rule, march.lattice, target, n + 1);
}

// The next sample of the ray; false where there is none.
SK_LEAF bool next_sample(const StepRule& rule, const CellBits& o, RayMarch& march, float& distance, float& delta) {
  Probe probe;
  for (int n = march.next; probe_step(rule, o, march, n, probe); n = step_past(rule, o, march, probe, n)) {
    if (probe.empty) continue;
    distance = probe.middle;
    delta = probe.length;
    march.next = n + 1;
    return true;
  }
  return false;
}

}  // namespace scenekit
