// Density and colour of encoded samples: a warp takes its samples through both networks in registers.
#include "radiance.cuh"

using namespace scenekit;

namespace {

constexpr int STRIP_WORDS = TALL * OF_HARMONICS * SQUARE;

struct Ends {
  long long own, count;  // this lane's first sample, all
  float log_density;
  const unsigned* harmonics;
  float *densities, *colors;

  __device__ __forceinline__ void first_gives(int o, const Sums<TALL>& sums) const {
    if (o > 0 || lane_index() % 4 > 0) return;
    float of[OWN];
#pragma unroll
    for (int n = 0; n < OWN; ++n) of[n] = density_of(sums.of[n / 2][0][n % 2 * 2] + log_density);
    if (runs_are_whole<OWN>(count)) write_run<true>(of, densities, own, count);
    else write_run<false>(of, densities, own, count);
  }

  __device__ __forceinline__ void join(Fragments<TALL, wide(JOINT)>& inputs) const {
    load_activations<OF_HARMONICS, OF_HARMONICS>(harmonics, inputs, OF_FEATURES);
  }

  __device__ __forceinline__ void chain_gives(int, const Sums<TALL>& sums) const {
    if (lane_index() % 4 > 0) return;
    float of[OWN][3];
#pragma unroll
    for (int n = 0; n < OWN; ++n)
#pragma unroll
      for (int k = 0; k < 3; ++k) of[n][k] = color_of(sums.of[n / 2][k / 2][n % 2 * 2 + k % 2]);
    if (runs_are_whole<OWN>(count)) write_samples<true>(of, colors, own, count);
    else write_samples<false>(of, colors, own, count);
  }
};

}  // namespace

// Encodings stand by sample or by feature, all else by sample.
extern "C" __global__ void __launch_bounds__(32 * WARPS, BLOCKS)
    radiance(const float* encoded, long long by_feature, const float* directions, long long count,
             const float* density_weights, const float* color_weights, float log_density, float* densities,
             float* colors) {
  SK_DYNAMIC_SHARED(unsigned, memory);
  unsigned* harmonics = memory + WEIGHT_WORDS + threadIdx.x / 32 * STRIP_WORDS;
  const Weights weights{density_weights, color_weights};
  load_layers_that_stay(weights, memory);
  const long long stride = (long long)gridDim.x * TILE;
  for (long long tile = (long long)blockIdx.x * TILE; tile < count; tile += stride) {
    const long long first = tile + threadIdx.x / 32 * STRIP;
    const auto in = read_strip<WIDTH[0], TALL>(encoded, by_feature, first, count, 1.0f);
    put_harmonics<OF_HARMONICS>(directions, first, count, harmonics);
    if constexpr (AHEAD) {
      prefetch_strip<WIDTH[0], TALL>(encoded, by_feature, first + stride, count);
      prefetch_strip<3, TALL>(directions, false, first + stride, count);
    }
    go_through<0>(in, weights, memory,
                  Ends{own_samples<TALL>(first), count, log_density, harmonics, densities, colors});
  }
}
