// Loops that all grids of features share. Which rows a block of samples blends is found in lanes; the rows
// themselves are then read sample by sample, as vectors over the features. The gradient of the table needs no
// atomics: a thread owns all rows of a level (or a group of its features), so sums keep their order.
//
// A `Cell` is one block at one level:
//   dimensions                                        of the points
//   find(points, stride, level, features)             fills it; `points` holds a row of coordinates per axis
//   blend<W>(rows, whole, count, out, stride)         W features of `count` samples; whether W is all that a row has
//   scatter<W>(gradient, stride, count, rows)         the transpose of blend: adds to the rows
//   slope(rows, gradient, stride, level, features, count, slope)   adds the gradients with respect to the points
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>

#include "hash_grid_loop.h"
#include "pool.h"

namespace scenekit {

constexpr int LANES = WIDTH;  // samples per block
constexpr int64_t PIECE = 2048;  // samples per piece: its rows of one level tend to stay in the L2 cache

struct Level {
  float scale;
  uint32_t resolution, size;
  bool hashed;
  int64_t first;  // of the table's floats
};

inline Level level_of(const Grid& grid, int64_t level, int dimensions) {
  int64_t size = grid.offsets[level + 1] - grid.offsets[level], vertices = 1;
  for (int axis = 0; axis < dimensions && vertices <= size; ++axis) vertices *= grid.resolutions[level];
  return {grid.scales[level], (uint32_t)grid.resolutions[level], (uint32_t)size, vertices > size,
          grid.offsets[level] * grid.features};
}

inline bool anywhere(WideInt mask) {
  int found = 0;
  for (int i = 0; i < LANES; ++i) found |= mask[i];
  return found != 0;
}

// Coordinates by axis, so that a block of samples loads as lanes; the rows end in a block's worth of zeros.
inline void transpose(const float* positions, int64_t count, int dimensions, float* points, int64_t stride) {
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

// Dot products of each sample's gradient with its row at `rows + row`, added lane by lane.
template <int W>
SK_LEAF void correlate(const float* rows, const WideUInt& row, const float* gradient, int64_t stride, int count,
                       Wide& dots) {
  for (int s = 0; s < count; ++s) {
    auto product = load<W>(gradient + s * stride) * load<W>(rows + row[s]);
    float sum = 0;
    for (int k = 0; k < W; ++k) sum += product[k];
    dots[s] += sum;
  }
}

// Level by level, so that the rows in use stay in the cache; `points` as in find, a block's worth beyond `count`.
template <class Cell>
void encode(const float* points, int64_t stride, int64_t count, const float* table, const Grid& grid, float* out) {
  int64_t width = grid.levels * grid.features;
  for (int64_t l = 0; l < grid.levels; ++l) {
    Level level = level_of(grid, l, Cell::dimensions);
    const float* rows = table + level.first;
    for (int64_t i = 0; i < count; i += LANES) {
      Cell at;
      at.find(points + i, stride, level, (uint32_t)grid.features);
      int block = (int)std::min<int64_t>(LANES, count - i);
      float* to = out + i * width + l * grid.features;
      for_groups(grid.features, [&](int64_t f, auto w) {
        at.template blend<w>(rows + f, w == grid.features, block, to + f, width);
      });
    }
  }
}

template <class Cell>
void forward(const float* positions, const float* table, int64_t count, const Grid& grid, float* out) {
  constexpr int D = Cell::dimensions;
  int64_t width = grid.levels * grid.features;
  parallel(count, PIECE, [&](int64_t begin, int64_t end, int) {
    alignas(64) float points[D * PIECE];
    transpose(positions + begin * D, end - begin, D, points, PIECE);
    encode<Cell>(points, PIECE, end - begin, table, grid, out + begin * width);
  });
}

// One thread's share of the table's gradient: one level, the features from `f` on.
template <class Cell, int W>
void scatter_level(const float* gradient, const float* points, int64_t stride, int64_t count, const Grid& grid,
                   int64_t l, int64_t f, float* table) {
  Level level = level_of(grid, l, Cell::dimensions);
  float* rows = table + level.first + f;
  int64_t width = grid.levels * grid.features;
  if (W == grid.features) {
    std::memset(rows, 0, sizeof(float) * W * level.size);
  } else {
    for (int64_t i = 0; i < level.size; ++i) store(rows + i * grid.features, typename Row<W>::type{});
  }
  for (int64_t i = 0; i < count; i += LANES) {
    Cell at;
    at.find(points + i, stride, level, (uint32_t)grid.features);
    int block = (int)std::min<int64_t>(LANES, count - i);
    at.template scatter<W>(gradient + i * width + l * grid.features + f, width, block, rows);
  }
}

template <class Cell>
void backward_table(const float* gradient, const float* positions, int64_t count, const Grid& grid, float* table) {
  int64_t stride = count + LANES;
  std::unique_ptr<float[]> points(new float[Cell::dimensions * stride]);
  transpose(positions, count, Cell::dimensions, points.get(), stride);
  int64_t groups = 0;
  for_groups(grid.features, [&](int64_t, auto) { ++groups; });
  parallel(grid.levels * groups, 1, [&](int64_t begin, int64_t, int) {
    int64_t l = grid.levels - 1 - begin / groups, group = begin % groups;  // the fine levels cost most: first
    for_groups(grid.features, [&](int64_t f, auto w) {
      if (group-- == 0) scatter_level<Cell, w>(gradient, points.get(), stride, count, grid, l, f, table);
    });
  });
}

template <class Cell>
void backward_positions(const float* gradient, const float* positions, const float* table, int64_t count,
                        const Grid& grid, float* result) {
  constexpr int D = Cell::dimensions;
  int64_t width = grid.levels * grid.features;
  parallel(count, LANES * 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += LANES) {
      int block = (int)std::min<int64_t>(LANES, end - i);
      alignas(64) float points[D * LANES];
      transpose(positions + i * D, block, D, points, LANES);
      Wide slope[D] = {};
      for (int64_t l = 0; l < grid.levels; ++l) {
        Level level = level_of(grid, l, D);
        Cell at;
        at.find(points, LANES, level, (uint32_t)grid.features);
        at.slope(table + level.first, gradient + i * width + l * grid.features, width, level, grid.features, block,
                 slope);
      }
      for (int s = 0; s < block; ++s) {
        for (int axis = 0; axis < D; ++axis) result[(i + s) * D + axis] = slope[axis][s];
      }
    }
  });
}

// Either result may be null.
template <class Cell>
void backward(const float* gradient, const float* positions, const float* table, int64_t count, const Grid& grid,
              float* table_result, float* position_result) {
  if (table_result) backward_table<Cell>(gradient, positions, count, grid, table_result);
  if (position_result) backward_positions<Cell>(gradient, positions, table, count, grid, position_result);
}

}  // namespace scenekit
