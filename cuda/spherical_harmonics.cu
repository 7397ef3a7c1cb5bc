// Spherical harmonics: a thread owns a direction. DEGREE is a macro, so that the polynomials unroll.
#include "spherical_harmonics.h"

using namespace scenekit;

constexpr int USED = (DEGREE + 1) * (DEGREE + 1);

namespace {

struct Direction { float x, y, z; };

__device__ Direction direction_at(const float* directions, long long i) {
  return {directions[3 * i], directions[3 * i + 1], directions[3 * i + 2]};
}

}  // namespace

extern "C" __global__ void spherical_harmonics(const float* directions, long long count, float* basis) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  Direction d = direction_at(directions, i);
  sh_basis<float>(d.x, d.y, d.z, DEGREE, [=](int k, float value) { basis[USED * i + k] = value; });
}

extern "C" __global__ void spherical_harmonics_backward(const float* gradient, const float* directions,
                                                        long long count, float* result) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  Direction d = direction_at(directions, i);
  const float* g = gradient + USED * i;
  float dx, dy, dz;
  sh_basis_gradient<float>(d.x, d.y, d.z, DEGREE, [=](int k) { return g[k]; }, dx, dy, dz);
  result[3 * i] = dx;
  result[3 * i + 1] = dy;
  result[3 * i + 2] = dz;
}

// Coefficients are [count, stored, 3], of which USED are used.
extern "C" __global__ void harmonic_colors(const float* coefficients, const float* directions, long long count,
                                           long long stored, float* colors) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  Direction d = direction_at(directions, i);
  const float* from = coefficients + 3 * stored * i;
  float sum[3] = {};
  sh_basis<float>(d.x, d.y, d.z, DEGREE, [&](int k, float value) {
    for (int c = 0; c < 3; ++c) sum[c] += value * from[3 * k + c];
  });
  for (int c = 0; c < 3; ++c) colors[3 * i + c] = sum[c];
}

// Either result may be null.
extern "C" __global__ void harmonic_colors_backward(const float* gradient, const float* coefficients,
                                                    const float* directions, long long count, long long stored,
                                                    float* for_coefficients, float* for_directions) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  Direction d = direction_at(directions, i);
  const float* g = gradient + 3 * i;
  if (for_coefficients) {
    float* to = for_coefficients + 3 * stored * i;
    sh_basis<float>(d.x, d.y, d.z, DEGREE, [=](int k, float value) {
      for (int c = 0; c < 3; ++c) to[3 * k + c] = value * g[c];
    });
    for (long long k = 3 * USED; k < 3 * stored; ++k) to[k] = 0.0f;
  }
  if (for_directions) {
    const float* from = coefficients + 3 * stored * i;
    float dx, dy, dz;
    auto weighted = [=](int k) { return from[3 * k] * g[0] + from[3 * k + 1] * g[1] + from[3 * k + 2] * g[2]; };
    sh_basis_gradient<float>(d.x, d.y, d.z, DEGREE, weighted, dx, dy, dz);
    for_directions[3 * i] = dx;
    for_directions[3 * i + 1] = dy;
    for_directions[3 * i + 2] = dz;
  }
}
