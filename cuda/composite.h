// Leaves of front-to-back compositing. A ray is closed once less than STOP of the light behind would pass.
#pragma once

#include "lanes.h"

namespace scenekit {

constexpr float STOP = 1e-4f;
constexpr float INVISIBLE = 1e-4f;  // a sample with no more weight may be left without a colour
constexpr float OPAQUE = 9.21f;     // optical thickness that less than STOP passes

// Offsets that do not climb give wrong pictures, but no access outside the samples.
SK_LEAF long long within(long long i, long long count) { return i < 0 ? 0 : i > count ? count : i; }

// The weight of a sample behind transmittance `t`, which it then dims.
template <class T> SK_LEAF T blend_sample(T alpha, T& t) {
  T weight = t * alpha;
  t = t * (1.0f - alpha);
  return weight;
}

// Back to front. `value` is the loss per unit of this sample's weight, `t` the transmittance before it,
// `behind` the loss per unit of light that passes it: no quotient, so that opaque samples are nothing special.
template <class T> SK_LEAF T blend_sample_gradient(T alpha, T value, T t, T& behind) {
  T gradient = t * (value - behind);
  behind = alpha * value + (1.0f - alpha) * behind;
  return gradient;
}

}  // namespace scenekit
