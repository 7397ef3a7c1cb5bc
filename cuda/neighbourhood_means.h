// Leaves of means over squares of a grid: which row or column stands where the grid has ended.
#pragma once

#include "lanes.h"

namespace scenekit {

// At `y` where rows are reflected at the first and the last of `height`.
SK_LEAF long long reflected(long long y, long long height) {
  if (y < 0) y = -y;
  return y >= height ? 2 * height - 2 - y : y;
}

// At `x` where `width` columns go on around the sides.
SK_LEAF long long wrapped(long long x, long long width) { return x < 0 ? x + width : x >= width ? x - width : x; }

}  // namespace scenekit
