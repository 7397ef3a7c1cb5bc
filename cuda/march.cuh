// The ray marcher as kernels use it.
#pragma once

#include "march.h"

namespace scenekit {

// `packed`: the first five members of StepRule, log2(1 + cone), powers; `size` numbers in all.
__device__ __forceinline__ StepRule step_rule(const float* packed, long long size) {
  constexpr int CONSTANTS = 6;
  const float* c = packed;
  return {c[0], c[1], c[2], c[3], c[4], 1 / c[0], 1 / c[1], 1 / c[5], c + CONSTANTS, (int)size - CONSTANTS};
}

__device__ __forceinline__ CellBits cell_bits(const Word* fine, const Word* coarse, long long cascades,
                                              long long grid) {
  CellBits bits = cell_bits_of((int)cascades, (int)grid);
  bits.fine = fine;
  bits.coarse = coarse;
  return bits;
}

}  // namespace scenekit
