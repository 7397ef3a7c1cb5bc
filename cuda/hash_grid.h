// Leaves of the multiresolution grid: where a point stands in a level, which rows its corners are, how their
// blend changes with the point. Conventions in kernels/hash_grid.py. The corners of a cell come in pairs that
// differ in x alone: pair j holds one bit of j for each further axis.
#pragma once

#include "lanes.h"

namespace scenekit {

// The cell's lower corner along one axis and the fraction beyond it.
template <class T> SK_LEAF void grid_locate(T x, float scale, typename Lane<T>::UInt& cell, T& fraction) {
  T position = x * scale + 0.5f;
  typename Lane<T>::Int lower = floor_to_int(position);
  fraction = position - to_float(lower);
  cell = (typename Lane<T>::UInt)lower;
}

// Part of the row of pair `j` that the axes after x decide: a sum for dense levels, an XOR for hashed ones.
template <int D, class U> SK_LEAF U grid_pair_row(const U* cell, unsigned resolution, bool hashed, int j) {
  const unsigned primes[3] = {1u, 2654435761u, 805459861u};
  U row = U{};
  unsigned stride = 1;
  for (int axis = 1; axis < D; ++axis) {
    U vertex = cell[axis] + (unsigned)((j >> (axis - 1)) & 1);
    stride *= resolution;
    row = hashed ? row ^ (vertex * primes[axis]) : row + vertex * stride;
  }
  return row;
}

// Product over the axes after x of the linear weights of pair `j`.
template <int D, class T> SK_LEAF T grid_pair_weight(const T* fraction, int j) {
  T weight = splat<T>(1.0f);
  for (int axis = 1; axis < D; ++axis) {
    weight = weight * (((j >> (axis - 1)) & 1) ? fraction[axis] : 1.0f - fraction[axis]);
  }
  return weight;
}

// Adds to `slope` the gradient with respect to the point of pair `j`, whose two rows have the dot products
// `low` and `high` with the incoming gradient.
template <int D, class T> SK_LEAF void grid_pair_slope(const T* fraction, float scale, int j, T low, T high, T* slope) {
  slope[0] = slope[0] + scale * (high - low) * grid_pair_weight<D, T>(fraction, j);
  T between = low + (high - low) * fraction[0];
  for (int axis = 1; axis < D; ++axis) {
    T others = splat<T>(((j >> (axis - 1)) & 1) ? scale : -scale);
    for (int other = 1; other < D; ++other) {
      if (other == axis) continue;
      others = others * (((j >> (other - 1)) & 1) ? fraction[other] : 1.0f - fraction[other]);
    }
    slope[axis] = slope[axis] + between * others;
  }
}

}  // namespace scenekit
