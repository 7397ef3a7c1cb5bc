// A field that is traced: a grid of features with two small networks on it. Their shape is known while compiling; how
// they are computed is in networks_half.cuh, on tensor cores, or in networks_exact.cuh, in float32. Both bring
//
//   class Networks
//     WORDS of shared memory for the block, ROOM for each warp
//     Networks(weights, shared)     by all threads of a block, ends with a barrier
//     face(direction)               what colours will be asked for; of this lane
//     encode(x, table, layout)      features of a point of the unit cube; of this lane
//     density(asked)                its raw density; by all lanes of a warp, of which some have encoded a point
//     color(asked, raw)             its raw colour; by all lanes, after density
//
// Macros: SIMPLICES, whether cells are; FEATURES and ENTRY as in grid.cuh; DENSITY and COLOR, widths of the layers of
// both networks, their inputs first; PAIRS, whether neighbours along x are read at once where they can be. `weights` are those of all layers [out in], one after the other.
#pragma once

#define DIMENSIONS 3
#include "cell.cuh"
#include "spherical_harmonics.h"

namespace scenekit {

constexpr int DENSITY_WIDTH[] = {DENSITY}, COLOR_WIDTH[] = {COLOR};
constexpr int DENSITY_LAYERS = sizeof(DENSITY_WIDTH) / sizeof(int) - 1;
constexpr int COLOR_LAYERS = sizeof(COLOR_WIDTH) / sizeof(int) - 1;
constexpr int ENCODED = DENSITY_WIDTH[0], LEVELS = ENCODED / F;
constexpr int FEATURE_COUNT = DENSITY_WIDTH[DENSITY_LAYERS], HARMONICS = COLOR_WIDTH[0] - FEATURE_COUNT;
constexpr int DEGREE = HARMONICS == 1 ? 0 : HARMONICS == 4 ? 1 : HARMONICS == 9 ? 2 : HARMONICS == 16 ? 3 : 4;
static_assert(LEVELS * F == ENCODED && (DEGREE + 1) * (DEGREE + 1) == HARMONICS && COLOR_WIDTH[COLOR_LAYERS] == 3);

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

}  // namespace scenekit
