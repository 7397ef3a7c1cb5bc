// The multilayer perceptron on tensor cores: operands are rounded to half precision, sums are float32. A warp takes its
// samples through all layers in registers; what it reads and writes of memory is inputs and outputs alone.
#include "layers.cuh"

using namespace scenekit;

namespace {

struct Ends {
  long long first, count;  // this warp's samples, all
  float* outputs;

  __device__ __forceinline__ void chain_gives(int o, const Sums<TALL>& sums) const {
    write_strip<WIDTH[LAYERS]>(sums, o, 1.0f, outputs, false, first, count);
  }
};

}  // namespace

// Inputs stand by sample or by feature, outputs by sample.
extern "C" __global__ void __launch_bounds__(32 * WARPS, BLOCKS)
    mlp_half(const float* inputs, long long by_feature, long long count, const float* weights, float* outputs) {
  SK_DYNAMIC_SHARED(unsigned, memory);
  const Weights all{weights, nullptr};
  load_layers_that_stay(all, memory);
  for (long long tile = (long long)blockIdx.x * TILE; tile < count; tile += (long long)gridDim.x * TILE) {
    const long long first = tile + threadIdx.x / 32 * STRIP;
    const auto in = read_strip<WIDTH[0], TALL>(inputs, by_feature, first, count, 1.0f);
    if constexpr (AHEAD) prefetch_strip<WIDTH[0], TALL>(inputs, by_feature, first + (long long)gridDim.x * TILE, count);
    go_through<0>(in, all, memory, Ends{first, count, outputs});
  }
}
