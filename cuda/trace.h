// Leaves of tracing a field: scene positions to the field's cube, densities to opacities.
#pragma once

#include "lanes.h"

namespace scenekit {

// Positions in the scene to [0, 1]^3: (2 - 1/|x|) x/|x| beyond the unit ball if contracted (mip-NeRF 360,
// eq. 10), then scaled by `per_side`, 1 / (2 * extent).
template <class T> SK_LEAF void field_position(T* p, bool contracted, float per_side) {
  if (contracted) {
    T squared = p[0] * p[0] + p[1] * p[1] + p[2] * p[2];
    T inverse = splat<T>(1.0f) / sqrt(max(squared, splat<T>(1.0f)));
    T factor = (2.0f - inverse) * inverse;
    for (int a = 0; a < 3; ++a) p[a] = p[a] * factor;
  }
  for (int a = 0; a < 3; ++a) p[a] = p[a] * per_side + 0.5f;
}

// What a step of length `delta` holds back, its density being exp(raw); past 30 it is opaque many times over.
template <class T> SK_LEAF T step_alpha(T raw, T delta) {
  return 1.0f - exp(-exp(min(raw, splat<T>(30.0f))) * delta);
}

template <class T> SK_LEAF T sigmoid(T x) { return splat<T>(1.0f) / (1.0f + exp(-x)); }

}  // namespace scenekit
