// The multilayer perceptron as blocks of THREADS use it: 64 samples go through all layers while their activations stay
// in fast memory. Activations are stored by channel, 64 samples in a row, so that four samples are one access; which
// four stand where is swizzled, so that neighbouring channels meet different banks.
#pragma once

#include "mlp.h"

namespace scenekit {

constexpr int TILE = 64;  // samples
constexpr int MLP_THREADS = 128;

__device__ __forceinline__ int padded(int width) { return (width + 3) / 4 * 4; }

// Where sample `row` of `channel` stands; groups of four samples stay together.
__device__ __forceinline__ int slot(int channel, int row) { return channel * TILE + (row ^ ((channel >> 2 & 7) << 2)); }

// Layers' sizes, and weights in two layouts whose rows are padded to whole fours: [in, out] and [out, in].
struct Network {
  int layers;
  const long long* widths;  // layers + 1
  const float *forward, *backward;

  __device__ __forceinline__ int width(int l) const { return (int)widths[l]; }
};

// Calls use.take<TALL>(column, row, sums) for pieces of c = a b: TALL samples, from `row` on, by four columns. `a` holds
// activations of `depth` channels, `b` rows of padded(columns) weights.
template <int TALL, class Use>
__device__ __forceinline__ void product_of(const float* a, int depth, const float* b, int columns, const Use& use) {
  constexpr int GROUPS = TILE / TALL, WIDE = MLP_THREADS / GROUPS * 4;  // columns at once
  const int row = threadIdx.x % GROUPS * TALL, stride = padded(columns);
  for (int column = threadIdx.x / GROUPS * 4; column < columns; column += WIDE) {
    float sums[TALL][4] = {};
#pragma unroll 4
    for (int k = 0; k < depth; ++k) {
      const float4 w = __ldg((const float4*)(b + (size_t)k * stride + column));
#pragma unroll
      for (int part = 0; part < TALL; part += 4) {
        const float4 x = *(const float4*)(a + slot(k, row + part));
        const float value[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
        for (int r = 0; r < 4; ++r) {
          sums[part + r][0] += value[r] * w.x;
          sums[part + r][1] += value[r] * w.y;
          sums[part + r][2] += value[r] * w.z;
          sums[part + r][3] += value[r] * w.w;
        }
      }
    }
    use.take(column, row, sums);
  }
}

// The same, with pieces as the number of columns suits: narrow ones leave no thread without work.
template <class Use>
__device__ __forceinline__ void product(const float* a, int depth, const float* b, int columns, const Use& use) {
  if (columns <= 32) product_of<4>(a, depth, b, columns, use);
  else product_of<8>(a, depth, b, columns, use);
}

// A piece of a product becomes activations again, by `then(channel, row, value)`; padding is not written.
template <class Then> struct Store {
  float* to;
  int columns;
  Then then;

  template <int TALL>
  __device__ __forceinline__ void take(int column, int row, const float (&sums)[TALL][4]) const {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      if (column + c >= columns) break;
#pragma unroll
      for (int r = 0; r < TALL; r += 4)
        *(float4*)(to + slot(column + c, row + r)) =
            make_float4(then(column + c, row + r, sums[r][c]), then(column + c, row + r + 1, sums[r + 1][c]),
                        then(column + c, row + r + 2, sums[r + 2][c]), then(column + c, row + r + 3, sums[r + 3][c]));
    }
  }
};

// A piece of a product becomes part of a matrix [count, columns], or [columns, count] by feature, as far as that goes.
struct Write {
  float* to;
  bool by_feature;
  long long first, count;
  int columns;

  template <int TALL>
  __device__ __forceinline__ void take(int column, int row, const float (&sums)[TALL][4]) const {
#pragma unroll
    for (int r = 0; r < TALL; ++r)
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (first + row + r < count && column + c < columns) {
          const long long sample = first + row + r, channel = column + c;
          to[by_feature ? channel * count + sample : sample * columns + channel] = sums[r][c];
        }
  }
};

struct Plain {
  __device__ __forceinline__ float operator()(int, int, float x) const { return x; }
};

struct Rectified {
  __device__ __forceinline__ float operator()(int, int, float x) const { return relu<float>(x); }
};

// One layer from activations to activations; ends with a barrier.
template <class Then>
__device__ __forceinline__ void layer_forward(const float* a, int depth, const float* weights, int columns, Then then,
                                              float* to) {
  product(a, depth, weights, columns, Store<Then>{to, columns, then});
  __syncthreads();
}

// Samples [first, first + TILE) of `from`, which stand by sample or by feature, as activations; zeros beyond `count`.
__device__ __forceinline__ void load_samples(const float* from, bool by_feature, long long first, long long count,
                                             int width, float* to) {
  for (int i = threadIdx.x; i < TILE * width; i += MLP_THREADS) {
    const int row = by_feature ? i % TILE : i / width, channel = by_feature ? i / TILE : i % width;
    const float* at = from + (by_feature ? channel * count + first + row : first * width + i);
    to[slot(channel, row)] = first + row < count ? __ldg(at) : 0.0f;
  }
}

}  // namespace scenekit
