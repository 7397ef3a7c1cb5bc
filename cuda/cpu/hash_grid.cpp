// The multiresolution grid on the CPU: rows and weights of the corners of a block of samples.
#include "../hash_grid.h"

#include "grid_loops.h"

using namespace scenekit;

namespace {

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

// The corners of a block of samples at one level, in pairs that differ in x alone.
template <int D> struct Corners {
  static constexpr int dimensions = D, pairs = 1 << (D - 1);
  WideUInt low[pairs], high[pairs];  // first float of the pair's two rows
  Wide weight[pairs];                // of the pair: the axes after x
  Wide fraction[D];
  bool adjacent;  // the two rows of every pair are one stretch of memory

  SK_LEAF void find(const float* points, int64_t stride, const Level& level, uint32_t features) {
    WideUInt cell[D];
    WideInt outside = WideInt{};
    for (int axis = 0; axis < D; ++axis) {
      Wide x = load<LANES>(points + axis * stride);
      outside |= ~((x >= 0.0f) & (x <= 1.0f));
      grid_locate<Wide>(x, level.scale, cell[axis], fraction[axis]);
    }
    for (int j = 0; j < pairs; ++j) {
      WideUInt row = grid_pair_row<D, WideUInt>(cell, level.resolution, level.hashed, j);
      low[j] = level.hashed ? (row ^ cell[0]) & (level.size - 1) : row + cell[0];
      high[j] = level.hashed ? (row ^ (cell[0] + 1)) & (level.size - 1) : row + cell[0] + 1;
      weight[j] = grid_pair_weight<D, Wide>(fraction, j);
    }
    adjacent = false;
    if (!level.hashed) {
      bool beyond = anywhere(outside);
      adjacent = !beyond && !anywhere(high[pairs - 1] >= level.size);
      if (!adjacent) wrap(level.size, beyond);
    }
    for (int j = 0; j < pairs; ++j) {
      low[j] *= features;
      high[j] *= features;
    }
  }

  __attribute__((noinline)) void wrap(uint32_t size, bool outside) {
    for (int j = 0; j < pairs; ++j) {
      if (outside) {
        low[j] = low[j] % size;
        high[j] = high[j] % size;
      } else {  // a vertex of the cube lies at most one table beyond
        low[j] = low[j] >= size ? low[j] - size : low[j];
        high[j] = high[j] >= size ? high[j] - size : high[j];
      }
    }
  }

  template <int W> SK_LEAF void blend(const float* rows, bool whole, int count, float* out, int64_t stride) const {
    using V = typename Row<W>::type;
    const bool paired = adjacent && whole && 2 * W <= WIDTH;
    for (int s = 0; s < count; ++s) {
      V a = V{}, b = V{};
      if (paired) {
        if constexpr (2 * W <= WIDTH) {
          typename Row<2 * W>::type pair = {};
          for (int j = 0; j < pairs; ++j) pair += weight[j][s] * load<2 * W>(rows + low[j][s]);
          a = first_half<W>(pair);
          b = second_half<W>(pair);
        }
      } else {
        for (int j = 0; j < pairs; ++j) {
          a += weight[j][s] * load<W>(rows + low[j][s]);
          b += weight[j][s] * load<W>(rows + high[j][s]);
        }
      }
      store(out + s * stride, a + fraction[0][s] * (b - a));
    }
  }

  template <int W> SK_LEAF void scatter(const float* gradient, int64_t stride, int count, float* rows) const {
    using V = typename Row<W>::type;
    for (int s = 0; s < count; ++s) {
      V g = load<W>(gradient + s * stride);
      V beyond = g * fraction[0][s], before = g - beyond;
      for (int j = 0; j < pairs; ++j) {
        float* a = rows + low[j][s];
        float* b = rows + high[j][s];
        store(a, load<W>(a) + weight[j][s] * before);
        store(b, load<W>(b) + weight[j][s] * beyond);
      }
    }
  }

  SK_LEAF void slope(const float* rows, const float* gradient, int64_t stride, const Level& level, int64_t features,
                     int count, Wide* result) const {
    Wide a[pairs] = {}, b[pairs] = {};
    for_groups(features, [&](int64_t f, auto w) {
      for (int j = 0; j < pairs; ++j) {
        correlate<w>(rows + f, low[j], gradient + f, stride, count, a[j]);
        correlate<w>(rows + f, high[j], gradient + f, stride, count, b[j]);
      }
    });
    for (int j = 0; j < pairs; ++j) grid_pair_slope<D, Wide>(fraction, level.scale, j, a[j], b[j], result);
  }
};

}  // namespace

namespace scenekit {

void encode_block(const float* points, int64_t stride, int64_t count, const float* table, const Grid& grid,
                  float* out) {
  encode<Corners<3>>(points, stride, count, table, grid, out);
}

}  // namespace scenekit

SCENEKIT_EXPORT void scenekit_hash_grid(const float* positions, const float* table, int64_t count, int64_t dimensions,
                                        int64_t features, int64_t levels, const float* scales,
                                        const int64_t* resolutions, const int64_t* offsets, float* out) {
  Grid grid{features, levels, scales, resolutions, offsets};
  auto run = dimensions == 1 ? forward<Corners<1>> : dimensions == 2 ? forward<Corners<2>> : forward<Corners<3>>;
  run(positions, table, count, grid, out);
}

SCENEKIT_EXPORT void scenekit_hash_grid_backward(const float* gradient, const float* positions, const float* table,
                                                 int64_t count, int64_t dimensions, int64_t features, int64_t levels,
                                                 const float* scales, const int64_t* resolutions,
                                                 const int64_t* offsets, float* table_result, float* position_result) {
  Grid grid{features, levels, scales, resolutions, offsets};
  auto run = dimensions == 1 ? backward<Corners<1>> : dimensions == 2 ? backward<Corners<2>> : backward<Corners<3>>;
  run(gradient, positions, table, count, grid, table_result, position_result);
}
