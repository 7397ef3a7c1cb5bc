// Gradients of radiance. Everything between encodings and results is found again, and both networks are gone through
// backwards in one go. Each has a scale of its own: the density's gradient, times the density, spans many more powers of
// two than the colour's. The two meet in float32 where the networks join.
#include "layers_backward.cuh"
#include "radiance.cuh"

using namespace scenekit;

namespace {

// Gradients of this lane's raw densities and raw colours; zeros but in every fourth lane, which has them all.
struct Raw {
  float density[OWN], color[OWN][4];
};

template <bool WHOLE>
__device__ __forceinline__ void read_raw(const float* for_densities, const float* for_colors, const float* densities,
                                         const float* colors, long long own, long long count, Raw& to) {
  float gradient[OWN], density[OWN], gradients[OWN][3], color[OWN][3];
  read_run<WHOLE>(for_densities, own, count, gradient);
  read_run<WHOLE>(densities, own, count, density);
  read_samples<WHOLE>(for_colors, own, count, gradients);
  read_samples<WHOLE>(colors, own, count, color);
#pragma unroll
  for (int n = 0; n < OWN; ++n) {
    to.density[n] = gradient[n] * density_slope(density[n]);
#pragma unroll
    for (int k = 0; k < 3; ++k) to.color[n][k] = gradients[n][k] * color_slope(color[n][k]);
  }
}

struct Ends {
  long long first, count;  // this warp's samples, all
  const float* directions;
  const float (&raw)[OWN];  // gradients of raw densities
  Both<Scale> scale;
  unsigned* joint;  // values where the networks join
  bool by_feature;  // how encodings and their gradients stand
  float *for_encoded, *for_directions;

  __device__ __forceinline__ void first_gives(int, const Sums<TALL>&) const {}

  __device__ __forceinline__ void join(Fragments<TALL, wide(JOINT)>& inputs) const {
    load_activations<wide(JOINT), OF_HARMONICS>(joint + OF_FEATURES * SQUARE, inputs, OF_FEATURES);
  }

  __device__ __forceinline__ void first_gets(int o, const Sums<TALL>& sums,
                                             Fragments<TALL, OF_FEATURES>& gradient) const {
    Sums<TALL> both;
#pragma unroll
    for (int r = 0; r < TALL; ++r)
#pragma unroll
      for (int part = 0; part < 2; ++part)
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          float g = sums.of[r][part][k] * scale.second.back;
          if (o == 0 && part == 0 && k % 2 == 0) g += raw[2 * r + k / 2];
          both.of[r][part][k] = g * scale.first.there;
        }
    keep(both, gradient, o);
  }

  // Gradients of harmonics take their places, for each lane to read those of one sample.
  __device__ __forceinline__ void joined_gets(const Fragments<TALL, squares(WIDTH[JOINT + 1])>& gradient,
                                              const unsigned* weights) const {
    if (!for_directions) return;
    Fragments<TALL, OF_HARMONICS> found;
    dense_back<wide(JOINT), OF_FEATURES, wide(JOINT)>(
        gradient, weights, [&](int i, const Sums<TALL>& sums) { keep(sums, found, i - OF_FEATURES); });
    unsigned* squares_of_own = joint + OF_FEATURES * SQUARE;
    store<wide(JOINT), OF_HARMONICS>(found, squares_of_own);
    __syncwarp();
    const long long sample = one_sample(first);
    if (!has_one() || sample >= count) return;
    float of[16 * OF_HARMONICS], result[3];
#pragma unroll
    for (int c = 0; c < OF_HARMONICS; ++c)
      get_row(squares_of_own + (lane_index() / 16 * wide(JOINT) + c) * SQUARE, lane_index() % 16, of + 16 * c);
    const Towards d = direction_of(directions, sample, count);
    sh_basis_gradient<float>(d.x, d.y, d.z, DEGREE, [&of](int k) { return of[k]; }, result[0], result[1], result[2]);
#pragma unroll
    for (int a = 0; a < 3; ++a) for_directions[3 * sample + a] = result[a] * scale.second.back;
  }

  __device__ __forceinline__ bool wanted() const { return for_encoded != nullptr; }
  __device__ __forceinline__ void inputs_get(int i, const Sums<TALL>& sums) const {
    write_strip<WIDTH[0]>(sums, i, scale.first.back, for_encoded, by_feature, first, count);
  }
};

// The largest gradient times slope(result) among this thread's share of `size`.
template <class Slope>
__device__ __forceinline__ int largest_raw(const float* gradients, const float* results, long long size,
                                           const Slope& slope) {
  const long long fours = size / 4, step = (long long)gridDim.x * LARGEST_THREADS;
  const long long thread = (long long)blockIdx.x * LARGEST_THREADS + threadIdx.x;
  int most = 0;
#pragma unroll 2
  for (long long i = thread; i < fours; i += step) {
    const float4 g = __ldg((const float4*)gradients + i), x = __ldg((const float4*)results + i);
    most = max(most, max(magnitude(g.x * slope(x.x)), magnitude(g.y * slope(x.y))));
    most = max(most, max(magnitude(g.z * slope(x.z)), magnitude(g.w * slope(x.w))));
  }
  const long long rest = 4 * fours + thread;
  return rest < size ? max(most, magnitude(gradients[rest] * slope(results[rest]))) : most;
}

}  // namespace

// The largest magnitudes among each block's part of the gradients of raw densities and of raw colours: parts [2][blocks].
extern "C" __global__ void __launch_bounds__(LARGEST_THREADS)
    radiance_largest(const float* for_densities, const float* for_colors, const float* densities, const float* colors,
                     long long count, int* parts) {
  __shared__ int of_warps[2][LARGEST_THREADS / 32];
  put_largest(largest_raw(for_densities, densities, count, density_slope), of_warps[0], parts);
  put_largest(largest_raw(for_colors, colors, 3 * count, color_slope), of_warps[1], parts + gridDim.x);
}

// A block takes every gridDim.x-th tile, the last ones first: what radiance_largest read a moment ago is still in the L2
// cache. `sums` holds 256 floats for each square of weights a block; `for_encoded`, which stands as encodings do, and
// `for_directions` may be null.
extern "C" __global__ void __launch_bounds__(32 * WARPS, BLOCKS)
    radiance_backward(const float* for_densities, const float* for_colors, const float* densities, const float* colors,
                      const float* encoded, long long by_feature, const float* directions, long long count,
                      const float* density_weights, const float* color_weights, const int* parts,
                      long long part_count, float* sums, float* for_encoded, float* for_directions) {
  SK_DYNAMIC_SHARED(unsigned, memory);
  const Weights weights{density_weights, color_weights};
  load_layers_that_stay(weights, memory);
  const int of_density = largest_of(parts, (int)part_count), of_color = largest_of(parts + part_count, (int)part_count);
  const int of_both = max(of_density, of_color);
  // Where either is no number, both networks' gradients are none.
  const Both<Scale> scale{scale_for(of_both), scale_for(of_both >> 23 == 255 ? of_both : of_color)};
  sums += (size_t)blockIdx.x * weight_squares_before(LAYERS) * 256;
  float kept[KEPT][2][4] = {};
  const long long start = ((count - 1) / TILE - blockIdx.x) * TILE, stride = (long long)gridDim.x * TILE;
  for (long long tile = start; tile >= 0; tile -= stride) {
    const long long first = tile + threadIdx.x / 32 * STRIP, own = own_samples<TALL>(first);
    const Work of{weights, memory, memory + WEIGHT_WORDS, scale, sums, tile == start};
    unsigned* joint = of.own_values<JOINT>();
    const auto in = read_strip<WIDTH[0], TALL>(encoded, by_feature, first, count, 1.0f);
    put_harmonics<wide(JOINT)>(directions, first, count, joint + OF_FEATURES * SQUARE);
    Raw raw = {};
    if (lane_index() % 4 == 0) {
      if (runs_are_whole<OWN>(count)) read_raw<true>(for_densities, for_colors, densities, colors, own, count, raw);
      else read_raw<false>(for_densities, for_colors, densities, colors, own, count, raw);
    }
    if constexpr (AHEAD) {
      prefetch_strip<WIDTH[0], TALL>(encoded, by_feature, first - stride, count);
      prefetch_strip<3, TALL>(directions, false, first - stride, count);
    }
    Fragments<TALL, 1> out;
    keep_samples(raw.color, scale.second.there, out, 0);
    store<1, 1>(out, of.own_values<LAYERS>());
    const Ends ends{first, count, directions, raw.density, scale, joint, (bool)by_feature, for_encoded, for_directions};
    find_values<0>(in, of, ends);
    go_back<LAYERS - 1>(out, kept, of, ends);
  }
  if constexpr (SUMS_STAY) write_slices<0>(kept, scale, sums);
}

extern "C" __global__ void __launch_bounds__(32 * SUM_WARPS)
    radiance_sum(const float* sums, long long blocks, float* for_density_weights, float* for_color_weights) {
  __shared__ float of_warps[SUM_WARPS][32];
  sum_over_blocks(sums, (int)blocks, of_warps, {for_density_weights, for_color_weights});
}
