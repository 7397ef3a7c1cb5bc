// Leaves of neurons that are radial basis functions: how far features are from a centre, and what a neuron says to that.
#pragma once

#include "lanes.h"

namespace scenekit {

// Which function of the squared distance r^2; kernels/rbf.py has them in the same order.
enum Radial { NO_RADIAL, GAUSSIAN, INVERSE_QUADRATIC, INVERSE_MULTIQUADRIC, WENDLAND_C2 };

// Adds one feature's share to r^2. `scale` is the root of its precision, `shift` that times the centre: centres and
// features may be tiny and precisions large, so nothing is squared before the difference is taken.
template <class T> SK_LEAF T apart(T squared, T feature, T scale, T shift) {
  T difference = feature * scale - shift;
  return squared + difference * difference;
}

template <Radial FUNCTION, class T> SK_LEAF T radial(T squared) {
  if constexpr (FUNCTION == GAUSSIAN) return exp(squared * -0.5f);
  if constexpr (FUNCTION == INVERSE_QUADRATIC) return splat<T>(1.0f) / (1.0f + squared);
  if constexpr (FUNCTION == INVERSE_MULTIQUADRIC) return splat<T>(1.0f) / sqrt(1.0f + squared);
  if constexpr (FUNCTION == WENDLAND_C2) {
    T radius = sqrt(squared), within = max(1.0f - radius, splat<T>(0.0f)), square = within * within;
    return square * square * (4.0f * radius + 1.0f);
  }
  return squared;
}

}  // namespace scenekit
