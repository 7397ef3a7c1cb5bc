// A chain of dense layers on tensor cores, ReLU between them: its shape, known while compiling, where weights are, and
// how a warp takes its samples through in registers. The chain is one network, or two: the second's inputs are what the
// first gives, without a ReLU, and something that joins it there.
//
// Macros: WIDTHS of all layers, the inputs' first, JOINED inputs of layer JOINT left out; a single network has a JOINT of
// -1 and 0 JOINED. WARPS of a block, a power of two; HEIGHT, squares of 16 samples that a warp takes at once; BLOCKS that
// a multiprocessor holds; WEIGHTS_STAY, whether all layers' weights lie in shared memory for the whole time, or one
// layer's at a time; AHEAD, whether strips are asked for a tile ahead of their use.
#pragma once

#include "strip.cuh"

namespace scenekit {

constexpr int WIDTH[] = {WIDTHS};
constexpr int LAYERS = sizeof(WIDTH) / sizeof(int) - 1;
constexpr int TALL = HEIGHT;
constexpr int STRIP = 16 * TALL;     // samples of a warp
constexpr int TILE = STRIP * WARPS;  // of a block

// Inputs of layer l, and squares that they take: those that join begin a square of their own.
__device__ constexpr int joined(int l) { return l == JOINT ? JOINED : 0; }
__device__ constexpr int fan_in(int l) { return WIDTH[l] + joined(l); }
__device__ constexpr int wide(int l) { return l == LAYERS ? squares(WIDTH[l]) : squares(WIDTH[l]) + squares(joined(l)); }

// Squares of layer l's weights, and of all before it; weights of its own network before it.
__device__ constexpr int weight_squares(int l) { return wide(l) * squares(WIDTH[l + 1]); }
__device__ constexpr int weight_squares_before(int l) {
  return l == 0 ? 0 : weight_squares_before(l - 1) + weight_squares(l - 1);
}
__device__ constexpr int weights_before(int l) {
  return l == 0 || l == JOINT ? 0 : weights_before(l - 1) + fan_in(l - 1) * WIDTH[l];
}

__device__ constexpr int most_weight_squares() {
  int most = 0;
  for (int l = 0; l < LAYERS; ++l) most = weight_squares(l) > most ? weight_squares(l) : most;
  return most;
}

// Words of shared memory that weights take.
constexpr int WEIGHT_WORDS = (WEIGHTS_STAY ? weight_squares_before(LAYERS) : most_weight_squares()) * SQUARE;

// Numbers of both networks; of a single one, the first's alone.
template <class T> struct Both {
  T first, second;

  template <int L> __device__ __forceinline__ T of_layer() const { return JOINT >= 0 && L >= JOINT ? second : first; }
};

using Weights = Both<const float*>;

template <int L> __device__ __forceinline__ void load_layer(const Weights& weights, unsigned* to) {
  constexpr int OUT = WIDTH[L + 1], IN = fan_in(L), BEFORE = weights_before(L);
  constexpr bool ALIGNED = BEFORE % 4 == 0;
  const float* from = weights.of_layer<L>() + BEFORE;
  load_columns<OUT, IN, 0, WIDTH[L], ALIGNED>(from, to, wide(L), 0, threadIdx.x / 32, WARPS);
  if constexpr (joined(L) > 0)
    load_columns<OUT, IN, WIDTH[L], joined(L), ALIGNED>(from, to, wide(L), squares(WIDTH[L]), threadIdx.x / 32, WARPS);
}

// Before anything else; ends with a barrier.
template <int L = 0> __device__ __forceinline__ void load_layers_that_stay(const Weights& weights, unsigned* memory) {
  if constexpr (WEIGHTS_STAY && L < LAYERS) {
    load_layer<L>(weights, memory + weight_squares_before(L) * SQUARE);
    load_layers_that_stay<L + 1>(weights, memory);
  } else {
    __syncthreads();
  }
}

// Layer L's weights in shared memory; all threads of the block come along.
template <int L> __device__ __forceinline__ const unsigned* layer_weights(const Weights& weights, unsigned* memory) {
  if constexpr (WEIGHTS_STAY) return memory + weight_squares_before(L) * SQUARE;
  __syncthreads();  // nobody reads another layer's any more
  load_layer<L>(weights, memory);
  __syncthreads();
  return memory;
}

// The inputs of layer L + 1, from those of layer L. At the joint at.first_gives(o, sums) sees what the first network gives,
// and at.join(inputs) puts beside it what joins.
template <int L, class At>
__device__ __forceinline__ Fragments<TALL, wide(L + 1)> next_inputs(const Fragments<TALL, wide(L)>& in,
                                                                    const Weights& weights, unsigned* memory,
                                                                    const At& at) {
  constexpr int OUT = squares(WIDTH[L + 1]);
  const unsigned* of_layer = layer_weights<L>(weights, memory);
  if constexpr (L + 1 == JOINT) {
    Fragments<TALL, wide(L + 1)> next;
    dense<OUT>(in, of_layer, [&](int o, const Sums<TALL>& sums) {
      keep(sums, next, o);
      at.first_gives(o, sums);
    });
    at.join(next);
    return next;
  } else {
    return dense_rectified<OUT>(in, of_layer);
  }
}

// From layer L to the end of the chain; calls at.chain_gives(o, sums) for every square of the last layer's outputs.
template <int L, class At>
__device__ __forceinline__ void go_through(const Fragments<TALL, wide(L)>& in, const Weights& weights,
                                           unsigned* memory, const At& at) {
  if constexpr (L + 1 < LAYERS) {
    go_through<L + 1>(next_inputs<L>(in, weights, memory, at), weights, memory, at);
  } else {
    dense<squares(WIDTH[LAYERS])>(in, layer_weights<L>(weights, memory),
                                  [&](int o, const Sums<TALL>& sums) { at.chain_gives(o, sums); });
  }
}

}  // namespace scenekit
