// A point at one level of the grid of simplices, as grid.cuh and grid_backward.cuh take it. DIMENSIONS is a macro, 2
// to 6.
#pragma once

#include "grid.cuh"
#include "simplex_grid.h"

namespace scenekit {

struct __align__(16) Simplex {
  static constexpr int D = DIMENSIONS, VERTICES = D + 1;
  static constexpr bool PAIRED = false;
  unsigned row[VERTICES];
  float weight[VERTICES];
  unsigned axis[D];

  __device__ __forceinline__ void find(const float* x, const Level& level) {
    float fraction[D];
    unsigned cell[D];
#pragma unroll
    for (int a = 0; a < D; ++a) axis[a] = a;
    simplex_locate<D, float>(x, level.scale, cell, fraction);
    if (level.hashed) {
      simplex_vertices<D, float>(cell, fraction, 0, true, axis, row, weight);
#pragma unroll
      for (int v = 0; v < VERTICES; ++v) row[v] &= level.size - 1;
      return;
    }
    simplex_vertices<D, float>(cell, fraction, level.resolution, false, axis, row, weight);
    bool outside = false;
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) outside |= row[v] >= level.size;
    if (!outside) return;
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) row[v] %= level.size;
  }

  __device__ __forceinline__ void slope(const float* dots, float scale, float* slope) const {
    simplex_slope<D, float>(axis, dots, scale, slope);
  }

  // Puts the two vertices first between which the way goes along x.
  __device__ __forceinline__ void pair_up() {
    unsigned rows[VERTICES];
    float weights[VERTICES];
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) rows[v] = row[v], weights[v] = weight[v];
    bool passed = false;  // whether the way has gone along x before vertex k + 1
#pragma unroll
    for (int k = 0; k < D; ++k) {
      if (axis[k] == 0) {
        row[0] = rows[k], row[1] = rows[k + 1];
        weight[0] = weights[k], weight[1] = weights[k + 1];
        passed = true;
      }
      if (k + 2 < VERTICES) {
        row[k + 2] = passed ? rows[k + 2] : rows[k];
        weight[k + 2] = passed ? weights[k + 2] : weights[k];
      }
    }
  }

  __device__ __forceinline__ bool is(const Simplex& other) const {
    bool same = true;
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) same &= row[v] == other.row[v];
    return same;
  }

  // All lanes of a warp come here.
  __device__ __forceinline__ bool is_that_of_lane_before() const {
    bool same = true;
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) same &= __shfl_up_sync(ALL, row[v], 1) == row[v];
    return same;
  }

  // A bit for each vertex of `before` whose row is none of this simplex's.
  __device__ __forceinline__ unsigned left_behind(const Simplex& before) const {
    unsigned found = 0;
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) {
      bool stays = false;
#pragma unroll
      for (int to = 0; to < VERTICES; ++to) stays |= before.row[v] == row[to];
      found |= stays ? 0u : 1u << v;
    }
    return found;
  }

  // Moves what was added up for rows of `before` to where they are in this simplex; other rows begin at zero.
  template <int N> __device__ __forceinline__ void carry(const Simplex& before, float (&sum)[VERTICES][N]) const {
    float moved[VERTICES][N] = {};
#pragma unroll
    for (int v = 0; v < VERTICES; ++v) {
      bool placed = false;  // vertices may have one row in common
#pragma unroll
      for (int to = 0; to < VERTICES; ++to) {
        const bool here = !placed && before.row[v] == row[to];
        placed |= here;
#pragma unroll
        for (int n = 0; n < N; ++n) moved[to][n] += here ? sum[v][n] : 0.0f;
      }
    }
#pragma unroll
    for (int v = 0; v < VERTICES; ++v)
#pragma unroll
      for (int n = 0; n < N; ++n) sum[v][n] = moved[v][n];
  }
};

}  // namespace scenekit
