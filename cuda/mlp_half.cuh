// What both passes of the multilayer perceptron in half precision share: its shape, known while compiling, and where
// weights are.
//
// Macros: WIDTHS of all layers, the inputs' first; WARPS of a block, a power of two; HEIGHT, squares of 16 samples that
// a warp takes at once; BLOCKS that a multiprocessor holds; WEIGHTS_STAY, whether all layers' weights lie in shared
// memory for the whole time, or one layer's at a time; AHEAD, whether rows are asked for a tile ahead of their use.
#pragma once

#include "strip.cuh"

namespace scenekit {

constexpr int WIDTH[] = {WIDTHS};
constexpr int LAYERS = sizeof(WIDTH) / sizeof(int) - 1;
constexpr int TALL = HEIGHT;
constexpr int STRIP = 16 * TALL;     // samples of a warp
constexpr int TILE = STRIP * WARPS;  // of a block

// Squares of layer l's weights, and of all before it; weights before it.
__device__ constexpr int weight_squares(int l) { return squares(WIDTH[l]) * squares(WIDTH[l + 1]); }
__device__ constexpr int weight_squares_before(int l) {
  return l == 0 ? 0 : weight_squares_before(l - 1) + weight_squares(l - 1);
}
__device__ constexpr int weights_before(int l) { return l == 0 ? 0 : weights_before(l - 1) + WIDTH[l - 1] * WIDTH[l]; }

__device__ constexpr int most_weight_squares() {
  int most = 0;
  for (int l = 0; l < LAYERS; ++l) most = weight_squares(l) > most ? weight_squares(l) : most;
  return most;
}

// Words of shared memory that weights take.
constexpr int WEIGHT_WORDS = (WEIGHTS_STAY ? weight_squares_before(LAYERS) : most_weight_squares()) * SQUARE;

template <int L> __device__ __forceinline__ void load_layer(const float* weights, unsigned* to) {
  constexpr int BEFORE = weights_before(L);
  load_weights<WIDTH[L + 1], WIDTH[L], BEFORE % 4 == 0>(weights + BEFORE, to, threadIdx.x / 32, WARPS);
}

// Before anything else; ends with a barrier.
template <int L = 0> __device__ __forceinline__ void load_layers_that_stay(const float* weights, unsigned* memory) {
  if constexpr (WEIGHTS_STAY && L < LAYERS) {
    load_layer<L>(weights, memory + weight_squares_before(L) * SQUARE);
    load_layers_that_stay<L + 1>(weights, memory);
  } else {
    __syncthreads();
  }
}

// Layer L's weights in shared memory; all threads of the block come along.
template <int L> __device__ __forceinline__ const unsigned* layer_weights(const float* weights, unsigned* memory) {
  if constexpr (WEIGHTS_STAY) return memory + weight_squares_before(L) * SQUARE;
  __syncthreads();  // nobody reads another layer's any more
  load_layer<L>(weights, memory);
  __syncthreads();
  return memory;
}

}  // namespace scenekit
