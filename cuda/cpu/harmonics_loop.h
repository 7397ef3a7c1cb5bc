// What loops over coefficients of spherical harmonics share: the basis for a vector of directions, one colour at a time.
#pragma once

#include <algorithm>

#include "../spherical_harmonics.h"

namespace scenekit {

constexpr int MOST_HARMONICS = 25;  // of degree 4

inline void basis_of(const Wide* axes, int degree, Wide* basis) {
  sh_basis<Wide>(axes[0], axes[1], axes[2], degree, [basis](int k, Wide value) { basis[k] = value; });
}

// Red, green, blue and nothing: reads no further than it must, for the last colour in memory.
SK_LEAF Row<4>::type color_at(const float* from) { return Row<4>::type{from[0], from[1], from[2], 0.0f}; }

SK_LEAF void put_color(float* to, Row<4>::type color) {
  for (int c = 0; c < 3; ++c) to[c] = color[c];
}

// Sum over `count` coefficients in a row, of the basis from `first` on in lane `s`.
SK_LEAF Row<4>::type weighted_colors(const Wide* basis, int s, int64_t first, int64_t count, const float* from) {
  Row<4>::type sum = {};
  if (count < 1) return sum;
  for (int64_t k = 0; k + 1 < count; ++k) sum += basis[first + k][s] * load<4>(from + 3 * k);
  return sum + basis[first + count - 1][s] * color_at(from + 3 * (count - 1));
}

// The colour times each of those values, and zeros for the other coefficients that are stored. The four-lane stores run
// one float over; the next colour overwrites it, so they must go upwards.
SK_LEAF void spread_color(const Wide* basis, int s, int64_t first, int64_t count, int64_t stored, Row<4>::type color,
                          float* to) {
  for (int64_t k = 0; k + 1 < count; ++k) store(to + 3 * k, basis[first + k][s] * color);
  if (count > 0) put_color(to + 3 * (count - 1), basis[first + count - 1][s] * color);
  std::fill(to + 3 * count, to + 3 * stored, 0.0f);
}

}  // namespace scenekit
