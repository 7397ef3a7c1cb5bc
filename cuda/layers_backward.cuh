// Gradients of a chain of dense layers on tensor cores. A block takes a tile of samples through all layers again and back.
// Activations and gradients lie in shared memory as halves, a layer's gradient where its activations were: there every
// warp meets all samples of the tile for its slice of the gradients of weights, which are summed in registers, or in
// memory of the block where they are too many. Sums over blocks are taken in their order: the same input gives the same
// bits.
//
// Gradients are scaled by a power of two on their way through a network, found from the largest that come in, so that
// small ones keep their digits in half precision.
//
// Further macros: SUMS_STAY, whether sums are kept in registers.
#pragma once

#include "layers.cuh"

namespace scenekit {

constexpr int LARGEST_THREADS = 256, SUM_WARPS = 16;
constexpr int AIM = 8;  // the largest gradient is scaled to lie between 2^AIM and twice that

// Squares that 16 samples take of all values before the v-th; inputs come first, outputs last.
__device__ constexpr int values_before(int v) { return v == 0 ? 0 : values_before(v - 1) + wide(v - 1); }

// Squares of layer L's weights that one warp sums: as near to a square as warps can be laid out, for a square that is
// loaded once serves a whole row or column of them.
template <int L> struct Slice {
  static constexpr int OUT = squares(WIDTH[L + 1]), IN = wide(L);

  __device__ static constexpr int share(int all, int parts) { return (all + parts - 1) / parts; }
  __device__ static constexpr int cost(int down) {
    return 64 * share(OUT, down) * share(IN, WARPS / down) + share(OUT, down) + share(IN, WARPS / down);
  }
  __device__ static constexpr int best() {
    int found = 1;
    for (int down = 2; down <= WARPS; down *= 2) found = cost(down) < cost(found) ? down : found;
    return found;
  }

  static constexpr int DOWN = best(), ROWS = share(OUT, DOWN), COLUMNS = share(IN, WARPS / DOWN), SIZE = ROWS * COLUMNS;
};

template <int L> __device__ constexpr int slices_before() {
  if constexpr (L == 0) return 0;
  else return slices_before<L - 1>() + Slice<L - 1>::SIZE;
}

constexpr int KEPT = SUMS_STAY ? slices_before<LAYERS>() : 1;

// What the largest gradient says: both powers of two, or no number on the way back where a gradient is not finite.
struct Scale {
  float there, back;
};

__device__ __forceinline__ Scale scale_for(int most) {
  const int exponent = (most >> 23) - 127;
  if (exponent == 128) return {1.0f, __int_as_float(0x7fc00000)};
  const int up = min(AIM - exponent, 126);
  return {__int_as_float((127 + up) << 23), __int_as_float((127 - up) << 23)};
}

// Magnitudes are compared as their bits: what is no number is the largest.
__device__ __forceinline__ int magnitude(float x) { return __float_as_int(x) & 0x7fffffff; }

// The largest of a block's threads becomes its part; `of_warps` are in shared memory.
__device__ __forceinline__ void put_largest(int most, int (&of_warps)[LARGEST_THREADS / 32], int* parts) {
  most = greatest_of_warp(most);
  if (lane_index() == 0) of_warps[threadIdx.x / 32] = most;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  most = greatest_of_warp(threadIdx.x < LARGEST_THREADS / 32 ? of_warps[threadIdx.x] : 0);
  if (threadIdx.x == 0) parts[blockIdx.x] = most;
}

__device__ __forceinline__ int largest_of(const int* parts, int count) {
  int most = 0;
  for (int i = lane_index(); i < count; i += 32) most = max(most, __ldg(parts + i));
  return greatest_of_warp(most);
}

// What a warp works with.
struct Work {
  Weights weights;
  unsigned *memory, *values;  // in shared memory: weights, values
  Both<Scale> scale;
  float* sums;  // this block's
  bool fresh;   // this tile is the block's first

  // Squares [TILE / 16][wide(V)] of all of the block's samples, and those of this warp.
  template <int V> __device__ __forceinline__ unsigned* all_values() const {
    return values + values_before(V) * (TILE / 16) * SQUARE;
  }
  template <int V> __device__ __forceinline__ unsigned* own_values() const {
    return all_values<V>() + threadIdx.x / 32 * TALL * wide(V) * SQUARE;
  }
};

// What joins is there already.
template <int L, class At>
__device__ __forceinline__ void find_values(const Fragments<TALL, wide(L)>& in, const Work& of, const At& at) {
  store<wide(L), squares(WIDTH[L])>(in, of.own_values<L>());
  if constexpr (L + 1 < LAYERS) find_values<L + 1>(next_inputs<L>(in, of.weights, of.memory, at), of, at);
}

// This warp's slice of layer L's gradient of weights, over all samples of the tile.
template <int L> __device__ __forceinline__ void add_products(float (*sums)[2][4], const Work& of) {
  using S = Slice<L>;
  const int row = threadIdx.x / 32 % S::DOWN * S::ROWS, column = threadIdx.x / 32 / S::DOWN * S::COLUMNS;
  if (row >= S::OUT || column >= S::IN) return;
  const unsigned *gradients = of.all_values<L + 1>(), *values = of.all_values<L>();
#pragma unroll 2
  for (int s = 0; s < TILE / 16; ++s) {
    unsigned left[S::ROWS][4], right[S::COLUMNS][4];
#pragma unroll
    for (int r = 0; r < S::ROWS; ++r)  // beyond the end the last one again, for nobody
      load_square_transposed(left[r], gradients + (s * wide(L + 1) + min(row + r, S::OUT - 1)) * SQUARE);
#pragma unroll
    for (int c = 0; c < S::COLUMNS; ++c)
      load_square_transposed(right[c], values + (s * S::IN + min(column + c, S::IN - 1)) * SQUARE);
#pragma unroll
    for (int r = 0; r < S::ROWS; ++r)
#pragma unroll
      for (int c = 0; c < S::COLUMNS; ++c) multiply_channels(sums[r * S::COLUMNS + c], left[r], right[c]);
  }
}

// Puts the slice into the block's sums [squares][2][32 lanes][4], or adds it to what is there.
template <int L>
__device__ __forceinline__ void write_slice(const float (*sums)[2][4], bool add, float scale, float* to) {
  using S = Slice<L>;
  const int row = threadIdx.x / 32 % S::DOWN * S::ROWS, column = threadIdx.x / 32 / S::DOWN * S::COLUMNS;
#pragma unroll
  for (int r = 0; r < S::ROWS; ++r)
#pragma unroll
    for (int c = 0; c < S::COLUMNS; ++c)
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        if (row + r >= S::OUT || column + c >= S::IN) continue;
        const float* of = sums[r * S::COLUMNS + c][n];
        const int square = weight_squares_before(L) + (row + r) * S::IN + column + c;
        float4* at = (float4*)(to + (square * 2 + n) * 128) + lane_index();
        float4 was = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (add) was = *at;
        *at = make_float4(was.x + of[0] * scale, was.y + of[1] * scale, was.z + of[2] * scale, was.w + of[3] * scale);
      }
}

template <int L>
__device__ __forceinline__ void write_slices(const float (*sums)[2][4], const Both<Scale>& scale, float* to) {
  if constexpr (L < LAYERS) {
    write_slice<L>(sums + slices_before<L>(), false, scale.of_layer<L>().back, to);
    write_slices<L + 1>(sums, scale, to);
  }
}

// From the gradient of layer L's outputs, which lies in shared memory too, to that of its inputs, and so on. At the joint
// at.first_gets(o, sums, gradient) makes the gradient of what the first network gives, and at.joined_gets(gradient of
// outputs, weights) is told when nobody reads any more what joined; the chain's inputs are what at.inputs_get(i, sums),
// if at.wanted() at all.
template <int L, class At>
__device__ __forceinline__ void go_back(const Fragments<TALL, squares(WIDTH[L + 1])>& gradient,
                                        float (*sums)[2][4], const Work& of, const At& at) {
  constexpr int IN = squares(WIDTH[L]), WIDE = wide(L);
  __syncthreads();  // gradients and activations of all warps are there
  if constexpr (SUMS_STAY) {
    add_products<L>(sums + slices_before<L>(), of);
  } else {
    float found[Slice<L>::SIZE][2][4] = {};
    add_products<L>(found, of);
    write_slice<L>(found, !of.fresh, of.scale.of_layer<L>().back, of.sums);
  }
  if constexpr (L > 0) {
    const unsigned* weights = layer_weights<L>(of.weights, of.memory);
    Fragments<TALL, IN> next;
    unsigned* own = of.own_values<L>();
    dense_back<WIDE, 0, IN>(gradient, weights, [&](int c, const Sums<TALL>& found) {
      if constexpr (L == JOINT) {
        at.first_gets(c, found, next);
      } else {
        keep(found, next, c);
#pragma unroll
        for (int r = 0; r < TALL; ++r)
#pragma unroll
          for (int q = 0; q < 4; ++q)
            next.of[r][c][q] =
                keep_where_positive(next.of[r][c][q], own[(r * IN + c) * SQUARE + q * 32 + lane_index()]);
      }
    });
    __syncthreads();  // nobody reads these activations any more
    store<WIDE, IN>(next, own);
    if constexpr (L == JOINT) at.joined_gets(gradient, weights);
    go_back<L - 1>(next, sums, of, at);
  } else {
    if (at.wanted())
      dense_back<WIDE>(gradient, layer_weights<L>(of.weights, of.memory),
                       [&](int c, const Sums<TALL>& found) { at.inputs_get(c, found); });
    __syncthreads();  // before the next tile's values go there
  }
}

// Sums [blocks][squares of weights][256] over blocks, 32 entries a block of threads, back to the order [out, in] of each
// layer.
__device__ __forceinline__ void sum_over_blocks(const float* sums, int blocks, float (&of_warps)[SUM_WARPS][32],
                                                const Both<float*>& results) {
  constexpr int SIZE = weight_squares_before(LAYERS) * 256;
  const int warp = threadIdx.x / 32, entry = blockIdx.x * 32 + lane_index();
  float sum = 0.0f;
#pragma unroll 8
  for (int b = warp; b < blocks; b += SUM_WARPS) sum += __ldg(sums + (size_t)b * SIZE + entry);
  of_warps[warp][lane_index()] = sum;
  __syncthreads();
  if (warp > 0) return;
  for (int w = 1; w < SUM_WARPS; ++w) sum += of_warps[w][lane_index()];
  const int square = entry / 256, row = channel_of(entry % 128 / 16 + entry % 4 / 2 * 8);
  const int column = channel_of(entry / 128 % 2 * 8 + entry / 4 % 4 * 2 + entry % 2);
#pragma unroll
  for (int l = 0; l < LAYERS; ++l) {
    const int within = square - weight_squares_before(l), out = within / wide(l) * 16 + row;
    const int across = within % wide(l), beside = across - squares(WIDTH[l]);
    if (within < 0 || within >= weight_squares(l) || out >= WIDTH[l + 1]) continue;
    const int in = beside < 0 ? across * 16 + column : beside * 16 + column;
    if (in >= (beside < 0 ? WIDTH[l] : joined(l))) continue;
    float* result = JOINT >= 0 && l >= JOINT ? results.second : results.first;
    result[weights_before(l) + out * fan_in(l) + (beside < 0 ? 0 : WIDTH[l]) + in] = sum;
  }
}

}  // namespace scenekit
