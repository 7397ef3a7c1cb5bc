// A field that is traced: a grid of features with two small networks on it, between which neurons may stand. Their shape
// is known while compiling; how they are computed is in networks_half.cuh, on tensor cores, or in networks_exact.cuh, in
// float32; neurons are in float32 in both. Both bring
//
//   class Networks
//     WORDS of shared memory for the block, ROOM for each warp
//     Networks(weights, shared)     by all threads of a block, ends with a barrier
//     face(direction)               what colours will be asked for; of this lane
//     encode(x, table, layout)      features of a point of the unit cube; of this lane
//     density(asked)                its raw density; by all lanes of a warp, of which some have encoded a point
//     color(asked, raw)             its raw colour; by all lanes, after density
//
// Macros: SIMPLICES, whether cells are; LEVELS of the grid; FEATURES and ENTRY as in grid.cuh; RADIAL, which function of
// rbf.h neurons are, 0 where the grid's features are what the density network takes; DENSITY and COLOR, widths of the
// layers of both networks, their inputs first; PAIRS, whether neighbours along x are read at once where they can be.
// `weights` are those of all layers [out in], one after the other; behind them, from a multiple of four on, scale and
// shift of neurons [LEVELS NEURONS FEATURES 2].
#pragma once

#define DIMENSIONS 3
#include "cell.cuh"
#include "rbf.h"
#include "spherical_harmonics.h"

namespace scenekit {

constexpr int DENSITY_WIDTH[] = {DENSITY}, COLOR_WIDTH[] = {COLOR};
constexpr int DENSITY_LAYERS = sizeof(DENSITY_WIDTH) / sizeof(int) - 1;
constexpr int COLOR_LAYERS = sizeof(COLOR_WIDTH) / sizeof(int) - 1;
constexpr int ENCODED = DENSITY_WIDTH[0], NEURONS = RADIAL ? ENCODED : 0;
constexpr int FEATURE_COUNT = DENSITY_WIDTH[DENSITY_LAYERS], HARMONICS = COLOR_WIDTH[0] - FEATURE_COUNT;
constexpr int DEGREE = HARMONICS == 1 ? 0 : HARMONICS == 4 ? 1 : HARMONICS == 9 ? 2 : HARMONICS == 16 ? 3 : 4;
static_assert((RADIAL || LEVELS * F == ENCODED) && COLOR_WIDTH[COLOR_LAYERS] == 3);
static_assert((DEGREE + 1) * (DEGREE + 1) == HARMONICS);

// The layers of both networks are counted through, those of the density first.
constexpr int LAYERS = DENSITY_LAYERS + COLOR_LAYERS;
__device__ constexpr int fan_in(int l) {
  return l < DENSITY_LAYERS ? DENSITY_WIDTH[l] : COLOR_WIDTH[l - DENSITY_LAYERS];
}
__device__ constexpr int fan_out(int l) {
  return l < DENSITY_LAYERS ? DENSITY_WIDTH[l + 1] : COLOR_WIDTH[l - DENSITY_LAYERS + 1];
}
__device__ constexpr bool is_last(int l) { return l + 1 == DENSITY_LAYERS || l + 1 == LAYERS; }
__device__ constexpr int weights_before(int l) {
  return l == 0 ? 0 : weights_before(l - 1) + fan_in(l - 1) * fan_out(l - 1);
}

__device__ constexpr int widest_layer() {
  int most = 0;
  for (int l = 0; l < LAYERS; ++l) most = fan_out(l) > most ? fan_out(l) : most;
  return most;
}

// Adds the features of level `l` to `sum`.
__device__ __forceinline__ void blend_level(const float* x, const Entry* table, const int* layout, int l, float* sum) {
  const Level level = level_at(layout, l);
  Cell cell;
  cell.find(x, level);
#if PAIRS
  blend(cell, table + (size_t)level.first * F, level.first & 1, sum);
#else
  // Row by row: lanes whose neighbours along x lie together and lanes whose do not would take turns.
#pragma unroll
  for (int v = 0; v < Cell::VERTICES; ++v) add_row(table + (size_t)(level.first + cell.row[v]) * F, cell.weight[v], sum);
#endif
}

// Of the float `weights` in which those of the neurons begin, and how many there are.
constexpr int BEFORE_NEURONS = (weights_before(LAYERS) + 3) / 4 * 4, OF_NEURONS = 2 * LEVELS * F * NEURONS;

// Adds to r^2 how far the features of level `l` are from the centre of neuron `n`.
__device__ __forceinline__ float level_apart(const float* neurons, int l, int n, const float* features, float squared) {
  const float* of = neurons + (l * NEURONS + n) * 2 * F;
  if constexpr (F % 2 == 0) {
#pragma unroll
    for (int f = 0; f < F; f += 2) {
      const float4 two = *(const float4*)(of + 2 * f);
      squared = apart<float>(squared, features[f], two.x, two.y);
      squared = apart<float>(squared, features[f + 1], two.z, two.w);
    }
  } else {
#pragma unroll
    for (int f = 0; f < F; ++f) {
      const float2 one = *(const float2*)(of + 2 * f);
      squared = apart<float>(squared, features[f], one.x, one.y);
    }
  }
  return squared;
}

}  // namespace scenekit
