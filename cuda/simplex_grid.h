// Leaves of the simplex grid: the cell of a point in skewed coordinates, the way from its lowest vertex to its
// highest, and how the blend along that way changes with the point. Conventions in kernels/simplex_grid.py.
#pragma once

#include "lanes.h"

namespace scenekit {

// (sqrt(D + 1) - 1) / D: skewing adds this much of the sum of the coordinates to each.
template <int D> SK_LEAF constexpr float simplex_skew() {
  constexpr float skew[7] = {0.0f,        0.414213562f, 0.366025404f, 0.333333333f,
                             0.309016994f, 0.289897949f, 0.274291885f};
  return skew[D];
}

// Lower corners in skewed coordinates and the fractions beyond them.
template <int D, class T>
SK_LEAF void simplex_locate(const T* x, float scale, typename Lane<T>::UInt* cell, T* fraction) {
  T sum = x[0];
  for (int axis = 1; axis < D; ++axis) sum = sum + x[axis];
  T shift = sum * (scale * simplex_skew<D>()) + 0.5f;
  for (int axis = 0; axis < D; ++axis) {
    T position = x[axis] * scale + shift;
    typename Lane<T>::Int lower = floor_to_int(position);
    fraction[axis] = position - to_float(lower);
    cell[axis] = (typename Lane<T>::UInt)lower;
  }
}

// Sorts fractions from high to low; `step` and `axis` move along. Adjacent exchanges keep the order of equals.
template <int D, class T, class U> SK_LEAF void simplex_sort(T* fraction, U* step, U* axis) {
  for (int last = D - 1; last > 0; --last) {
    for (int i = 0; i < last; ++i) {
      auto swap = fraction[i] < fraction[i + 1];
      T high = max(fraction[i], fraction[i + 1]), low = min(fraction[i], fraction[i + 1]);
      fraction[i] = high;
      fraction[i + 1] = low;
      U first = select(swap, step[i + 1], step[i]), second = select(swap, step[i], step[i + 1]);
      step[i] = first;
      step[i + 1] = second;
      first = select(swap, axis[i + 1], axis[i]), second = select(swap, axis[i], axis[i + 1]);
      axis[i] = first;
      axis[i + 1] = second;
    }
  }
}

// Rows of the D + 1 vertices along the way that `axis` (0 to D - 1 on entry) is sorted into, and their weights;
// the fractions end up sorted.
template <int D, class T, class U>
SK_LEAF void simplex_vertices(const U* cell, T* fraction, unsigned resolution, bool hashed, U* axis, U* row,
                              T* weight) {
  const unsigned primes[7] = {1u, 2654435761u, 805459861u, 3674653429u, 2097192037u, 1434869437u, 2165219737u};
  U step[D];
  unsigned stride = 1;
  row[0] = U{};
  for (int i = 0; i < D; ++i) {
    U here = hashed ? cell[i] * primes[i] : cell[i] * stride;
    row[0] = hashed ? row[0] ^ here : row[0] + here;
    step[i] = hashed ? here ^ (here + primes[i]) : U{} + stride;  // what the row changes by along this axis
    stride *= resolution;
  }
  simplex_sort<D>(fraction, step, axis);
  for (int k = 0; k < D; ++k) row[k + 1] = hashed ? row[k] ^ step[k] : row[k] + step[k];
  weight[0] = 1.0f - fraction[0];
  for (int k = 1; k < D; ++k) weight[k] = fraction[k - 1] - fraction[k];
  weight[D] = fraction[D - 1];
}

// Adds to `slope` the gradient with respect to the point; `dots` are those of the vertices' rows with the
// incoming gradient. Between two vertices one skewed coordinate grows.
template <int D, class T, class U> SK_LEAF void simplex_slope(const U* axis, const T* dots, float scale, T* slope) {
  T sum = dots[D] - dots[0];
  for (int i = 0; i < D; ++i) {
    T along = sum * simplex_skew<D>();
    for (int k = 0; k < D; ++k) {
      along = along + select(axis[k] == (unsigned)i, dots[k + 1] - dots[k], splat<T>(0.0f));
    }
    slope[i] = slope[i] + along * scale;
  }
}

}  // namespace scenekit
