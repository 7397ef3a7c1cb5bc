// The simplex grid on the CPU: rows and weights of the vertices of a block of samples.
#include "../simplex_grid.h"

#include "grid_loops.h"

using namespace scenekit;

namespace {

// The simplices of a block of samples at one level.
template <int D> struct Simplex {
  static constexpr int dimensions = D;
  WideUInt row[D + 1];  // first float of each vertex's row
  Wide weight[D + 1];
  WideUInt axis[D];  // along which one vertex follows the other

  SK_LEAF void find(const float* points, int64_t stride, const Level& level, uint32_t features) {
    Wide x[D], fraction[D];
    WideUInt cell[D];
    WideInt outside = WideInt{};
    for (int i = 0; i < D; ++i) {
      x[i] = load<LANES>(points + i * stride);
      outside |= ~((x[i] >= 0.0f) & (x[i] <= 1.0f));
      axis[i] = WideUInt{} + (uint32_t)i;
    }
    simplex_locate<D, Wide>(x, level.scale, cell, fraction);
    if (level.hashed) {
      simplex_vertices<D, Wide>(cell, fraction, level.resolution, true, axis, row, weight);
      for (int k = 0; k <= D; ++k) row[k] = (row[k] & (level.size - 1)) * features;
    } else {
      simplex_vertices<D, Wide>(cell, fraction, level.resolution, false, axis, row, weight);
      // In a dense level the last vertex has the largest row.
      if (anywhere(outside) || anywhere(row[D] >= level.size)) wrap(level.size);
      for (int k = 0; k <= D; ++k) row[k] *= features;
    }
  }

  __attribute__((noinline)) void wrap(uint32_t size) {
    for (int k = 0; k <= D; ++k) row[k] = row[k] % size;
  }

  template <int W> SK_LEAF void blend(const float* rows, bool, int count, float* out, int64_t stride) const {
    for (int s = 0; s < count; ++s) {
      typename Row<W>::type sum = weight[0][s] * load<W>(rows + row[0][s]);
      for (int k = 1; k <= D; ++k) sum += weight[k][s] * load<W>(rows + row[k][s]);
      store(out + s * stride, sum);
    }
  }

  template <int W> SK_LEAF void scatter(const float* gradient, int64_t stride, int count, float* rows) const {
    for (int s = 0; s < count; ++s) {
      typename Row<W>::type g = load<W>(gradient + s * stride);
      for (int k = 0; k <= D; ++k) {
        float* to = rows + row[k][s];
        store(to, load<W>(to) + weight[k][s] * g);
      }
    }
  }

  SK_LEAF void slope(const float* rows, const float* gradient, int64_t stride, const Level& level, int64_t features,
                     int count, Wide* result) const {
    Wide dots[D + 1] = {};
    for_groups(features, [&](int64_t f, auto w) {
      for (int k = 0; k <= D; ++k) correlate<w>(rows + f, row[k], gradient + f, stride, count, dots[k]);
    });
    simplex_slope<D, Wide>(axis, dots, level.scale, result);
  }
};

// Calls use with the number of dimensions as a constant.
template <class Use> void with_dimensions(int64_t dimensions, Use use) {
  if (dimensions == 2) return use(std::integral_constant<int, 2>());
  if (dimensions == 3) return use(std::integral_constant<int, 3>());
  if (dimensions == 4) return use(std::integral_constant<int, 4>());
  if (dimensions == 5) return use(std::integral_constant<int, 5>());
  use(std::integral_constant<int, 6>());
}

}  // namespace

namespace scenekit {

void encode_simplices(const float* points, int64_t stride, int64_t count, const float* table, const Grid& grid,
                      float* out) {
  encode<Simplex<3>>(points, stride, count, table, grid, out);
}

}  // namespace scenekit

SCENEKIT_EXPORT void scenekit_simplex_grid(const float* positions, const float* table, int64_t count,
                                           int64_t dimensions, int64_t features, int64_t levels, const float* scales,
                                           const int64_t* resolutions, const int64_t* offsets, float* out) {
  Grid grid{features, levels, scales, resolutions, offsets};
  with_dimensions(dimensions, [&](auto d) { forward<Simplex<d>>(positions, table, count, grid, out); });
}

SCENEKIT_EXPORT void scenekit_simplex_grid_backward(const float* gradient, const float* positions, const float* table,
                                                    int64_t count, int64_t dimensions, int64_t features,
                                                    int64_t levels, const float* scales, const int64_t* resolutions,
                                                    const int64_t* offsets, float* table_result,
                                                    float* position_result) {
  Grid grid{features, levels, scales, resolutions, offsets};
  with_dimensions(dimensions, [&](auto d) {
    backward<Simplex<d>>(gradient, positions, table, count, grid, table_result, position_result);
  });
}
