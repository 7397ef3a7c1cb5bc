// The multiresolution grid of simplices. DIMENSIONS is a macro, 2 to 6; the others as in grid.cuh.
#include "simplex_grid.h"

#include "grid.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 128;

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

__device__ long long point() { return (long long)blockIdx.x * THREADS + threadIdx.x; }

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    simplex_grid(const float* positions, const Entry* table, long long count, long long levels, const int* layout,
                 Entry* out) {
  if (point() < count) encode<Simplex>(positions, table, point(), (int)levels, layout, out);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    simplex_grid_backward(const Entry* gradient, const float* positions, long long count, long long levels,
                          const int* layout, float* result) {
  scatter<Simplex>(gradient, positions, point(), point() < count, (int)levels, layout, result);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    simplex_grid_slope(const Entry* gradient, const float* positions, const Entry* table, long long count,
                       long long levels, const int* layout, float* result) {
  if (point() < count) slope<Simplex>(gradient, positions, table, point(), (int)levels, layout, result);
}
