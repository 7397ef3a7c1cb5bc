// The multilayer perceptron on tensor cores: operands are rounded to half precision, sums are float32. A warp takes its
// samples through all layers in registers; what it reads and writes of memory is inputs and outputs alone.
#include "mlp_half.cuh"

using namespace scenekit;

namespace {

struct Batch {
  const float* weights;
  unsigned* memory;
  long long first, count;  // this warp's samples, all
  float* outputs;
};

template <int L> __device__ __forceinline__ void go_on(const Fragments<TALL, squares(WIDTH[L])>& in, const Batch& of) {
  const unsigned* weights = layer_weights<L>(of.weights, of.memory);
  if constexpr (L + 1 < LAYERS) {
    go_on<L + 1>(dense_rectified<squares(WIDTH[L + 1])>(in, weights), of);
  } else {
    dense<squares(WIDTH[LAYERS])>(in, weights, [&](int c, const Sums<TALL>& sums) {
      write_strip<WIDTH[LAYERS]>(sums, c, 1.0f, of.outputs, false, of.first, of.count);
    });
  }
}

}  // namespace

// Inputs stand by sample or by feature, outputs by sample.
extern "C" __global__ void __launch_bounds__(32 * WARPS, BLOCKS)
    mlp_half(const float* inputs, long long by_feature, long long count, const float* weights, float* outputs) {
  SK_DYNAMIC_SHARED(unsigned, memory);
  load_layers_that_stay(weights, memory);
  for (long long tile = (long long)blockIdx.x * TILE; tile < count; tile += (long long)gridDim.x * TILE) {
    const long long first = tile + threadIdx.x / 32 * STRIP;
    const auto in = read_strip<WIDTH[0], TALL>(inputs, by_feature, first, count, 1.0f);
    if constexpr (AHEAD) prefetch_strip<WIDTH[0], TALL>(inputs, by_feature, first + (long long)gridDim.x * TILE, count);
    go_on<0>(in, {weights, memory, first, count, outputs});
  }
}
