// What kernels over grids of features share: a point at one level and its blend of rows.
//
// A `Cell` is one point at one level; D and VERTICES are constants; row[] and weight[] (per vertex) are filled by
// find(x, level); slope(dots, scale, slope) adds the gradient with respect to the point. PAIRED: vertices 2j and
// 2j + 1 are neighbours along x. `Cell::Side`, of cubes, is half of a cell, for two lanes that share a point: SLOTS rows
// and weights of the vertices 2j or 2j + 1. What an instruction reads from one line of memory is then one request: rows
// of neighbours along x mostly lie in one line.
//
// Macros: those of entries.cuh.
#pragma once

#include "entries.cuh"
#include "lanes.h"
#include "ptx.cuh"
#include "warp.cuh"

namespace scenekit {

constexpr bool TWO_ROWS = F == CHUNK && 2 * F * sizeof(Entry) <= 16;  // in one load

struct Level {
  float scale;
  unsigned resolution, size, first;
  bool hashed;
};

// `layout` holds four whole numbers a level, the members in their order; whether it is hashed is the last one's sign.
__device__ __forceinline__ Level level_at(const int* layout, int l) {
  const int4 at = __ldg((const int4*)layout + l);
  return {__int_as_float(at.x), (unsigned)at.y, (unsigned)at.z, at.w & 0x7fffffffu, at.w < 0};
}

// Two neighbouring rows that begin at a multiple of two rows; `odd` where the level itself does not.
__device__ __forceinline__ bool lie_together(unsigned a, unsigned b, unsigned odd) {
  unsigned low = a < b ? a : b;
  return (a < b ? b - a : a - b) == 1 && ((low ^ odd) & 1) == 0;
}

// Adds weight times row to `sum`.
__device__ __forceinline__ void add_row(const Entry* row, float weight, float* sum) {
#pragma unroll
  for (int c = 0; c < F; c += CHUNK) {
    float part[CHUNK];
    load_entries<CHUNK>(row + c, part);
#pragma unroll
    for (int f = 0; f < CHUNK; ++f) sum[c + f] += weight * part[f];
  }
}

// By a thread alone.
template <class Cell>
__device__ __forceinline__ void blend(const Cell& cell, const Entry* rows, unsigned odd, float* sum) {
  if constexpr (Cell::PAIRED && TWO_ROWS) {
#pragma unroll
    for (int v = 0; v < Cell::VERTICES; v += 2) {
      unsigned a = cell.row[v], b = cell.row[v + 1];
      float both[2 * F], first = cell.weight[v], second = cell.weight[v + 1];
      if (lie_together(a, b, odd)) {
        load_entries<2 * F>(rows + (size_t)(a < b ? a : b) * F, both);
        if (a > b) first = cell.weight[v + 1], second = cell.weight[v];
      } else {
        load_entries<F>(rows + (size_t)a * F, both);
        load_entries<F>(rows + (size_t)b * F, both + F);
      }
#pragma unroll
      for (int f = 0; f < F; ++f) sum[f] += first * both[f] + second * both[F + f];
    }
  } else {
#pragma unroll
    for (int v = 0; v < Cell::VERTICES; ++v) add_row(rows + (size_t)cell.row[v] * F, cell.weight[v], sum);
  }
}

// By two lanes, of which each brings one half; rows of the level begin at `first`.
template <class Side>
__device__ __forceinline__ void blend_side(const Side& cell, const Entry* table, unsigned first, float* sum) {
#pragma unroll
  for (int j = 0; j < Side::SLOTS; ++j) add_row(table + (size_t)(first + cell.row[j]) * F, cell.weight[j], sum);
}

}  // namespace scenekit
