// The ray marcher as other loops use it: some samples of a ray at a time.
#pragma once

#include <cstdint>

#include "../march.h"

namespace scenekit {

// `constants`: the first five members of StepRule and log2(1 + cone).
StepRule step_rule(const float* constants, const float* powers, int64_t power_count);

// False where the ray meets no cascade at all. Not inline: the callers let products and sums be fused.
bool begin_march(const StepRule& rule, const CellBits& occupancy, const float* origin, const float* direction,
                 float near, float far, float jitter, RayMarch& march);

// Writes up to `most` further samples of the ray; fewer mean that there are no more.
int64_t march_on(const StepRule& rule, const CellBits& occupancy, RayMarch& march, int64_t most, float* distances,
                 float* deltas);

}  // namespace scenekit
