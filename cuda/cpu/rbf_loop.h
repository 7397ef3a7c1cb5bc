// Neurons of radial basis functions as other loops use them. Lanes are neurons, so that a row of features is read as
// scalars and nothing is transposed but centres and precisions, once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../rbf.h"

namespace scenekit {

class Neurons {
 public:
  // Scales and shifts are [count, features].
  Neurons(const float* scales, const float* shifts, int64_t count, int64_t features, Radial function)
      : features_(features), count_(count), wide_((count + WIDTH - 1) / WIDTH * WIDTH), function_(function),
        scales_(features * wide_), shifts_(features * wide_) {
    for (int64_t n = 0; n < count; ++n) {
      for (int64_t f = 0; f < features; ++f) {
        scales_[f * wide_ + n] = scales[n * features + f];
        shifts_[f * wide_ + n] = shifts[n * features + f];
      }
    }
  }

  // Values [rows, count] of features [rows, features].
  void answer(const float* features, int64_t rows, float* values) const {
    if (function_ == GAUSSIAN) answer_rows<GAUSSIAN>(features, rows, values);
    if (function_ == INVERSE_QUADRATIC) answer_rows<INVERSE_QUADRATIC>(features, rows, values);
    if (function_ == INVERSE_MULTIQUADRIC) answer_rows<INVERSE_MULTIQUADRIC>(features, rows, values);
    if (function_ == WENDLAND_C2) answer_rows<WENDLAND_C2>(features, rows, values);
  }

 private:
  static constexpr int TOGETHER = 4;  // rows that share what is read of neurons

  template <Radial FUNCTION> void answer_rows(const float* features, int64_t rows, float* values) const {
    int64_t r = 0;
    for (; r + TOGETHER <= rows; r += TOGETHER) {
      answer_few<FUNCTION, TOGETHER>(features + r * features_, values + r * count_);
    }
    for (; r < rows; ++r) answer_few<FUNCTION, 1>(features + r * features_, values + r * count_);
  }

  template <Radial FUNCTION, int ROWS> void answer_few(const float* features, float* values) const {
    for (int64_t n = 0; n < count_; n += WIDTH) {
      Wide squared[ROWS] = {};
      for (int64_t f = 0; f < features_; ++f) {
        Wide scale = load<WIDTH>(scales_.data() + f * wide_ + n), shift = load<WIDTH>(shifts_.data() + f * wide_ + n);
        for (int r = 0; r < ROWS; ++r) {
          squared[r] = apart<Wide>(squared[r], splat<Wide>(features[r * features_ + f]), scale, shift);
        }
      }
      for (int r = 0; r < ROWS; ++r) {
        Wide value = radial<FUNCTION, Wide>(squared[r]);
        __builtin_memcpy(values + r * count_ + n, &value, sizeof(float) * std::min<int64_t>(WIDTH, count_ - n));
      }
    }
  }

  int64_t features_, count_, wide_;
  Radial function_;
  std::vector<float> scales_, shifts_;  // [features, wide]: neurons in whole vectors
};

}  // namespace scenekit
