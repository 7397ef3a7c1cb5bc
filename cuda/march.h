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
  float per_smallest, per_largest, per_growth;  // reciprocals, the last of log2(1 + cone); for estimates only
  const float* powers;
  int power_count;
};

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

}  // namespace scenekit
