// Leaves of the multilayer perceptron: what stands between two matrix products.
#pragma once

#include "lanes.h"

namespace scenekit {

template <class T> SK_LEAF T relu(T x) { return max(x, splat<T>(0.0f)); }

// The gradient before a ReLU, from the gradient and the value after it.
template <class T> SK_LEAF T relu_gradient(T gradient, T value) {
  return select(value > splat<T>(0.0f), gradient, splat<T>(0.0f));
}

}  // namespace scenekit
