// What fields with two small networks do after their encoding, on tensor cores: the density network, whose first output
// is the raw density, and the colour network over all of its outputs and the harmonics of the viewing direction. This is
// what both passes share.
//
// Further macros: DEGREE of the harmonics, (DEGREE + 1)^2 of which are JOINED.
#pragma once

#include "layers.cuh"
#include "spherical_harmonics.h"

namespace scenekit {

static_assert(JOINED == (DEGREE + 1) * (DEGREE + 1) && WIDTH[LAYERS] == 3);

constexpr int OF_FEATURES = squares(WIDTH[JOINT]), OF_HARMONICS = squares(JOINED);
constexpr int OWN = 2 * TALL;  // samples of a lane

// Density and its derivative, as truncated_exp() has them; what is no number stays none.
__device__ __forceinline__ float density_of(float raw) { return ::expf(raw > 30.0f ? 30.0f : raw); }
__device__ __forceinline__ float density_slope(float density) {
  return density < 3.059e-7f ? 3.059e-7f : density > 3.269e6f ? 3.269e6f : density;
}

__device__ __forceinline__ float color_of(float raw) { return reciprocal_approximate(1.0f + ::expf(-raw)); }
__device__ __forceinline__ float color_slope(float color) { return color * (1.0f - color); }

// Lane l's sample where each lane has one, or none where there are fewer: at row l % 16 of square l / 16.
__device__ __forceinline__ bool has_one() { return lane_index() < STRIP; }
__device__ __forceinline__ long long one_sample(long long first) {
  return first + sample_at<TALL>(lane_index() / 16, lane_index() % 16);
}

struct Towards {
  float x, y, z;
};

__device__ __forceinline__ Towards direction_of(const float* directions, long long sample, long long count) {
  if (sample >= count) return {};
  const float* d = directions + 3 * sample;
  return {__ldg(d), __ldg(d + 1), __ldg(d + 2)};
}

// Harmonics of the strip's directions as squares of activations, STRIDE of them from one 16 samples to the next.
template <int STRIDE>
__device__ __forceinline__ void put_harmonics(const float* directions, long long first, long long count, unsigned* to) {
  if (has_one()) {
    const Towards d = direction_of(directions, one_sample(first), count);
    float basis[16 * OF_HARMONICS] = {};
    sh_basis<float>(d.x, d.y, d.z, DEGREE, [&basis](int k, float value) { basis[k] = value; });
#pragma unroll
    for (int c = 0; c < OF_HARMONICS; ++c)
      put_row(basis + 16 * c, to + (lane_index() / 16 * STRIDE + c) * SQUARE, lane_index() % 16);
  }
  __syncwarp();
}

}  // namespace scenekit
