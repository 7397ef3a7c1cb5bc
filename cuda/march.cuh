// The ray marcher as kernels use it.
#pragma once

#include "march.h"

namespace scenekit {

// `packed`: what step_rule_of takes; `size` numbers in all.
__device__ __forceinline__ StepRule step_rule(const float* packed, long long size) {
  constexpr int CONSTANTS = 6;
  return step_rule_of(packed, packed + CONSTANTS, (int)size - CONSTANTS);
}

__device__ __forceinline__ CellBits cell_bits(const Word* fine, const Word* coarse, long long cascades,
                                              long long grid) {
  CellBits bits = cell_bits_of((int)cascades, (int)grid);
  bits.fine = fine;
  bits.coarse = coarse;
  return bits;
}

}  // namespace scenekit
