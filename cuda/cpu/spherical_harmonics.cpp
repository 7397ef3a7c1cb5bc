#include "../spherical_harmonics.h"
#include "pool.h"

using namespace scenekit;

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
