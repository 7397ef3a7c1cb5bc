// A point at one level of the grid of cubes, as grid.cuh and grid_backward.cuh take it. DIMENSIONS is a macro, 1 to 3.
#pragma once

#include "grid.cuh"
#include "hash_grid.h"

namespace scenekit {

struct Corners;

// The half of a cube's corners that lies at one end along x.
struct CornersSide {
  static constexpr int D = DIMENSIONS, SLOTS = 1 << (D - 1);
  unsigned row[SLOTS];
  float weight[SLOTS];

  __device__ __forceinline__ void find(const float* x, const Level& level, int side);
};

struct __align__(16) Corners {
  static constexpr int D = DIMENSIONS, VERTICES = 1 << D;
  static constexpr bool PAIRED = true;
  using Side = CornersSide;
  unsigned row[VERTICES];
  float weight[VERTICES];
  unsigned key[D];
  float fraction[D];

  __device__ __forceinline__ void find(const float* x, const Level& level) {
#pragma unroll
    for (int a = 0; a < D; ++a) grid_locate<float>(x[a], level.scale, key[a], fraction[a]);
    rows_of<2>(level, key, key[0], row);
#pragma unroll
    for (int j = 0; j < VERTICES / 2; ++j) {
      float both = grid_pair_weight<D, float>(fraction, j);
      weight[2 * j + 1] = both * fraction[0];
      weight[2 * j] = both - weight[2 * j + 1];
    }
  }

  // Of every pair the row at `x`, and ENDS - 1 further ones along x.
  template <int ENDS>
  static __device__ __forceinline__ void rows_of(const Level& level, const unsigned* key, unsigned x, unsigned* row) {
    constexpr int COUNT = ENDS * VERTICES / 2;
    if (level.hashed) {
#pragma unroll
      for (int n = 0; n < COUNT; ++n)
        row[n] = (grid_pair_row<D, unsigned>(key, 0, true, n / ENDS) ^ (x + n % ENDS)) & (level.size - 1);
      return;
    }
    bool outside = false;
#pragma unroll
    for (int n = 0; n < COUNT; ++n) {
      row[n] = grid_pair_row<D, unsigned>(key, level.resolution, false, n / ENDS) + x + n % ENDS;
      outside |= row[n] >= level.size;
    }
    if (!outside) return;
#pragma unroll
    for (int n = 0; n < COUNT; ++n) row[n] %= level.size;
  }

  __device__ __forceinline__ void slope(const float* dots, float scale, float* slope) const {
#pragma unroll
    for (int j = 0; j < VERTICES / 2; ++j)
      grid_pair_slope<D, float>(fraction, scale, j, dots[2 * j], dots[2 * j + 1], slope);
  }

  // Neighbours along x stand side by side already.
  __device__ __forceinline__ void pair_up() {}

  __device__ __forceinline__ bool is(const Corners& other) const {
    bool same = true;
#pragma unroll
    for (int a = 0; a < D; ++a) same &= key[a] == other.key[a];
    return same;
  }

  // All lanes of a warp come here.
  __device__ __forceinline__ bool is_that_of_lane_before() const {
    bool same = true;
#pragma unroll
    for (int a = 0; a < D; ++a) same &= __shfl_up_sync(ALL, key[a], 1) == key[a];
    return same;
  }

  // A bit for each corner of `before` that is none of this cube.
  __device__ __forceinline__ unsigned left_behind(const Corners& before) const {
    bool stays[D][2];
#pragma unroll
    for (int a = 0; a < D; ++a) {
      const unsigned step = key[a] - before.key[a];
      stays[a][0] = step == 0u || step == ~0u;
      stays[a][1] = step == 0u || step == 1u;
    }
    unsigned found = 0;
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) {
      bool all = true;
#pragma unroll
      for (int a = 0; a < D; ++a) all &= stays[a][v >> a & 1];
      found |= all ? 0u : 1u << v;
    }
    return found;
  }

  // Moves what was added up for corners of `before` to where they are in this cube; new corners begin at zero.
  template <int N> __device__ __forceinline__ void carry(const Corners& before, float (&sum)[VERTICES][N]) const {
#pragma unroll
    for (int a = 0; a < D; ++a) {
      const unsigned step = key[a] - before.key[a];
#pragma unroll
      for (int v = 0; v < VERTICES; ++v) {
        if (v >> a & 1) continue;
#pragma unroll
        for (int n = 0; n < N; ++n) {
          const float low = sum[v][n], high = sum[v | 1 << a][n];
          sum[v][n] = step == 0u ? low : step == 1u ? high : 0.0f;
          sum[v | 1 << a][n] = step == 0u ? high : step == ~0u ? low : 0.0f;
        }
      }
    }
  }
};

__device__ __forceinline__ void CornersSide::find(const float* x, const Level& level, int side) {
  unsigned key[D];
  float fraction[D];
#pragma unroll
  for (int a = 0; a < D; ++a) grid_locate<float>(x[a], level.scale, key[a], fraction[a]);
  Corners::rows_of<1>(level, key, key[0] + side, row);
  const float along = side ? fraction[0] : 1.0f - fraction[0];
#pragma unroll
  for (int j = 0; j < SLOTS; ++j) weight[j] = grid_pair_weight<D, float>(fraction, j) * along;
}

}  // namespace scenekit
