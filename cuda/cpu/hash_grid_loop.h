// The multiresolution grid as other loops use it: one block of samples that stays in the cache.
#pragma once

#include <cstdint>

#include "../lanes.h"

namespace scenekit {

struct Grid {
  int64_t features, levels;
  const float* scales;
  const int64_t* resolutions;
  const int64_t* offsets;
};

// Features [count, levels * features] of points in space: three rows of coordinates, `stride` apart, each
// readable up to a whole number of vectors.
void encode_block(const float* points, int64_t stride, int64_t count, const float* table, const Grid& grid,
                  float* out);

// The same of a grid of simplices.
void encode_simplices(const float* points, int64_t stride, int64_t count, const float* table, const Grid& grid,
                      float* out);

}  // namespace scenekit
