// Leaves of the search for nearest points: distances, and how far from a cell's surroundings nothing is missed.
#pragma once

#include "lanes.h"

namespace scenekit {

template <int D, class T> SK_LEAF T squared_distance(const T* a, const T* b) {
  T sum = (a[0] - b[0]) * (a[0] - b[0]);
  for (int axis = 1; axis < D; ++axis) sum = sum + (a[axis] - b[axis]) * (a[axis] - b[axis]);
  return sum;
}

// The cell along one axis of `cells` that start at `low`, `per_unit` of them a unit; the nearest for a coordinate
// outside, the first for none at all.
SK_LEAF int cell_of(float x, float low, float per_unit, int cells) {
  float at = (x - low) * per_unit;
  return !(at > 0.0f) ? 0 : at < (float)(cells - 1) ? to_int(at) : cells - 1;
}

}  // namespace scenekit
