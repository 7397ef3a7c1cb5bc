// A point at one level of the grid of cubes, as grid.cuh takes it. DIMENSIONS is a macro, 1 to 3.
#pragma once

#include "grid.cuh"
#include "hash_grid.h"

namespace scenekit {

struct Corners {
  static constexpr int D = DIMENSIONS, VERTICES = 1 << D, KEYS = D;
  static constexpr bool PAIRED = true;
  unsigned key[D], row[VERTICES];
  float fraction[D], weight[VERTICES];

  __device__ __forceinline__ void find(const float* x, const Level& level) {
#pragma unroll
    for (int a = 0; a < D; ++a) grid_locate<float>(x[a], level.scale, key[a], fraction[a]);
#pragma unroll
    for (int j = 0; j < VERTICES / 2; ++j) {
      unsigned rest = grid_pair_row<D, unsigned>(key, level.resolution, level.hashed, j);
      row[2 * j] = within(level, level.hashed ? rest ^ key[0] : rest + key[0]);
      row[2 * j + 1] = within(level, level.hashed ? rest ^ (key[0] + 1) : rest + key[0] + 1);
      float both = grid_pair_weight<D, float>(fraction, j);
      weight[2 * j + 1] = both * fraction[0];
      weight[2 * j] = both - weight[2 * j + 1];
    }
  }

  __device__ __forceinline__ unsigned within(const Level& level, unsigned r) const {
    if (level.hashed) return r & (level.size - 1);
    return r < level.size ? r : r % level.size;
  }

  __device__ __forceinline__ void slope(const float* dots, float scale, float* slope) const {
#pragma unroll
    for (int j = 0; j < VERTICES / 2; ++j)
      grid_pair_slope<D, float>(fraction, scale, j, dots[2 * j], dots[2 * j + 1], slope);
  }
};

}  // namespace scenekit
