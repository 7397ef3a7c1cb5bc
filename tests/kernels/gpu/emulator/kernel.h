// Makes a kernel callable from Python: every parameter is a pointer, a long long or a float, as launches pass them.
#pragma once

#include <cstdio>
#include <tuple>
#include <utility>

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "device.h"

extern "C" char __start_sk_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_sk_shared[] __attribute__((weak, visibility("hidden")));

namespace emulated {

// 0 for what a tensor of any type may be read as.
template <class T> constexpr int dtype_of() {
  if constexpr (std::is_same_v<T, float>) return 'f';
  else if constexpr (std::is_same_v<T, __half>) return 'h';
  else if constexpr (std::is_same_v<T, __nv_bfloat16>) return 'b';
  else if constexpr (std::is_same_v<T, long long>) return 'l';
  else if constexpr (std::is_same_v<T, int>) return 'i';
  else if constexpr (std::is_same_v<T, bool>) return 'c';
  else if constexpr (std::is_same_v<T, double>) return 'd';
  else return 0;
}

template <class P> bool fits(const Argument& a) {
  if constexpr (std::is_pointer_v<P>) {
    constexpr int wanted = dtype_of<std::remove_cv_t<std::remove_pointer_t<P>>>();
    return a.kind == 'n' || (a.kind == 'p' && (!wanted || wanted == a.dtype));
  } else {
    static_assert(std::is_same_v<P, long long> || std::is_same_v<P, float>, "launches pass int64, float32, pointers");
    return a.kind == (std::is_same_v<P, float> ? 'f' : 'i');
  }
}

template <class P> P value_of(const Argument& a) {
  if constexpr (std::is_pointer_v<P>) return (P)(a.kind == 'n' ? nullptr : a.pointer);
  else if constexpr (std::is_same_v<P, float>) return a.real;
  else return a.whole;
}

template <auto kernel> struct Entry;
template <class... P, void (*kernel)(P...)> struct Entry<kernel> {
  template <size_t... i> static void spread(const Argument* a, std::index_sequence<i...>) { kernel(value_of<P>(a[i])...); }
  static void call(const Argument* a) { spread(a, std::index_sequence_for<P...>()); }

  static bool launch(const Argument* a, int count, const Launch& how, char* message, size_t room) {
    if (count != (int)sizeof...(P)) {
      snprintf(message, room, "%d arguments, the kernel takes %d", count, (int)sizeof...(P));
      return false;
    }
    int i = 0, wrong = -1;
    ((fits<P>(a[i]) ? 0 : wrong = wrong < 0 ? i : wrong, ++i), ...);
    if (wrong >= 0) {
      snprintf(message, room, "argument %d has another type than the kernel's parameter", wrong);
      return false;
    }
    return run(call, a, how, {__start_sk_shared, __stop_sk_shared}, message, room);
  }
};

}  // namespace emulated

#define EMULATED_KERNEL(name) \
  extern "C" bool emulated_launch_##name(const emulated::Argument* a, int count, const emulated::Launch* how, \
                                         char* message, size_t room) { \
    return emulated::Entry<name>::launch(a, count, *how, message, room); \
  }
