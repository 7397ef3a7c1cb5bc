// Loops of Adam: bound by memory, so a sparse step reads nothing but the gradient where all of it is zero.
#include "../adam.h"

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int LANES = 16;
constexpr int64_t GRAIN = 1 << 15;

struct State {
  float* parameter;
  const float* gradient;
  float *moment1, *moment2;
};

// `T` is sixteen lanes or one; for one lane the mask of the changed entries is a bool.
template <class T> SK_LEAF T read(const float* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class T> SK_LEAF bool is_zero(const float* from) {
  if (WIDTH >= LANES) return !any_lane(read<T>(from) != splat<T>(0.0f));
  // All bits but the signs: comparing sixteen floats is slow where registers hold fewer.
  constexpr int count = sizeof(T) / sizeof(uint32_t);
  uint32_t words[count], all = 0;
  __builtin_memcpy(words, from, sizeof words);
  for (int i = 0; i < count; ++i) all |= words[i];
  return (all & 0x7fffffffu) == 0;
}

template <class T, bool SPARSE> SK_LEAF void update(const AdamStep& step, const State& state, int64_t i) {
  if (SPARSE && is_zero<T>(state.gradient + i)) return;
  T gradient = read<T>(state.gradient + i);
  auto changed = gradient != splat<T>(0.0f);
  T parameter = read<T>(state.parameter + i);
  T moment1 = read<T>(state.moment1 + i), moment2 = read<T>(state.moment2 + i);
  T was[3] = {parameter, moment1, moment2};
  adam_step<T>(step, gradient, parameter, moment1, moment2);
  store(state.parameter + i, SPARSE ? select(changed, parameter, was[0]) : parameter);
  store(state.moment1 + i, SPARSE ? select(changed, moment1, was[1]) : moment1);
  store(state.moment2 + i, SPARSE ? select(changed, moment2, was[2]) : moment2);
}

template <bool SPARSE> void step_all(const AdamStep& step, const State& state, int64_t count) {
  parallel(count, GRAIN, [=](int64_t begin, int64_t end, int) {
    int64_t i = begin;
    for (; i + LANES <= end; i += LANES) update<float_x16, SPARSE>(step, state, i);
    for (; i < end; ++i) update<float, SPARSE>(step, state, i);
  });
}

}  // namespace

// `settings`: the members of AdamStep.
SCENEKIT_EXPORT void scenekit_adam(float* parameter, const float* gradient, float* moment1, float* moment2,
                                   int64_t count, const float* settings, int64_t sparse) {
  AdamStep step{settings[0], settings[1], settings[2], settings[3], settings[4], settings[5]};
  State state{parameter, gradient, moment1, moment2};
  if (sparse) step_all<true>(step, state, count);
  else step_all<false>(step, state, count);
}
