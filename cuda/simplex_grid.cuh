// A point at one level of the grid of simplices, as grid.cuh takes it. DIMENSIONS is a macro, 2 to 6.
#pragma once

#include "grid.cuh"
#include "simplex_grid.h"

namespace scenekit {

struct Simplex {
  static constexpr int D = DIMENSIONS, VERTICES = D + 1, KEYS = D + 1;
  static constexpr bool PAIRED = false;
  unsigned key[KEYS], row[VERTICES], axis[D];
  float weight[VERTICES];

  __device__ __forceinline__ void find(const float* x, const Level& level) {
    float fraction[D];
    unsigned cell[D];
#pragma unroll
    for (int a = 0; a < D; ++a) axis[a] = a;
    simplex_locate<D, float>(x, level.scale, cell, fraction);
    simplex_vertices<D, float>(cell, fraction, level.resolution, level.hashed, axis, row, weight);
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) {
      if (level.hashed) row[v] &= level.size - 1;
      else if (row[v] >= level.size) row[v] %= level.size;
      key[v] = row[v];
    }
  }

  __device__ __forceinline__ void slope(const float* dots, float scale, float* slope) const {
    simplex_slope<D, float>(axis, dots, scale, slope);
  }
};

}  // namespace scenekit
