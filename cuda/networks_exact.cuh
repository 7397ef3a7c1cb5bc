// The networks of a traced field in float32: a lane takes its sample through them by itself, values of layers lie in its
// local memory.
#pragma once

#include "field.cuh"

namespace scenekit {

class Networks {
 public:
  static constexpr int WORDS = 0, ROOM = 0;

  __device__ Networks(const float* weights, unsigned*) : weights_(weights) { __syncthreads(); }

  __device__ __forceinline__ void face(const float* d) {
    sh_basis<float>(d[0], d[1], d[2], DEGREE, [this](int k, float value) { shading_[FEATURE_COUNT + k] = value; });
  }

  __device__ __forceinline__ void encode(const float* x, const Entry* table, const int* layout) {
#pragma unroll 1
    for (int l = 0; l < LEVELS; ++l) {
      float sum[F] = {};
      blend_level(x, table, layout, l, sum);
      if constexpr (NEURONS) {
#pragma unroll 1
        for (int n = 0; n < NEURONS; ++n)
          encoded_[n] = level_apart(weights_ + BEFORE_NEURONS, l, n, sum, l ? encoded_[n] : 0.0f);
      } else {
#pragma unroll
        for (int f = 0; f < F; ++f) encoded_[l * F + f] = sum[f];
      }
    }
#pragma unroll 1
    for (int n = 0; n < NEURONS; ++n) encoded_[n] = radial<(Radial)RADIAL, float>(encoded_[n]);
  }

  __device__ __forceinline__ float density(bool asked) {
    if (asked) through<0>(encoded_, first_, second_, shading_);
    return shading_[0];
  }

  __device__ __forceinline__ void color(bool asked, float (&raw)[3]) {
    if (asked) through<DENSITY_LAYERS>(shading_, first_, second_, raw);
  }

 private:
  static constexpr int TILE = 8, WIDEST = widest_layer();

  // Weights `k` to `k` + 3 of an output, zeros beyond the last.
  template <int L> __device__ __forceinline__ float4 weights_of(int output, int k) const {
    constexpr int BEFORE = weights_before(L), IN = fan_in(L);
    const float* row = weights_ + BEFORE + output * IN + k;
    if constexpr (BEFORE % 4 == 0 && IN % 4 == 0) return __ldg((const float4*)row);
    return make_float4(__ldg(row), k + 1 < IN ? __ldg(row + 1) : 0.0f, k + 2 < IN ? __ldg(row + 2) : 0.0f,
                       k + 3 < IN ? __ldg(row + 3) : 0.0f);
  }

  template <int L> __device__ __forceinline__ void layer(const float* in, float* out) const {
    constexpr int IN = fan_in(L), OUT = fan_out(L);
#pragma unroll 1
    for (int o = 0; o < OUT; o += TILE) {
      float sums[TILE] = {};
#pragma unroll 1
      for (int k = 0; k < IN; k += 4) {
        const float x0 = in[k], x1 = k + 1 < IN ? in[k + 1] : 0.0f, x2 = k + 2 < IN ? in[k + 2] : 0.0f;
        const float x3 = k + 3 < IN ? in[k + 3] : 0.0f;
#pragma unroll
        for (int j = 0; j < TILE; ++j) {
          const float4 w = weights_of<L>(o + j < OUT ? o + j : OUT - 1, k);
          sums[j] = sums[j] + x0 * w.x + x1 * w.y + x2 * w.z + x3 * w.w;
        }
      }
#pragma unroll
      for (int j = 0; j < TILE; ++j)
        if (o + j < OUT) out[o + j] = is_last(L) ? sums[j] : max(sums[j], 0.0f);
    }
  }

  // Through all layers from L on, the last of which goes to `result`; `first` and `second` are free.
  template <int L>
  __device__ __forceinline__ void through(const float* values, float* first, float* second, float* result) const {
    if constexpr (is_last(L)) {
      layer<L>(values, result);
    } else {
      layer<L>(values, first);
      through<L + 1>(first, second, first, result);
    }
  }

  const float* weights_;
  float encoded_[ENCODED], shading_[FEATURE_COUNT + HARMONICS], first_[WIDEST], second_[WIDEST];
};

}  // namespace scenekit
