// Loops of Adam: bound by memory, so a sparse step reads nothing but the gradient where all of it is zero.
#include "../adam.h"

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int LANES = 16;
constexpr int64_t GRAIN = 1 << 15;

struct State {
  float *parameter, *gradient, *moment1, *moment2;
  bool clear;    // whether the gradient is zero afterwards
  int32_t* bad;  // set where an entry of the gradient is no number; null for not to look
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

// Whether all entries of the gradient are numbers, if that is asked.
template <class T, bool SPARSE, bool GUARDED> SK_LEAF bool update(const AdamStep& step, const State& state, int64_t i) {
  if (SPARSE && is_zero<T>(state.gradient + i)) return true;
  T gradient = read<T>(state.gradient + i);
  auto changed = gradient != splat<T>(0.0f);
  const auto finite = gradient - gradient == splat<T>(0.0f);
  if (GUARDED) changed = SPARSE ? changed & finite : finite;
  T parameter = read<T>(state.parameter + i);
  T moment1 = read<T>(state.moment1 + i), moment2 = read<T>(state.moment2 + i);
  T was[3] = {parameter, moment1, moment2};
  adam_step<T>(step, gradient, parameter, moment1, moment2);
  store(state.parameter + i, SPARSE || GUARDED ? select(changed, parameter, was[0]) : parameter);
  store(state.moment1 + i, SPARSE || GUARDED ? select(changed, moment1, was[1]) : moment1);
  store(state.moment2 + i, SPARSE || GUARDED ? select(changed, moment2, was[2]) : moment2);
  if (state.clear) store(state.gradient + i, splat<T>(0.0f));
  return !GUARDED || !any_lane(!finite);
}

template <bool SPARSE, bool GUARDED> void step_all(const AdamStep& step, const State& state, int64_t count) {
  parallel(count, GRAIN, [=](int64_t begin, int64_t end, int) {
    bool fine = true;
    int64_t i = begin;
    for (; i + LANES <= end; i += LANES) fine &= update<float_x16, SPARSE, GUARDED>(step, state, i);
    for (; i < end; ++i) fine &= update<float, SPARSE, GUARDED>(step, state, i);
    if (!fine) __atomic_store_n(state.bad, 1, __ATOMIC_RELAXED);
  });
}

}  // namespace

// `numbers`: the members of AdamStep.
SCENEKIT_EXPORT void scenekit_adam(float* parameter, float* gradient, float* moment1, float* moment2, int64_t count,
                                   const float* numbers, int64_t sparse, int64_t clear, int32_t* bad) {
  AdamStep step{numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]};
  State state{parameter, gradient, moment1, moment2, clear != 0, bad};
  if (bad) {
    if (sparse) step_all<true, true>(step, state, count);
    else step_all<false, true>(step, state, count);
  } else {
    if (sparse) step_all<true, false>(step, state, count);
    else step_all<false, false>(step, state, count);
  }
}
