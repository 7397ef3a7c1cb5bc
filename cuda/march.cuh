// The ray marcher as kernels use it.
#pragma once

#include "group.cuh"
#include "march.h"

namespace scenekit {

// `packed`: what step_rule_of takes; `size` numbers in all.
__device__ __forceinline__ StepRule step_rule(const float* packed, long long size) {
  constexpr int CONSTANTS = 6;
  return step_rule_of(packed, packed + CONSTANTS, (int)size - CONSTANTS);
}

// Looks at one step per lane of the group's ray, if the group `looks`; returns a bit for each that is a sample. The ray's
// next step becomes the one to look at then, -1 where there is none. All lanes of a warp come along.
__device__ __forceinline__ unsigned probe_together(const Group& group, const StepRule& rule, const CellBits& bits,
                                                   RayMarch& march, bool looks, Probe& probe) {
  const int n = march.next + group.own;
  const bool there = looks && probe_step(rule, bits, march, n, probe);
  const unsigned found = group.ballot(there && probe.empty == 0);
  int next = there ? n + 1 : -1;
  if (there && group.own == group.lanes - 1 && probe.empty) next = step_past(rule, bits, march, probe, n);
  next = group.of_last(next);
  if (looks) march.next = next;
  return found;
}

}  // namespace scenekit
