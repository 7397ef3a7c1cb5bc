// Gradients of the multilayer perceptron on tensor cores.
#include "layers_backward.cuh"

using namespace scenekit;

namespace {

struct Ends {
  long long first, count;  // this warp's samples, all
  bool by_feature;         // how inputs and their gradients stand
  float scale, *for_inputs;

  __device__ __forceinline__ bool wanted() const { return for_inputs != nullptr; }
  __device__ __forceinline__ void inputs_get(int i, const Sums<TALL>& sums) const {
    write_strip<WIDTH[0]>(sums, i, scale, for_inputs, by_feature, first, count);
  }
};

}  // namespace

// The largest magnitude among each block's part of the gradient, as its bits.
extern "C" __global__ void __launch_bounds__(LARGEST_THREADS)
    mlp_half_largest(const float* gradient, long long size, int* parts) {
  __shared__ int of_warps[LARGEST_THREADS / 32];
  const long long fours = size / 4, step = (long long)gridDim.x * LARGEST_THREADS;
  const long long thread = (long long)blockIdx.x * LARGEST_THREADS + threadIdx.x;
  int most = 0;
#pragma unroll 4
  for (long long i = thread; i < fours; i += step) {
    const float4 g = __ldg((const float4*)gradient + i);
    most = max(most, max(max(magnitude(g.x), magnitude(g.y)), max(magnitude(g.z), magnitude(g.w))));
  }
  if (4 * fours + thread < size) most = max(most, magnitude(gradient[4 * fours + thread]));
  put_largest(most, of_warps, parts);
}

// A block takes every gridDim.x-th tile, the last ones first: what mlp_half_largest read of the gradient a moment ago
// is still in the L2 cache. `sums` holds 256 floats for each square of weights a block; `for_inputs`, which stands as
// inputs do, may be null.
extern "C" __global__ void __launch_bounds__(32 * WARPS, BLOCKS)
    mlp_half_backward(const float* gradient, const float* inputs, long long by_feature, long long count,
                      const float* weights, const int* parts, long long part_count, float* sums, float* for_inputs) {
  SK_DYNAMIC_SHARED(unsigned, memory);
  const Weights all{weights, nullptr};
  load_layers_that_stay(all, memory);
  const Scale scale = scale_for(largest_of(parts, (int)part_count));
  sums += (size_t)blockIdx.x * weight_squares_before(LAYERS) * 256;
  float kept[KEPT][2][4] = {};
  const long long start = ((count - 1) / TILE - blockIdx.x) * TILE, stride = (long long)gridDim.x * TILE;
  for (long long tile = start; tile >= 0; tile -= stride) {
    const long long first = tile + threadIdx.x / 32 * STRIP;
    const auto in = read_strip<WIDTH[0], TALL>(inputs, by_feature, first, count, 1.0f);
    const auto out = read_strip<WIDTH[LAYERS], TALL>(gradient, false, first, count, scale.there);
    if constexpr (AHEAD) {
      prefetch_strip<WIDTH[0], TALL>(inputs, by_feature, first - stride, count);
      prefetch_strip<WIDTH[LAYERS], TALL>(gradient, false, first - stride, count);
    }
    const Work of{all, memory, memory + WEIGHT_WORDS, {scale, scale}, sums, tile == start};
    const Ends ends{first, count, (bool)by_feature, scale.back, for_inputs};
    find_values<0>(in, of, ends);
    store<wide(LAYERS), wide(LAYERS)>(out, of.own_values<LAYERS>());
    go_back<LAYERS - 1>(out, kept, of, ends);
  }
  if constexpr (SUMS_STAY) write_slices<0>(kept, {scale, scale}, sums);
}

extern "C" __global__ void __launch_bounds__(32 * SUM_WARPS)
    mlp_half_sum(const float* sums, long long blocks, float* result) {
  __shared__ float of_warps[SUM_WARPS][32];
  sum_over_blocks(sums, (int)blocks, of_warps, {result, nullptr});
}
