// Loops of the multilayer perceptron. A block of samples goes through all layers while its activations stay in
// the cache. All three products (forward, gradient of inputs, gradient of weights) are one register tile: rows
// of A, read as scalars with any strides, times rows of B, read as vectors; so nothing is ever transposed but
// the weights, once. The backward pass finds the hidden activations again: cheaper than keeping them, since
// writing and reading them costs more than the products.
#include "mlp_loop.h"

#include <algorithm>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int LANES = WIDTH;
constexpr int64_t BLOCK = Workspace::rows;
constexpr int64_t PIECE = 4096;    // fewest samples with a sum of weight gradients of their own
constexpr int64_t MOST_PIECES = 32;
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int TILE = 24, MOST_VECTORS = 4;  // sums of a tile, in registers, of which there are 32
#else
constexpr int TILE = 12, MOST_VECTORS = 2;  // of which there are 16
#endif

enum class Then { STORE, ADD, RELU, MASK };

struct Matrix {  // element (row, column) at data[row * by_row + column * by_column]
  const float* data;
  int64_t by_row, by_column;
};

// c = a * b for M rows and V vectors of columns; MASK zeroes what c's place in `values` has as zero.
template <int M, int V, Then then>
SK_LEAF void tile(Matrix a, Matrix b, int64_t depth, float* c, int64_t by_row, const float* values) {
  Wide sum[M][V] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Wide row[V];
    for (int v = 0; v < V; ++v) row[v] = load<LANES>(b.data + k * b.by_row + v * LANES);
    for (int m = 0; m < M; ++m) {
      Wide factor = splat<Wide>(a.data[m * a.by_row + k * a.by_column]);
      for (int v = 0; v < V; ++v) sum[m][v] += factor * row[v];
    }
  }
  for (int m = 0; m < M; ++m) {
    for (int v = 0; v < V; ++v) {
      int64_t at = m * by_row + v * LANES;
      if (then == Then::ADD) sum[m][v] += load<LANES>(c + at);
      if (then == Then::RELU) sum[m][v] = relu<Wide>(sum[m][v]);
      if (then == Then::MASK) sum[m][v] = relu_gradient<Wide>(sum[m][v], load<LANES>(values + at));
      store(c + at, sum[m][v]);
    }
  }
}

template <int M, int V, Then then>
int64_t tiles(Matrix a, Matrix b, int64_t rows, int64_t from, int64_t depth, float* c, int64_t by_row,
              const float* values) {
  int64_t m = from;
  for (; m + M <= rows; m += M) {
    Matrix part{a.data + m * a.by_row, a.by_row, a.by_column};
    tile<M, V, then>(part, b, depth, c + m * by_row, by_row, values ? values + m * by_row : nullptr);
  }
  return m;
}

template <int V, Then then>
void columns(Matrix a, Matrix b, int64_t rows, int64_t depth, float* c, int64_t by_row, const float* values) {
  constexpr int M = std::min(8, std::max(1, TILE / V));
  int64_t m = tiles<M, V, then>(a, b, rows, 0, depth, c, by_row, values);
  if constexpr (M > 4) m = tiles<4, V, then>(a, b, rows, m, depth, c, by_row, values);
  if constexpr (M > 2) m = tiles<2, V, then>(a, b, rows, m, depth, c, by_row, values);
  if constexpr (M > 1) tiles<1, V, then>(a, b, rows, m, depth, c, by_row, values);
}

// c [rows, width] from a [rows, depth] and b [depth, width]; width is in whole vectors, b is row-major.
template <Then then>
void product(Matrix a, Matrix b, int64_t rows, int64_t depth, int64_t width, float* c, int64_t by_row,
             const float* values = nullptr) {
  for (int64_t n = 0; n < width;) {
    Matrix part{b.data + n, b.by_row, 1};
    const float* v = values ? values + n : nullptr;
    int64_t vectors = std::min<int64_t>(MOST_VECTORS, (width - n) / LANES);
    if constexpr (MOST_VECTORS == 4) {
      if (vectors == 4) columns<4, then>(a, part, rows, depth, c + n, by_row, v);
      if (vectors == 3) columns<3, then>(a, part, rows, depth, c + n, by_row, v);
    }
    if (vectors == 2) columns<2, then>(a, part, rows, depth, c + n, by_row, v);
    if (vectors == 1) columns<1, then>(a, part, rows, depth, c + n, by_row, v);
    n += vectors * LANES;
  }
}

int64_t padded(int64_t width) { return (width + LANES - 1) / LANES * LANES; }

void copy_rows(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows, int64_t width) {
  for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * from_stride, width, to + i * to_stride);
}

// Fills hidden[1 .. layers - 1] from the block's inputs.
void find_hidden(const Network& net, const float* inputs, int64_t rows, Workspace& work) {
  Matrix a{inputs, net.widths[0], 1};
  for (int64_t l = 0; l + 1 < net.layers; ++l) {
    int64_t width = padded(net.widths[l + 1]);
    float* to = work.hidden[l + 1].data();
    product<Then::RELU>(a, {net.forward[l].data(), width, 1}, rows, net.widths[l], width, to, width);
    a = {to, width, 1};
  }
}

void forward_block(const Network& net, const float* inputs, int64_t rows, float* outputs, Workspace& work) {
  find_hidden(net, inputs, rows, work);
  int64_t last = net.layers - 1, out = net.widths[net.layers], width = padded(out);
  Matrix a = last ? Matrix{work.hidden[last].data(), padded(net.widths[last]), 1} : Matrix{inputs, net.widths[0], 1};
  float* to = width == out ? outputs : work.first.data();
  product<Then::STORE>(a, {net.forward[last].data(), width, 1}, rows, net.widths[last], width, to, width);
  if (to != outputs) copy_rows(to, width, outputs, out, rows, out);
}

// Adds the block's weight gradients to `sums` (layers with padded rows); writes input gradients if asked.
void backward_block(const Network& net, const float* gradient, const float* inputs, int64_t rows,
                    std::vector<std::vector<float>>& sums, float* result, Workspace& work) {
  find_hidden(net, inputs, rows, work);
  Matrix g{gradient, net.widths[net.layers], 1};
  float *next = work.first.data(), *other = work.second.data();
  for (int64_t l = net.layers - 1; l >= 0; --l) {
    int64_t in = net.widths[l], out = net.widths[l + 1], width = padded(in);
    const float* values = work.hidden[l].data();
    if (l == 0 && width == in) values = inputs;
    if (l == 0 && width != in) copy_rows(inputs, in, work.hidden[0].data(), width, rows, in);
    product<Then::ADD>({g.data, 1, g.by_row}, {values, width, 1}, out, rows, width, sums[l].data(), width);
    if (l == 0 && !result) return;
    Matrix weights{net.backward[l].data(), width, 1};
    if (l > 0) {
      product<Then::MASK>(g, weights, rows, out, width, next, width, values);
    } else {
      float* to = width == in ? result : next;
      product<Then::STORE>(g, weights, rows, out, width, to, width);
      if (to != result) copy_rows(to, width, result, in, rows, in);
    }
    g = {next, width, 1};
    std::swap(next, other);
  }
}

// Calls use(from, rows) for the blocks of [begin, end).
template <class Use> void for_blocks(int64_t begin, int64_t end, Use use) {
  for (int64_t i = begin; i < end; i += BLOCK) use(i, std::min(BLOCK, end - i));
}

}  // namespace

namespace scenekit {

Network::Network(const float* weights, const int64_t* w, int64_t count) : layers(count), widths(w), first{0} {
  for (int64_t l = 0; l < layers; ++l) {
    int64_t in = widths[l], out = widths[l + 1];
    const float* from = weights + first.back();
    forward.emplace_back(in * padded(out));
    backward.emplace_back(out * padded(in));
    for (int64_t o = 0; o < out; ++o) {
      for (int64_t i = 0; i < in; ++i) {
        forward[l][i * padded(out) + o] = backward[l][o * padded(in) + i] = from[o * in + i];
      }
    }
    first.push_back(first.back() + in * out);
  }
}

int64_t Network::widest() const { return padded(*std::max_element(widths, widths + layers + 1)); }

Workspace::Workspace(const Network& net) : first(BLOCK * net.widest()), second(BLOCK * net.widest()) {
  for (int64_t l = 0; l < net.layers; ++l) hidden.emplace_back(BLOCK * padded(net.widths[l]));
}

void forward_rows(const Network& net, const float* inputs, int64_t count, float* outputs, Workspace& work) {
  for_blocks(0, count, [&](int64_t i, int64_t rows) {
    forward_block(net, inputs + i * net.widths[0], rows, outputs + i * net.widths[net.layers], work);
  });
}

}  // namespace scenekit

SCENEKIT_EXPORT void scenekit_mlp(const float* inputs, const float* weights, int64_t count, const int64_t* widths,
                                  int64_t layers, float* outputs) {
  Network net(weights, widths, layers);
  parallel(count, PIECE, [&](int64_t begin, int64_t end, int) {
    Workspace work(net);
    forward_rows(net, inputs + begin * widths[0], end - begin, outputs + begin * widths[layers], work);
  });
}

// `input_result` may be null. Pieces depend on the count alone and are summed in order: the same bits always.
SCENEKIT_EXPORT void scenekit_mlp_backward(const float* gradient, const float* inputs, const float* weights,
                                           int64_t count, const int64_t* widths, int64_t layers, float* weight_result,
                                           float* input_result) {
  Network net(weights, widths, layers);
  int64_t length = std::max(PIECE, (count + MOST_PIECES - 1) / MOST_PIECES);
  int64_t pieces = (count + length - 1) / length;
  std::vector<std::vector<std::vector<float>>> sums(pieces);
  parallel(pieces, 1, [&](int64_t piece, int64_t, int) {
    Workspace work(net);
    for (int64_t l = 0; l < layers; ++l) sums[piece].emplace_back(widths[l + 1] * padded(widths[l]));
    for_blocks(piece * length, std::min(count, (piece + 1) * length), [&](int64_t i, int64_t rows) {
      backward_block(net, gradient + i * widths[layers], inputs + i * widths[0], rows, sums[piece],
                     input_result ? input_result + i * widths[0] : nullptr, work);
    });
  });
  std::fill_n(weight_result, net.first.back(), 0.0f);
  for (const auto& sum : sums) {
    for (int64_t l = 0; l < layers; ++l) {
      int64_t in = widths[l];
      for (int64_t o = 0; o < widths[l + 1]; ++o) {
        for (int64_t i = 0; i < in; ++i) weight_result[net.first[l] + o * in + i] += sum[l][o * padded(in) + i];
      }
    }
  }
}
