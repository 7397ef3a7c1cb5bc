// Loops of the multiresolution grid. Corner rows and weights are found for a block of samples at once in lanes;
// the rows themselves are then read sample by sample, as vectors over the features. The gradient of the table
// needs no atomics: a thread owns all rows of a level (or a group of its features), so sums keep their order.
#include "hash_grid_loop.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int LANES = WIDTH;  // samples per block
constexpr int64_t PIECE = 2048;  // samples per piece: its rows of one level tend to stay in the L2 cache

struct Level {
  float scale;
  uint32_t resolution, size;
  bool hashed;
  int64_t first;  // of the table's floats
};

Level level_of(const Grid& grid, int64_t level, int dimensions) {
  int64_t size = grid.offsets[level + 1] - grid.offsets[level], vertices = 1;
  for (int axis = 0; axis < dimensions && vertices <= size; ++axis) vertices *= grid.resolutions[level];
  return {grid.scales[level], (uint32_t)grid.resolutions[level], (uint32_t)size, vertices > size,
          grid.offsets[level] * grid.features};
}

// The corners of a block of samples at one level.
template <int D> struct Corners {
  static constexpr int pairs = 1 << (D - 1);
  WideUInt low[pairs], high[pairs];  // first float of the pair's two rows
  Wide weight[pairs];           // of the pair: the axes after x
  Wide fraction[D];
  bool adjacent;  // the two rows of every pair are one stretch of memory
};

bool anywhere(WideInt mask) {
  int found = 0;
  for (int i = 0; i < LANES; ++i) found |= mask[i];
  return found != 0;
}

template <int D> __attribute__((noinline)) void wrap(Corners<D>& at, uint32_t size, bool outside) {
  for (int j = 0; j < Corners<D>::pairs; ++j) {
    if (outside) {
      at.low[j] = at.low[j] % size;
      at.high[j] = at.high[j] % size;
    } else {  // a vertex of the cube lies at most one table beyond
      at.low[j] = at.low[j] >= size ? at.low[j] - size : at.low[j];
      at.high[j] = at.high[j] >= size ? at.high[j] - size : at.high[j];
    }
  }
}

// `points` holds D rows of `stride` coordinates.
template <int D>
SK_LEAF void find(const float* points, int64_t stride, const Level& level, uint32_t features, Corners<D>& at) {
  WideUInt cell[D];
  WideInt outside = WideInt{};
  for (int axis = 0; axis < D; ++axis) {
    Wide x = load<LANES>(points + axis * stride);
    outside |= ~((x >= 0.0f) & (x <= 1.0f));
    grid_locate<Wide>(x, level.scale, cell[axis], at.fraction[axis]);
  }
  for (int j = 0; j < Corners<D>::pairs; ++j) {
    WideUInt row = grid_pair_row<D, WideUInt>(cell, level.resolution, level.hashed, j);
    at.low[j] = level.hashed ? (row ^ cell[0]) & (level.size - 1) : row + cell[0];
    at.high[j] = level.hashed ? (row ^ (cell[0] + 1)) & (level.size - 1) : row + cell[0] + 1;
    at.weight[j] = grid_pair_weight<D, Wide>(at.fraction, j);
  }
  at.adjacent = false;
  if (!level.hashed) {
    bool beyond = anywhere(outside);
    at.adjacent = !beyond && !anywhere(at.high[Corners<D>::pairs - 1] >= level.size);
    if (!at.adjacent) wrap<D>(at, level.size, beyond);
  }
  for (int j = 0; j < Corners<D>::pairs; ++j) {
    at.low[j] *= features;
    at.high[j] *= features;
  }
}

template <int W> SK_LEAF typename Row<W>::type first_half(const typename Row<2 * W>::type& pair) {
  typename Row<W>::type half;
  __builtin_memcpy(&half, &pair, sizeof half);
  return half;
}
template <int W> SK_LEAF typename Row<W>::type second_half(const typename Row<2 * W>::type& pair) {
  typename Row<W>::type half;
  __builtin_memcpy(&half, (const float*)&pair + W, sizeof half);
  return half;
}

// Values of `count` samples: W features from the rows at `table`, written `stride` apart.
template <int D, int W>
SK_LEAF void blend(const Corners<D>& at, const float* table, bool paired, int count, float* out, int64_t stride) {
  using V = typename Row<W>::type;
  for (int s = 0; s < count; ++s) {
    V low = V{}, high = V{};
    if (paired) {
      if constexpr (2 * W <= WIDTH) {
        typename Row<2 * W>::type pair = {};
        for (int j = 0; j < Corners<D>::pairs; ++j) pair += at.weight[j][s] * load<2 * W>(table + at.low[j][s]);
        low = first_half<W>(pair);
        high = second_half<W>(pair);
      }
    } else {
      for (int j = 0; j < Corners<D>::pairs; ++j) {
        low += at.weight[j][s] * load<W>(table + at.low[j][s]);
        high += at.weight[j][s] * load<W>(table + at.high[j][s]);
      }
    }
    store(out + s * stride, low + at.fraction[0][s] * (high - low));
  }
}

// The transpose of blend: adds the samples' gradients to the rows.
template <int D, int W>
SK_LEAF void scatter(const Corners<D>& at, const float* gradient, int64_t stride, int count, float* table) {
  using V = typename Row<W>::type;
  for (int s = 0; s < count; ++s) {
    V g = load<W>(gradient + s * stride);
    V high = g * at.fraction[0][s], low = g - high;
    for (int j = 0; j < Corners<D>::pairs; ++j) {
      float* a = table + at.low[j][s];
      float* b = table + at.high[j][s];
      store(a, load<W>(a) + at.weight[j][s] * low);
      store(b, load<W>(b) + at.weight[j][s] * high);
    }
  }
}

// Adds dot products of the gradient with the rows of every pair.
template <int D, int W>
SK_LEAF void correlate(const Corners<D>& at, const float* table, const float* gradient, int64_t stride, int count,
                       Wide* low, Wide* high) {
  for (int s = 0; s < count; ++s) {
    auto g = load<W>(gradient + s * stride);
    for (int j = 0; j < Corners<D>::pairs; ++j) {
      auto a = g * load<W>(table + at.low[j][s]), b = g * load<W>(table + at.high[j][s]);
      float sum_a = 0, sum_b = 0;
      for (int k = 0; k < W; ++k) sum_a += a[k], sum_b += b[k];
      low[j][s] += sum_a;
      high[j][s] += sum_b;
    }
  }
}

// Coordinates by axis, so that a block of samples loads as lanes; the rows end in a block's worth of zeros.
void transpose(const float* positions, int64_t count, int dimensions, float* points, int64_t stride) {
  for (int axis = 0; axis < dimensions; ++axis) {
    for (int64_t i = 0; i < count; ++i) points[axis * stride + i] = positions[i * dimensions + axis];
    int64_t end = std::min(stride, count + LANES);
    for (int64_t i = count; i < end; ++i) points[axis * stride + i] = 0;
  }
}

// Calls use(feature, width) for groups of 8 (in a register, if it holds them), 4, 2 and 1 features, widths as
// constants.
template <class Use> SK_LEAF void for_groups(int64_t features, Use use) {
  int64_t f = 0;
  if constexpr (WIDTH >= 8) {
    for (; f + 8 <= features; f += 8) use(f, std::integral_constant<int, 8>());
  }
  for (; f + 4 <= features; f += 4) use(f, std::integral_constant<int, 4>());
  if (f + 2 <= features) use(f, std::integral_constant<int, 2>()), f += 2;
  if (f < features) use(f, std::integral_constant<int, 1>());
}

// Level by level, so that the rows in use stay in the cache; `points` as in find, a block's worth beyond `count`.
template <int D>
void encode(const float* points, int64_t stride, int64_t count, const float* table, const Grid& grid, float* out) {
  int64_t width = grid.levels * grid.features;
  for (int64_t l = 0; l < grid.levels; ++l) {
    Level level = level_of(grid, l, D);
    const float* rows = table + level.first;
    for (int64_t i = 0; i < count; i += LANES) {
      Corners<D> at;
      find<D>(points + i, stride, level, (uint32_t)grid.features, at);
      int block = (int)std::min<int64_t>(LANES, count - i);
      float* to = out + i * width + l * grid.features;
      for_groups(grid.features, [&](int64_t f, auto w) {
        bool paired = at.adjacent && w == grid.features && 2 * w <= WIDTH;
        blend<D, w>(at, rows + f, paired, block, to + f, width);
      });
    }
  }
}

template <int D> void forward(const float* positions, const float* table, int64_t count, const Grid& grid, float* out) {
  int64_t width = grid.levels * grid.features;
  parallel(count, PIECE, [&](int64_t begin, int64_t end, int) {
    alignas(64) float points[D * PIECE];
    transpose(positions + begin * D, end - begin, D, points, PIECE);
    encode<D>(points, PIECE, end - begin, table, grid, out + begin * width);
  });
}

// One thread's share of the table's gradient: one level, the features from `f` on.
template <int D, int W>
void scatter_level(const float* gradient, const float* points, int64_t stride, int64_t count, const Grid& grid,
                   int64_t l, int64_t f, float* table) {
  Level level = level_of(grid, l, D);
  float* rows = table + level.first + f;
  int64_t width = grid.levels * grid.features;
  if (W == grid.features) {
    std::memset(rows, 0, sizeof(float) * W * level.size);
  } else {
    for (int64_t i = 0; i < level.size; ++i) store(rows + i * grid.features, typename Row<W>::type{});
  }
  for (int64_t i = 0; i < count; i += LANES) {
    Corners<D> at;
    find<D>(points + i, stride, level, (uint32_t)grid.features, at);
    int block = (int)std::min<int64_t>(LANES, count - i);
    scatter<D, W>(at, gradient + i * width + l * grid.features + f, width, block, rows);
  }
}

template <int D>
void backward_table(const float* gradient, const float* positions, int64_t count, const Grid& grid, float* table) {
  int64_t stride = count + LANES;
  std::unique_ptr<float[]> points(new float[D * stride]);
  transpose(positions, count, D, points.get(), stride);
  int64_t groups = 0;
  for_groups(grid.features, [&](int64_t, auto) { ++groups; });
  parallel(grid.levels * groups, 1, [&](int64_t begin, int64_t, int) {
    int64_t l = grid.levels - 1 - begin / groups, group = begin % groups;  // the fine levels cost most: first
    for_groups(grid.features, [&](int64_t f, auto w) {
      if (group-- == 0) scatter_level<D, w>(gradient, points.get(), stride, count, grid, l, f, table);
    });
  });
}

template <int D>
void backward_positions(const float* gradient, const float* positions, const float* table, int64_t count,
                        const Grid& grid, float* result) {
  int64_t width = grid.levels * grid.features;
  parallel(count, LANES * 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += LANES) {
      int block = (int)std::min<int64_t>(LANES, end - i);
      alignas(64) float points[D * LANES];
      transpose(positions + i * D, block, D, points, LANES);
      Wide slope[D] = {};
      for (int64_t l = 0; l < grid.levels; ++l) {
        Level level = level_of(grid, l, D);
        Corners<D> at;
        find<D>(points, LANES, level, (uint32_t)grid.features, at);
        Wide low[Corners<D>::pairs] = {}, high[Corners<D>::pairs] = {};
        const float* g = gradient + i * width + l * grid.features;
        for_groups(grid.features, [&](int64_t f, auto w) {
          correlate<D, w>(at, table + level.first + f, g + f, width, block, low, high);
        });
        for (int j = 0; j < Corners<D>::pairs; ++j) {
          grid_pair_slope<D, Wide>(at.fraction, level.scale, j, low[j], high[j], slope);
        }
      }
      for (int s = 0; s < block; ++s) {
        for (int axis = 0; axis < D; ++axis) result[(i + s) * D + axis] = slope[axis][s];
      }
    }
  });
}

}  // namespace

namespace scenekit {

void encode_block(const float* points, int64_t stride, int64_t count, const float* table, const Grid& grid,
                  float* out) {
  encode<3>(points, stride, count, table, grid, out);
}

}  // namespace scenekit

SCENEKIT_EXPORT void scenekit_hash_grid(const float* positions, const float* table, int64_t count, int64_t dimensions,
                                        int64_t features, int64_t levels, const float* scales,
                                        const int64_t* resolutions, const int64_t* offsets, float* out) {
  Grid grid{features, levels, scales, resolutions, offsets};
  (dimensions == 2 ? forward<2> : forward<3>)(positions, table, count, grid, out);
}

// Either result may be null.
SCENEKIT_EXPORT void scenekit_hash_grid_backward(const float* gradient, const float* positions, const float* table,
                                                 int64_t count, int64_t dimensions, int64_t features, int64_t levels,
                                                 const float* scales, const int64_t* resolutions,
                                                 const int64_t* offsets, float* table_result, float* position_result) {
  Grid grid{features, levels, scales, resolutions, offsets};
  if (table_result) {
    (dimensions == 2 ? backward_table<2> : backward_table<3>)(gradient, positions, count, grid, table_result);
  }
  if (position_result) {
    (dimensions == 2 ? backward_positions<2> : backward_positions<3>)(gradient, positions, table, count, grid,
                                                                      position_result);
  }
}
