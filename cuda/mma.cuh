// Dense layers on tensor cores, warp by warp: halves are multiplied, float32 added up. What a warp knows of its samples
// stays in registers from layer to layer, for the sums of one product are laid out as the left operand of the next.
//
// In shared memory everything lies in squares of 16 by 16 halves, 128 words each: four blocks of 8 by 8, of which a row
// is four words. A block is what the hardware loads at once, as it is or transposed, with no conflict of banks.
//
//   activations: a row for a sample, blocks (upper, left), (lower, left), (upper, right), (lower, right)
//   weights:     a row for an output, blocks (upper, left), (upper, right), (lower, left), (lower, right)
//
// Channels have an order of their own within a square, the same everywhere, in which lane l has channels l % 4 * 4 and
// the three after it of rows l / 4 and l / 4 + 8: four floats of a sample are read and written at once (strip.cuh, which
// also says what samples the rows are).
#pragma once

#include "ptx.cuh"
#include "warp.cuh"

namespace scenekit {

constexpr int SQUARE = 128;  // words

// Squares side by side that hold `width` channels.
__device__ constexpr int squares(int width) { return (width + 15) / 16; }

// Column of a square where channel 0 to 15 stands, and the channel of a column.
__device__ constexpr int column_of(int channel) {
  return (channel >> 1 & 1) * 8 + (channel >> 2) * 2 + (channel & 1);
}
__device__ constexpr int channel_of(int column) {
  return (column >> 1 & 3) * 4 + (column >> 3) * 2 + (column & 1);
}

// Word of a square of activations that holds channels 2 `pair` and the next (pair 0 to 7) of row `row` (0 to 15).
__device__ constexpr int activation_word(int row, int pair) {
  return (pair & 1) * 64 + (row >> 3) * 32 + (row & 7) * 4 + (pair >> 1);
}

// 16 TALL samples by 16 WIDE channels as left operands; of[r][c] is a square, a word of each of its blocks.
template <int TALL, int WIDE> struct Fragments {
  unsigned of[TALL][WIDE][4];
};

// Sums of 16 TALL samples by the 16 channels of a square. Of row l / 4 + 8 h of of[r], channel l % 4 * 4 + c is
// of[r][c / 2][2 h + c % 2].
template <int TALL> struct Sums {
  float of[TALL][2][4];
};

__device__ __forceinline__ void load_square(unsigned (&words)[4], const unsigned* square) {
  load_blocks<false>(words, square + 4 * lane_index());
}

__device__ __forceinline__ void load_square_transposed(unsigned (&words)[4], const unsigned* square) {
  load_blocks<true>(words, square + 4 * lane_index());
}

// Calls use(o, sums) for every square o of outputs: in times the transposed weights [OUT squares][WIDE squares].
template <int OUT, int TALL, int WIDE, class Use>
__device__ __forceinline__ void dense(const Fragments<TALL, WIDE>& in, const unsigned* weights, const Use& use) {
#pragma unroll
  for (int o = 0; o < OUT; ++o) {
    Sums<TALL> sums = {};
#pragma unroll
    for (int i = 0; i < WIDE; ++i) {
      unsigned w[4];
      load_square(w, weights + (o * WIDE + i) * SQUARE);
#pragma unroll
      for (int r = 0; r < TALL; ++r) {
        const unsigned(&a)[4] = in.of[r][i];
        multiply_add(sums.of[r][0], a[0], a[1], a[2], a[3], w[0], w[1]);
        multiply_add(sums.of[r][1], a[0], a[1], a[2], a[3], w[2], w[3]);
      }
    }
    use(o, sums);
  }
}

// The way back: calls use(i, sums) for squares i of inputs from FROM to TO, gradient times weights
// [WIDE squares][IN squares].
template <int IN, int FROM = 0, int TO = IN, int TALL, int WIDE, class Use>
__device__ __forceinline__ void dense_back(const Fragments<TALL, WIDE>& gradient, const unsigned* weights,
                                           const Use& use) {
#pragma unroll
  for (int i = FROM; i < TO; ++i) {
    Sums<TALL> sums = {};
#pragma unroll
    for (int o = 0; o < WIDE; ++o) {
      unsigned w[4];
      load_square_transposed(w, weights + (o * IN + i) * SQUARE);
#pragma unroll
      for (int r = 0; r < TALL; ++r) {
        const unsigned(&g)[4] = gradient.of[r][o];
        multiply_add(sums.of[r][0], g[0], g[1], g[2], g[3], w[0], w[2]);
        multiply_add(sums.of[r][1], g[0], g[1], g[2], g[3], w[1], w[3]);
      }
    }
    use(i, sums);
  }
}

// Adds what 16 samples have in the product of the transposed `left` and `right`, both squares of activations that were
// loaded transposed. Rows of the sums are channels of `left`, columns those of `right`.
__device__ __forceinline__ void multiply_channels(float (&sums)[2][4], const unsigned (&left)[4],
                                                  const unsigned (&right)[4]) {
  multiply_add(sums[0], left[0], left[2], left[1], left[3], right[0], right[1]);
  multiply_add(sums[1], left[0], left[2], left[1], left[3], right[2], right[3]);
}

// Sums as square `c` of the next left operand, as they are or rectified.
template <int TALL, int WIDE>
__device__ __forceinline__ void keep(const Sums<TALL>& sums, Fragments<TALL, WIDE>& to, int c) {
#pragma unroll
  for (int r = 0; r < TALL; ++r)
#pragma unroll
    for (int q = 0; q < 4; ++q)
      to.of[r][c][q] = pack_halves(sums.of[r][q / 2][q % 2 * 2], sums.of[r][q / 2][q % 2 * 2 + 1]);
}

template <int TALL, int WIDE>
__device__ __forceinline__ void keep_rectified(const Sums<TALL>& sums, Fragments<TALL, WIDE>& to, int c) {
#pragma unroll
  for (int r = 0; r < TALL; ++r)
#pragma unroll
    for (int q = 0; q < 4; ++q)
      to.of[r][c][q] = pack_rectified(sums.of[r][q / 2][q % 2 * 2], sums.of[r][q / 2][q % 2 * 2 + 1]);
}

// A layer with ReLU from activations to activations.
template <int OUT, int TALL, int WIDE>
__device__ __forceinline__ Fragments<TALL, OUT> dense_rectified(const Fragments<TALL, WIDE>& in,
                                                                const unsigned* weights) {
  Fragments<TALL, OUT> out;
  dense<OUT>(in, weights, [&](int o, const Sums<TALL>& sums) { keep_rectified(sums, out, o); });
  return out;
}

// The first COUNT squares of a left operand as squares of activations in shared memory, and COUNT of those as squares of
// one from the `at`-th on; STRIDE squares from one 16 samples to the next. Other lanes see what is stored after
// __syncwarp().
template <int STRIDE, int COUNT, int TALL, int WIDE>
__device__ __forceinline__ void store(const Fragments<TALL, WIDE>& from, unsigned* to) {
#pragma unroll
  for (int r = 0; r < TALL; ++r)
#pragma unroll
    for (int c = 0; c < COUNT; ++c)
#pragma unroll
      for (int q = 0; q < 4; ++q) to[(r * STRIDE + c) * SQUARE + q * 32 + lane_index()] = from.of[r][c][q];
}

template <int STRIDE, int COUNT, int TALL, int WIDE>
__device__ __forceinline__ void load_activations(const unsigned* from, Fragments<TALL, WIDE>& to, int at) {
#pragma unroll
  for (int r = 0; r < TALL; ++r)
#pragma unroll
    for (int c = 0; c < COUNT; ++c) load_square(to.of[r][at + c], from + (r * STRIDE + c) * SQUARE);
}

// Sixteen channels as row `row` of a square of activations, and back.
__device__ __forceinline__ void put_row(const float* channels, unsigned* square, int row) {
  unsigned* to = square + activation_word(row, 0);
  const auto pair = [channels](int p) { return pack_halves(channels[2 * p], channels[2 * p + 1]); };
  *(uint4*)to = make_uint4(pair(0), pair(2), pair(4), pair(6));
  *(uint4*)(to + activation_word(0, 1)) = make_uint4(pair(1), pair(3), pair(5), pair(7));
}

__device__ __forceinline__ void get_row(const unsigned* square, int row, float* channels) {
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    const uint4 found = *(const uint4*)(square + activation_word(row, part));
    const unsigned words[4] = {found.x, found.y, found.z, found.w};
#pragma unroll
    for (int w = 0; w < 4; ++w) unpack_halves(words[w], channels[4 * w + 2 * part], channels[4 * w + 2 * part + 1]);
  }
}

// Four values of a row of WIDTH from `channel` on, zeros beyond its end. ALIGNED: rows begin at multiples of 16 bytes.
template <int WIDTH, bool ALIGNED>
__device__ __forceinline__ float4 read_four(const float* row, int channel) {
  if constexpr (ALIGNED && WIDTH % 4 == 0) {
    if (WIDTH % 16 != 0 && channel >= WIDTH) return make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    return __ldg((const float4*)(row + channel));
  } else {
    float of[4];
#pragma unroll
    for (int c = 0; c < 4; ++c) of[c] = channel + c < WIDTH ? __ldg(row + channel + c) : 0.0f;
    return make_float4(of[0], of[1], of[2], of[3]);
  }
}

// Columns [FIRST, FIRST + COLUMNS) of float32 weights [OUT, IN] as squares in shared memory, WIDE of them in a row, from
// the `left`-th on; by all `warps` of a block. ALIGNED: weights begin at a multiple of 16 bytes.
template <int OUT, int IN, int FIRST, int COLUMNS, bool ALIGNED>
__device__ __forceinline__ void load_columns(const float* from, unsigned* to, int wide, int left, int warp, int warps) {
  constexpr int ACROSS = squares(COLUMNS);
  constexpr bool VECTORS = ALIGNED && IN % 4 == 0 && FIRST % 4 == 0;
  for (int half = warp; half < 2 * squares(OUT) * ACROSS; half += warps) {
    const int down = half / 2 / ACROSS, across = half / 2 % ACROSS;
    const int out = down * 16 + channel_of(half % 2 * 8 + lane_index() / 4);
    float4 w = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (out < OUT) w = read_four<COLUMNS, VECTORS>(from + out * IN + FIRST, across * 16 + lane_index() % 4 * 4);
    unsigned* words = to + (down * wide + left + across) * SQUARE + half % 2 * 64 + lane_index();
    words[0] = pack_halves(w.x, w.y);
    words[32] = pack_halves(w.z, w.w);
  }
}

}  // namespace scenekit
