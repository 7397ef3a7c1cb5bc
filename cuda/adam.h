// The step of Adam (Kingma and Ba, algorithm 1).
#pragma once

#include "lanes.h"

namespace scenekit {

struct AdamStep {
  float rate;                // the learning rate, divided by the first moment's bias correction
  float beta1, beta2, eps, weight_decay;
  float inverse_correction;  // 1 / sqrt of the second moment's bias correction
};

template <class T> SK_LEAF void adam_step(const AdamStep& s, T gradient, T& parameter, T& moment1, T& moment2) {
  gradient = gradient + parameter * s.weight_decay;
  moment1 = moment1 + (gradient - moment1) * (1.0f - s.beta1);
  moment2 = moment2 * s.beta2 + gradient * gradient * (1.0f - s.beta2);
  T deviation = sqrt(moment2) * s.inverse_correction + s.eps;
  parameter = parameter - moment1 * s.rate / deviation;
}

}  // namespace scenekit
