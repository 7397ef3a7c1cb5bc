// The multilayer perceptron in float32. The backward pass finds the hidden activations again, in memory of its block
// that stays in the cache; gradients of weights are summed by block first and then over blocks in their order, so
// that the same input gives the same bits.
#include "mlp.cuh"

#include "ptx.cuh"

using namespace scenekit;

namespace {

// The gradient before a ReLU whose results are `values`.
struct Masked {
  const float* values;

  __device__ __forceinline__ float operator()(int channel, int row, float x) const {
    return relu_gradient<float>(x, values[slot(channel, row)]);
  }
};

// The layer's gradient of weights [out, in] from 64 samples, added to `sums` or, at first, put there. A thread comes to
// the same entries every time.
__device__ void add_weight_gradients(const float* gradient, int out, const float* values, int in, bool first,
                                     float* sums) {
  const int wide = padded(in) / 4, tasks = padded(out) / 4 * wide;
  for (int task = threadIdx.x; task < tasks; task += MLP_THREADS) {
    const int o = task / wide * 4, i = task % wide * 4;
    float found[4][4] = {};
    for (int row = 0; row < TILE; row += 4) {
      float4 g[4], v[4];
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        g[n] = *(const float4*)(gradient + slot(o + n, row));
        v[n] = *(const float4*)(values + slot(i + n, row));
      }
#pragma unroll
      for (int n = 0; n < 4; ++n)
#pragma unroll
        for (int m = 0; m < 4; ++m)
          found[n][m] += (g[n].x * v[m].x + g[n].y * v[m].y) + (g[n].z * v[m].z + g[n].w * v[m].w);
    }
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        if (o + n >= out || i + m >= in) continue;
        float* to = sums + (o + n) * in + i + m;
        *to = first ? found[n][m] : *to + found[n][m];
      }
  }
}

// All layers' inputs of one tile, one after the other at `values`; ends with a barrier.
__device__ void find_values(const Network& net, const float* inputs, bool by_feature, long long first, long long count,
                            float* values) {
  load_samples(inputs, by_feature, first, count, net.width(0), values);
  __syncthreads();
  const float* weights = net.forward;
  for (int l = 0; l + 1 < net.layers; ++l) {
    float* next = values + padded(net.width(l)) * TILE;
    layer_forward(values, net.width(l), weights, net.width(l + 1), Rectified{}, next);
    weights += net.width(l) * padded(net.width(l + 1));
    values = next;
  }
}

}  // namespace

// Both layouts of the weights of layer blockIdx.y, padding as zeros.
extern "C" __global__ void __launch_bounds__(MLP_THREADS)
    mlp_pack(const float* weights, const long long* widths, float* forward, float* backward) {
  for (int l = 0; l < (int)blockIdx.y; ++l) {
    const int in = (int)widths[l], out = (int)widths[l + 1];
    weights += in * out;
    forward += in * padded(out);
    backward += out * padded(in);
  }
  const int in = (int)widths[blockIdx.y], out = (int)widths[blockIdx.y + 1];
  for (int i = blockIdx.x * MLP_THREADS + threadIdx.x; i < padded(in) * padded(out); i += gridDim.x * MLP_THREADS) {
    const int row = i / padded(out), column = i % padded(out);  // input and output
    const float weight = row < in && column < out ? weights[column * in + row] : 0.0f;
    if (row < in) forward[row * padded(out) + column] = weight;
    if (column < out) backward[column * padded(in) + row] = weight;
  }
}

// Inputs stand by sample or by feature, outputs by sample. `room`: channels that one of the two buffers in shared memory
// holds.
extern "C" __global__ void __launch_bounds__(MLP_THREADS)
    mlp(const float* inputs, long long by_feature, long long count, const long long* widths, long long layers,
        const float* forward, long long room, float* outputs) {
  SK_DYNAMIC_SHARED(float, memory);
  const Network net{(int)layers, widths, forward, nullptr};
  const long long first = (long long)blockIdx.x * TILE;
  float *values = memory, *next = memory + room * TILE;
  load_samples(inputs, by_feature, first, count, net.width(0), values);
  __syncthreads();
  for (int l = 0; l + 1 < net.layers; ++l) {
    layer_forward(values, net.width(l), forward, net.width(l + 1), Rectified{}, next);
    forward += net.width(l) * padded(net.width(l + 1));
    float* free = values;
    values = next;
    next = free;
  }
  const int out = net.width(net.layers);
  product(values, net.width(net.layers - 1), forward, out, Write{outputs, false, first, count, out});
}

// A block takes every gridDim.x-th tile. `values` holds `stretch` floats a block, `sums` all weights a block;
// `for_inputs`, which stands as inputs do, may be null.
extern "C" __global__ void __launch_bounds__(MLP_THREADS)
    mlp_backward(const float* gradient, const float* inputs, long long by_feature, long long count,
                 const long long* widths, long long layers, const float* forward, const float* backward,
                 long long backward_size, long long room, float* values, long long stretch, float* sums,
                 long long weight_count, float* for_inputs) {
  SK_DYNAMIC_SHARED(float, memory);
  const Network net{(int)layers, widths, forward, backward};
  values += blockIdx.x * stretch;
  sums += blockIdx.x * weight_count;
  for (long long first = (long long)blockIdx.x * TILE; first < count; first += (long long)gridDim.x * TILE) {
    const bool fresh = first == (long long)blockIdx.x * TILE;
    float *g = memory, *next = memory + room * TILE;
    find_values(net, inputs, by_feature, first, count, values);
    load_samples(gradient, false, first, count, net.width(net.layers), g);
    __syncthreads();
    const float* weights = backward + backward_size;
    float *to = sums + weight_count, *a = values + stretch;
    for (int l = net.layers - 1; l >= 0; --l) {
      const int in = net.width(l), out = net.width(l + 1);
      weights -= out * padded(in);
      to -= out * in;
      a -= padded(in) * TILE;
      add_weight_gradients(g, out, a, in, fresh, to);
      if (l > 0) product(g, out, weights, in, Store<Masked>{next, in, {a}});
      else if (for_inputs) product(g, out, weights, in, Write{for_inputs, (bool)by_feature, first, count, in});
      __syncthreads();
      float* free = g;
      g = next;
      next = free;
    }
  }
}

extern "C" __global__ void __launch_bounds__(MLP_THREADS)
    mlp_sum(const float* sums, long long blocks, long long weight_count, float* result) {
  const long long i = (long long)blockIdx.x * MLP_THREADS + threadIdx.x;
  if (i >= weight_count) return;
  float sum = 0.0f;
  for (long long b = 0; b < blocks; ++b) sum += sums[b * weight_count + i];
  result[i] = sum;
}
