// The networks of a traced field on tensor cores: 32 samples of a warp at once, operands in half precision, sums in
// float32. Weights stay in shared memory, and so do the samples' encodings and their directions' harmonics, as squares of
// mma.cuh; lane l's sample is row l % 16 of strip l / 16. Neurons stand there too, for all lanes to read the same one.
//
// FEATURES divide 8, so that half a square is filled by whole levels.
#pragma once

#include "field.cuh"
#include "mma.cuh"

namespace scenekit {

constexpr int OF_ENCODING = squares(ENCODED), OF_FEATURES = squares(FEATURE_COUNT), OF_HARMONICS = squares(HARMONICS);

// Squares of a layer's inputs, and of the weights of all layers before it. Harmonics begin a square of their own.
__device__ constexpr int wide(int l) {
  return l == DENSITY_LAYERS ? OF_FEATURES + OF_HARMONICS : squares(fan_in(l));
}
__device__ constexpr int squares_before(int l) {
  return l == 0 ? 0 : squares_before(l - 1) + wide(l - 1) * squares(fan_out(l - 1));
}

class Networks {
 public:
  static constexpr int TO_NEURONS = squares_before(LAYERS) * SQUARE;  // words, of which neurons take whole squares
  static constexpr int WORDS = TO_NEURONS + (OF_NEURONS + SQUARE - 1) / SQUARE * SQUARE;
  static constexpr int ROOM = 2 * (OF_ENCODING + OF_HARMONICS) * SQUARE;

  __device__ Networks(const float* weights, unsigned* shared)
      : weights_(shared), encodings_(shared + WORDS + threadIdx.x / 32 * ROOM),
        harmonics_(encodings_ + 2 * OF_ENCODING * SQUARE) {
    load<0>(weights);
    if constexpr (NEURONS)
      for (int i = threadIdx.x; i < OF_NEURONS; i += blockDim.x)
        weights_[TO_NEURONS + i] = __float_as_uint(__ldg(weights + BEFORE_NEURONS + i));
    for (int i = lane_index(); i < ROOM; i += 32) encodings_[i] = 0;  // channels that nobody fills
    __syncthreads();
  }

  __device__ __forceinline__ void face(const float* d) {
    float basis[16 * OF_HARMONICS] = {};
    sh_basis<float>(d[0], d[1], d[2], DEGREE, [&basis](int k, float value) { basis[k] = value; });
#pragma unroll
    for (int e = 0; e < 2 * OF_HARMONICS; ++e) put(basis + 8 * e, harmonics_, OF_HARMONICS, e);
  }

  __device__ __forceinline__ void encode(const float* x, const Entry* table, const int* layout) {
    constexpr int TOGETHER = 8 / F;  // as many levels at once as registers hold rows of
    float neurons[16 * OF_ENCODING] = {};
#pragma unroll 1
    for (int e = 0; e * TOGETHER < LEVELS; ++e) {
      float channels[8] = {};
#pragma unroll
      for (int k = 0; k < TOGETHER; ++k)
        if (LEVELS % TOGETHER == 0 || e * TOGETHER + k < LEVELS)
          blend_level(x, table, layout, e * TOGETHER + k, channels + k * F);
      if constexpr (NEURONS) {
#pragma unroll
        for (int k = 0; k < TOGETHER; ++k)
          if (LEVELS % TOGETHER == 0 || e * TOGETHER + k < LEVELS)
            add_apart(e * TOGETHER + k, channels + k * F, neurons);
      } else {
        put(channels, encodings_, OF_ENCODING, e);
      }
    }
    if constexpr (NEURONS) {
#pragma unroll
      for (int n = 0; n < NEURONS; ++n) neurons[n] = radial<(Radial)RADIAL, float>(neurons[n]);
#pragma unroll
      for (int e = 0; e < 2 * OF_ENCODING; ++e) put(neurons + 8 * e, encodings_, OF_ENCODING, e);
    }
  }

  __device__ __forceinline__ float density(bool) {
    __syncwarp();
    float own = 0.0f;
    Fragments<2, OF_ENCODING> in;
    load_activations<OF_ENCODING, OF_ENCODING>(encodings_, in, 0);
    through<0>(in, [&](int o, const Sums<2>& sums) {
      keep(sums, features_, o);
      if (o == 0) own = of_lane<0>(sums);
    });
    return own;
  }

  __device__ __forceinline__ void color(bool, float (&raw)[3]) {
    __syncwarp();
    Fragments<2, OF_FEATURES + OF_HARMONICS> in;
    load_activations<OF_HARMONICS, OF_HARMONICS>(harmonics_, in, OF_FEATURES);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int c = 0; c < OF_FEATURES; ++c)
#pragma unroll
        for (int q = 0; q < 4; ++q) in.of[r][c][q] = features_.of[r][c][q];
    through<DENSITY_LAYERS>(in, [&](int, const Sums<2>& sums) {
      raw[0] = of_lane<0>(sums);
      raw[1] = of_lane<1>(sums);
      raw[2] = of_lane<2>(sums);
    });
  }

 private:
  // Adds to r^2 of every neuron how far the features of level `l` are from its centre.
  __device__ __forceinline__ void add_apart(int l, const float* features, float* squared) const {
    const float* neurons = (const float*)(weights_ + TO_NEURONS);
#pragma unroll
    for (int n = 0; n < NEURONS; ++n) squared[n] = level_apart(neurons, l, n, features, squared[n]);
  }

  // The e-th eight channels of this lane's sample.
  __device__ static __forceinline__ void put(const float* channels, unsigned* to, int wide, int e) {
    unsigned* square = to + (lane_index() / 16 * wide + e / 2) * SQUARE;
    const auto pair = [channels](int p) { return pack_halves(channels[2 * p], channels[2 * p + 1]); };
    *(uint2*)(square + activation_word(lane_index() % 16, e % 2 * 4)) = make_uint2(pair(0), pair(2));
    *(uint2*)(square + activation_word(lane_index() % 16, e % 2 * 4 + 1)) = make_uint2(pair(1), pair(3));
  }

  // Channel C, 0 to 3, of this lane's sample.
  template <int C> __device__ static __forceinline__ float of_lane(const Sums<2>& sums) {
    float own = 0.0f;
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      const float there = __shfl_sync(ALL, sums.of[part / 2][C / 2][part % 2 * 2 + C % 2], lane_index() % 8 * 4);
      if (lane_index() / 8 == part) own = there;
    }
    return own;
  }

  // From layer L on; calls use(o, sums) for every square of the last layer's outputs.
  template <int L, int WIDE, class Use>
  __device__ __forceinline__ void through(const Fragments<2, WIDE>& in, const Use& use) const {
    static_assert(WIDE == wide(L));
    if constexpr (is_last(L)) dense<squares(fan_out(L))>(in, weights_ + squares_before(L) * SQUARE, use);
    else through<L + 1>(dense_rectified<squares(fan_out(L))>(in, weights_ + squares_before(L) * SQUARE), use);
  }

  template <int L> __device__ __forceinline__ void load(const float* weights) const {
    const float* from = weights + weights_before(L);
    unsigned* to = weights_ + squares_before(L) * SQUARE;
    if constexpr (L == DENSITY_LAYERS) {
      load_columns(from, 0, FEATURE_COUNT, L, to, 0);
      load_columns(from, FEATURE_COUNT, HARMONICS, L, to, OF_FEATURES);
    } else {
      load_columns(from, 0, fan_in(L), L, to, 0);
    }
    if constexpr (L + 1 < LAYERS) load<L + 1>(weights);
  }

  // `columns` columns of layer l's weights, from column `first` on, as squares from the `left` on of each row of them.
  __device__ static __forceinline__ void load_columns(const float* weights, int first, int columns, int l, unsigned* to,
                                                      int left) {
    const int across = squares(columns), outputs = fan_out(l);
#pragma unroll 1
    for (int i = threadIdx.x; i < squares(outputs) * across * SQUARE; i += blockDim.x) {
      const int square = i / SQUARE, block = i % SQUARE / 32;
      const int output = square / across * 16 + channel_of(block / 2 * 8 + i % 32 / 4);
      const int input = square % across * 16 + channel_of(block % 2 * 8 + i % 4 * 2);
      const float* at = weights + output * fan_in(l) + first + input;
      const float low = output < outputs && input < columns ? __ldg(at) : 0.0f;
      const float high = output < outputs && input + 1 < columns ? __ldg(at + 1) : 0.0f;
      to[(square / across * wide(l) + left + square % across) * SQUARE + i % SQUARE] = pack_halves(low, high);
    }
  }

  unsigned *weights_, *encodings_, *harmonics_;
  Fragments<2, OF_FEATURES> features_;
};

}  // namespace scenekit
