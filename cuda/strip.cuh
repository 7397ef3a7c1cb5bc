// What a warp reads and writes of memory for its strip, 16 TALL samples that follow each other: float32 values by sample,
// [count, WIDTH], or by feature, [WIDTH, count]. All begin at a multiple of 16 bytes.
//
// Lane l has the 2 TALL samples from l / 4 * 2 TALL on: rows l / 4 and l / 4 + 8 of square r are the samples 2 r and
// 2 r + 1 of those. What a lane has of a feature therefore lies together, and so do whole samples of few values.
#pragma once

#include "mma.cuh"

namespace scenekit {

// The strip's sample at a row of a square.
template <int TALL> __device__ constexpr int sample_at(int square, int row) {
  return row % 8 * (2 * TALL) + 2 * square + row / 8;
}

// The first of this lane's samples.
template <int TALL> __device__ __forceinline__ long long own_samples(long long first) {
  return first + lane_index() / 4 * (2 * TALL);
}

// Numbers `at` to `at` + N of `count`, N being 2 or 4; zeros beyond the last. WHOLE: no run passes the last, and runs
// lie at multiples of their size.
template <bool WHOLE, int N>
__device__ __forceinline__ void read_run(const float* from, long long at, long long count, float (&to)[N]) {
  static_assert(N == 2 || N == 4);
  if constexpr (!WHOLE) {
#pragma unroll
    for (int n = 0; n < N; ++n) to[n] = at + n < count ? __ldg(from + at + n) : 0.0f;
  } else if constexpr (N == 4) {
    float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (at < count) x = __ldg((const float4*)(from + at));
    to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
  } else {
    float2 x = make_float2(0.0f, 0.0f);
    if (at < count) x = __ldg((const float2*)(from + at));
    to[0] = x.x, to[1] = x.y;
  }
}

template <bool WHOLE, int N>
__device__ __forceinline__ void write_run(const float (&from)[N], float* to, long long at, long long count) {
  static_assert(N == 2 || N == 4);
  if constexpr (!WHOLE) {
#pragma unroll
    for (int n = 0; n < N; ++n)
      if (at + n < count) to[at + n] = from[n];
  } else if (at < count) {
    if constexpr (N == 4) *(float4*)(to + at) = make_float4(from[0], from[1], from[2], from[3]);
    else *(float2*)(to + at) = make_float2(from[0], from[1]);
  }
}

// Whether runs of N of anything that `count` samples have are whole.
template <int N> __device__ __forceinline__ bool runs_are_whole(long long count) { return count % N == 0; }

// Samples of WIDTH values by sample, all of this lane's.
template <bool WHOLE, int WIDTH, int N>
__device__ __forceinline__ void read_samples(const float* from, long long first, long long count,
                                             float (&to)[N][WIDTH]) {
#pragma unroll
  for (int run = 0; run < WIDTH; ++run) {
    float found[N];
    read_run<WHOLE>(from, first * WIDTH + run * N, count * WIDTH, found);
#pragma unroll
    for (int n = 0; n < N; ++n) to[(run * N + n) / WIDTH][(run * N + n) % WIDTH] = found[n];
  }
}

template <bool WHOLE, int WIDTH, int N>
__device__ __forceinline__ void write_samples(const float (&from)[N][WIDTH], float* to, long long first,
                                              long long count) {
#pragma unroll
  for (int run = 0; run < WIDTH; ++run) {
    float found[N];
#pragma unroll
    for (int n = 0; n < N; ++n) found[n] = from[(run * N + n) / WIDTH][(run * N + n) % WIDTH];
    write_run<WHOLE>(found, to, first * WIDTH + run * N, count * WIDTH);
  }
}

// This lane's samples, channels 16 c + lane % 4 * 4 and the three after it; zeros beyond all ends.
template <int WIDTH, bool WHOLE, int N>
__device__ __forceinline__ void read_features(const float* from, int c, long long own, long long count,
                                              float (&to)[N][4]) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int channel = 16 * c + lane_index() % 4 * 4 + k;
    float found[N] = {};
    if (WIDTH % 16 == 0 || channel < WIDTH) read_run<WHOLE>(from + channel * count, own, count, found);
#pragma unroll
    for (int n = 0; n < N; ++n) to[n][k] = found[n];
  }
}

template <int WIDTH, bool WHOLE, int N>
__device__ __forceinline__ void write_features(const float (&from)[N][4], int c, float* to, long long own,
                                               long long count) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int channel = 16 * c + lane_index() % 4 * 4 + k;
    float found[N];
#pragma unroll
    for (int n = 0; n < N; ++n) found[n] = from[n][k];
    if (WIDTH % 16 == 0 || channel < WIDTH) write_run<WHOLE>(found, to + channel * count, own, count);
  }
}

// The same of values by sample; all of narrow ones are the first lane's of four.
template <int WIDTH, int N>
__device__ __forceinline__ void read_rows(const float* from, int c, long long own, long long count,
                                          float (&to)[N][4]) {
  if constexpr (WIDTH < 4) {
    float found[N][WIDTH] = {};
    if (lane_index() % 4 == 0) {
      if (runs_are_whole<N>(count)) read_samples<true>(from, own, count, found);
      else read_samples<false>(from, own, count, found);
    }
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int k = 0; k < 4; ++k) to[n][k] = k < WIDTH ? found[n][k < WIDTH ? k : 0] : 0.0f;
    return;
  }
#pragma unroll
  for (int n = 0; n < N; ++n) {
    float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (own + n < count) x = read_four<WIDTH, true>(from + (own + n) * WIDTH, 16 * c + lane_index() % 4 * 4);
    to[n][0] = x.x, to[n][1] = x.y, to[n][2] = x.z, to[n][3] = x.w;
  }
}

template <int WIDTH, int N>
__device__ __forceinline__ void write_rows(const float (&from)[N][4], int c, float* to, long long own,
                                           long long count) {
  const int channel = 16 * c + lane_index() % 4 * 4;
  if constexpr (WIDTH < 4) {
    float of[N][WIDTH];
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int k = 0; k < WIDTH; ++k) of[n][k] = from[n][k];
    if (channel > 0) return;
    if (runs_are_whole<N>(count)) write_samples<true>(of, to, own, count);
    else write_samples<false>(of, to, own, count);
    return;
  }
#pragma unroll
  for (int n = 0; n < N; ++n) {
    if (own + n >= count) continue;
    float* at = to + (own + n) * WIDTH + channel;
    if constexpr (WIDTH % 4 == 0) {
      if (channel < WIDTH) *(float4*)at = make_float4(from[n][0], from[n][1], from[n][2], from[n][3]);
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (channel + k < WIDTH) at[k] = from[n][k];
    }
  }
}

// Square `c` of a left operand: this lane's samples.
template <int TALL, int WIDE>
__device__ __forceinline__ void keep_samples(const float (&from)[2 * TALL][4], float scale, Fragments<TALL, WIDE>& to,
                                             int c) {
#pragma unroll
  for (int r = 0; r < TALL; ++r)
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const float(&sample)[4] = from[2 * r + q % 2];
      to.of[r][c][q] = pack_halves(sample[q / 2 * 2] * scale, sample[q / 2 * 2 + 1] * scale);
    }
}

// How values stand in memory: by sample, by feature in runs that are whole, or in others.
enum class Stand { BY_SAMPLE, BY_FEATURE, BY_FEATURE_IN_PARTS };

template <int TALL> __device__ __forceinline__ Stand stand_of(bool by_feature, long long count) {
  if (!by_feature) return Stand::BY_SAMPLE;
  return runs_are_whole<2 * TALL>(count) ? Stand::BY_FEATURE : Stand::BY_FEATURE_IN_PARTS;
}

template <Stand STAND, int WIDTH, int TALL>
__device__ __forceinline__ void read_squares(const float* from, long long own, long long count, float scale,
                                             Fragments<TALL, squares(WIDTH)>& to) {
#pragma unroll
  for (int c = 0; c < squares(WIDTH); ++c) {
    float found[2 * TALL][4];
    if constexpr (STAND == Stand::BY_SAMPLE) read_rows<WIDTH>(from, c, own, count, found);
    else read_features<WIDTH, STAND == Stand::BY_FEATURE>(from, c, own, count, found);
    keep_samples(found, scale, to, c);
  }
}

// The strip from sample `first` on, times `scale`, as a left operand; zeros beyond `count`.
template <int WIDTH, int TALL>
__device__ __forceinline__ Fragments<TALL, squares(WIDTH)> read_strip(const float* from, bool by_feature,
                                                                      long long first, long long count, float scale) {
  const long long own = own_samples<TALL>(first);
  const Stand stand = stand_of<TALL>(by_feature, count);
  Fragments<TALL, squares(WIDTH)> to;
  if (stand == Stand::BY_SAMPLE) read_squares<Stand::BY_SAMPLE, WIDTH>(from, own, count, scale, to);
  else if (stand == Stand::BY_FEATURE) read_squares<Stand::BY_FEATURE, WIDTH>(from, own, count, scale, to);
  else read_squares<Stand::BY_FEATURE_IN_PARTS, WIDTH>(from, own, count, scale, to);
  return to;
}

// Asks for what read_strip of this strip will want.
template <int WIDTH, int TALL>
__device__ __forceinline__ void prefetch_strip(const float* from, bool by_feature, long long first, long long count) {
  const long long rows = count - first < 16 * TALL ? count - first : 16 * TALL;
  if (first < 0 || rows <= 0) return;
  if (!by_feature) {
    prefetch_to_l2(from + first * WIDTH, (int)rows * WIDTH * 4 & ~15);
  } else {
    for (int i = lane_index(); i < WIDTH * TALL; i += 32)
      if (i % TALL * 16 < rows) prefetch_here_to_l2(from + i / TALL * count + first + i % TALL * 16);
  }
}

// Sums times `scale` as square `c` of the strip's channels, as far as those exist.
template <int WIDTH, int TALL>
__device__ __forceinline__ void write_strip(const Sums<TALL>& sums, int c, float scale, float* to, bool by_feature,
                                            long long first, long long count) {
  constexpr int N = 2 * TALL;
  const long long own = own_samples<TALL>(first);
  float of[N][4];
#pragma unroll
  for (int n = 0; n < N; ++n)
#pragma unroll
    for (int k = 0; k < 4; ++k) of[n][k] = sums.of[n / 2][k / 2][n % 2 * 2 + k % 2] * scale;
  const Stand stand = stand_of<TALL>(by_feature, count);
  if (stand == Stand::BY_SAMPLE) write_rows<WIDTH>(of, c, to, own, count);
  else if (stand == Stand::BY_FEATURE) write_features<WIDTH, true>(of, c, to, own, count);
  else write_features<WIDTH, false>(of, c, to, own, count);
}

}  // namespace scenekit
