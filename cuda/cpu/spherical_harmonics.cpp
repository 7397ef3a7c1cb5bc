#include "../spherical_harmonics.h"
#include "pool.h"

#include <algorithm>

using namespace scenekit;

namespace {

constexpr int LANES = WIDTH;
constexpr int MOST = 25;  // basis functions of degree 4

// Directions of a block of samples as lanes; lanes beyond `count` hold zeros.
void gather(const float* directions, int count, Wide* axes) {
  for (int axis = 0; axis < 3; ++axis) axes[axis] = Wide{};
  for (int s = 0; s < count; ++s) {
    for (int axis = 0; axis < 3; ++axis) axes[axis][s] = directions[3 * s + axis];
  }
}

void basis_of(const Wide* axes, int degree, Wide* basis) {
  sh_basis<Wide>(axes[0], axes[1], axes[2], degree, [basis](int k, Wide value) { basis[k] = value; });
}

// Red, green, blue and nothing: reads no further than it must, for the last color in memory.
SK_LEAF Row<4>::type color_at(const float* from) { return Row<4>::type{from[0], from[1], from[2], 0.0f}; }

void put_color(float* to, Row<4>::type color) {
  for (int c = 0; c < 3; ++c) to[c] = color[c];
}

// The four-lane stores run one float over; the next color overwrites it, so they must go upwards.
SK_LEAF void spread(const Wide* basis, int s, int64_t used, int64_t stored, Row<4>::type color, float* to) {
  for (int64_t k = 0; k + 1 < used; ++k) store(to + 3 * k, basis[k][s] * color);
  put_color(to + 3 * (used - 1), basis[used - 1][s] * color);
  std::fill(to + 3 * used, to + 3 * stored, 0.0f);
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
      Wide axes[3], basis[MOST];
      gather(directions + 3 * i, block, axes);
      basis_of(axes, (int)degree, basis);
      for (int s = 0; s < block; ++s) {
        const float* from = coefficients + (i + s) * stored * 3;
        Row<4>::type sum = {};
        for (int64_t k = 0; k + 1 < used; ++k) sum += basis[k][s] * load<4>(from + 3 * k);
        sum += basis[used - 1][s] * color_at(from + 3 * (used - 1));
        put_color(colors + 3 * (i + s), sum);
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
      Wide axes[3], basis[MOST], slope[3], dots[MOST] = {};
      gather(directions + 3 * i, block, axes);
      basis_of(axes, (int)degree, basis);
      for (int s = 0; s < block; ++s) {
        const float* g = gradient + 3 * (i + s);
        int64_t at = (i + s) * stored * 3;
        if (coefficient_result) spread(basis, s, used, stored, color_at(g), coefficient_result + at);
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
