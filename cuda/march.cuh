// The ray marcher as kernels use it.
#pragma once

#include "march.h"

namespace scenekit {

// `constants`: the first five members of StepRule and log2(1 + cone).
__device__ __forceinline__ StepRule step_rule(const float* c, const float* powers, long long power_count) {
  return {c[0], c[1], c[2], c[3], c[4], 1 / c[0], 1 / c[1], 1 / c[5], powers, (int)power_count};
}

__device__ __forceinline__ CellBits cell_bits(const Word* fine, const Word* coarse, long long cascades,
                                              long long grid) {
  CellBits bits = cell_bits_of((int)cascades, (int)grid);
  bits.fine = fine;
  bits.coarse = coarse;
  return bits;
}

}  // namespace scenekit
