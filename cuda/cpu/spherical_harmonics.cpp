#include <algorithm>

#include "harmonics_loop.h"
#include "pool.h"

using namespace scenekit;

namespace {

constexpr int LANES = WIDTH;

// Directions of a block of samples as lanes; lanes beyond `count` hold zeros.
void gather(const float* directions, int count, Wide* axes) {
  for (int axis = 0; axis < 3; ++axis) axes[axis] = Wide{};
  for (int s = 0; s < count; ++s) {
    for (int axis = 0; axis < 3; ++axis) axes[axis][s] = directions[3 * s + axis];
  }
}

}  // namespace

SCENEKIT_EXPORT void scenekit_spherical_harmonics(const float* directions, int64_t count, int64_t degree,
                                                  float* basis) {
  int64_t k = (degree + 1) * (degree + 1);
  parallel(count, 4096, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const float* d = directions + 3 * i;
      float* out = basis + k * i;
      sh_basis<float>(d[0], d[1], d[2], (int)degree, [out](int j, float value) { out[j] = value; });
    }
  });
}

SCENEKIT_EXPORT void scenekit_spherical_harmonics_backward(const float* gradient, const float* directions,
                                                           int64_t count, int64_t degree, float* result) {
  int64_t k = (degree + 1) * (degree + 1);
  parallel(count, 4096, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const float* d = directions + 3 * i;
      const float* g = gradient + k * i;
      float* out = result + 3 * i;
      sh_basis_gradient<float>(d[0], d[1], d[2], (int)degree, [g](int j) { return g[j]; }, out[0], out[1], out[2]);
    }
  });
}

// Coefficients are [count, stored, 3], of which (degree + 1)^2 are used.
SCENEKIT_EXPORT void scenekit_harmonic_colors(const float* coefficients, const float* directions, int64_t count,
                                              int64_t stored, int64_t degree, float* colors) {
  int64_t used = (degree + 1) * (degree + 1);
  parallel(count, 2048, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += LANES) {
      int block = (int)std::min<int64_t>(LANES, end - i);
      Wide axes[3], basis[MOST_HARMONICS];
      gather(directions + 3 * i, block, axes);
      basis_of(axes, (int)degree, basis);
      for (int s = 0; s < block; ++s) {
        put_color(colors + 3 * (i + s), weighted_colors(basis, s, 0, used, coefficients + (i + s) * stored * 3));
      }
    }
  });
}

// Either result may be null.
SCENEKIT_EXPORT void scenekit_harmonic_colors_backward(const float* gradient, const float* coefficients,
                                                       const float* directions, int64_t count, int64_t stored,
                                                       int64_t degree, float* coefficient_result,
                                                       float* direction_result) {
  int64_t used = (degree + 1) * (degree + 1);
  parallel(count, 2048, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i += LANES) {
      int block = (int)std::min<int64_t>(LANES, end - i);
      Wide axes[3], basis[MOST_HARMONICS], slope[3], dots[MOST_HARMONICS] = {};
      gather(directions + 3 * i, block, axes);
      basis_of(axes, (int)degree, basis);
      for (int s = 0; s < block; ++s) {
        const float* g = gradient + 3 * (i + s);
        int64_t at = (i + s) * stored * 3;
        if (coefficient_result) spread_color(basis, s, 0, used, stored, color_at(g), coefficient_result + at);
        if (!direction_result) continue;
        const float* from = coefficients + at;
        for (int64_t k = 0; k < used; ++k) {
          dots[k][s] = g[0] * from[3 * k] + g[1] * from[3 * k + 1] + g[2] * from[3 * k + 2];
        }
      }
      if (!direction_result) continue;
      sh_basis_gradient<Wide>(axes[0], axes[1], axes[2], (int)degree, [&dots](int k) { return dots[k]; },
                                   slope[0], slope[1], slope[2]);
      for (int s = 0; s < block; ++s) {
        for (int axis = 0; axis < 3; ++axis) direction_result[3 * (i + s) + axis] = slope[axis][s];
      }
    }
  });
}
