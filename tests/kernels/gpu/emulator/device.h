// The part of CUDA's language that our kernels use, for g++: included before anything else. `threadIdx` and the like
// are set whenever the scheduler switches to a thread; atomics are plain, since one thread runs at a time.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "scheduler.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// One block at a time: a static variable is what a block shares. Templates cannot hold any; kernels can.
#define __shared__ static __attribute__((section("sk_shared")))

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

#define EMULATED_VECTORS(T, N) \
  struct alignas(2 * sizeof(T)) N##2 { T x, y; }; \
  struct N##3 { T x, y, z; }; \
  struct alignas(sizeof(T) * 4 < 16 ? sizeof(T) * 4 : 16) N##4 { T x, y, z, w; }; \
  inline N##2 make_##N##2(T x, T y) { return {x, y}; } \
  inline N##3 make_##N##3(T x, T y, T z) { return {x, y, z}; } \
  inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMULATED_VECTORS(float, float)
EMULATED_VECTORS(int, int)
EMULATED_VECTORS(unsigned char, uchar)
EMULATED_VECTORS(unsigned short, ushort)
EMULATED_VECTORS(long long, longlong)
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

#define __syncthreads() ((void)emulated::barrier(__FILE__, __LINE__, false))
#define __syncthreads_count(p) emulated::barrier(__FILE__, __LINE__, (p))
#define __syncthreads_or(p) (emulated::barrier(__FILE__, __LINE__, (p)) != 0)
#define __syncthreads_and(p) (emulated::barrier(__FILE__, __LINE__, !(p)) == 0)
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T> T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  int base = emulated::lane() / width * width;
  return emulated::exchange(mask, "__shfl_sync", &value, sizeof value)->template of<T>(base + (from & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32) {
  int lane = emulated::lane(), from = lane ^ flip;
  auto all = emulated::exchange(mask, "__shfl_xor_sync", &value, sizeof value);
  return all->template of<T>(from / width > lane / width ? lane : from);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  int lane = emulated::lane(), from = lane + (int)by;
  auto all = emulated::exchange(mask, "__shfl_down_sync", &value, sizeof value);
  return all->template of<T>(from / width != lane / width ? lane : from);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  int lane = emulated::lane(), from = lane - (int)by;
  auto all = emulated::exchange(mask, "__shfl_up_sync", &value, sizeof value);
  return all->template of<T>(from < lane / width * width ? lane : from);
}
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulated::exchange(mask, "__syncwarp", "", 1); }
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  auto all = emulated::exchange(mask, "__ballot_sync", &predicate, sizeof predicate);
  unsigned found = 0;
  for (int l = 0; l < 32; ++l) found |= (mask >> l & 1u) && all->of<int>(l) ? 1u << l : 0u;
  return found;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }
template <class T> unsigned __match_any_sync(unsigned mask, T value) {
  auto all = emulated::exchange(mask, "__match_any_sync", &value, sizeof value);
  unsigned found = 0;
  for (int l = 0; l < 32; ++l) found |= (mask >> l & 1u) && all->template of<T>(l) == value ? 1u << l : 0u;
  return found;
}
template <class T, class Join> T emulated_reduce(unsigned mask, T value, const char* what, Join join) {
  auto all = emulated::exchange(mask, what, &value, sizeof value);
  bool any = false;
  T sum{};
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1u) sum = any ? join(sum, all->template of<T>(l)) : all->template of<T>(l), any = true;
  return sum;
}
#define EMULATED_REDUCE(name, T, expression) \
  inline T name(unsigned mask, T value) { \
    return emulated_reduce(mask, value, #name, [](T a, T b) { return (T)(expression); }); \
  }
EMULATED_REDUCE(__reduce_add_sync, unsigned, a + b)
EMULATED_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
EMULATED_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
EMULATED_REDUCE(__reduce_or_sync, unsigned, a | b)
EMULATED_REDUCE(__reduce_and_sync, unsigned, a & b)
EMULATED_REDUCE(__reduce_add_sync, int, a + b)
EMULATED_REDUCE(__reduce_max_sync, int, a > b ? a : b)
EMULATED_REDUCE(__reduce_min_sync, int, a < b ? a : b)

template <class T, class Join> T emulated_atomic(T* at, Join join) {
  T was = *at;
  *at = (T)join(was);
  return was;
}
#define EMULATED_ATOMIC(name, expression) \
  template <class T> T name(T* at, std::common_type_t<T> b) { \
    return emulated_atomic(at, [b](T a) { return (T)(expression); }); \
  }
EMULATED_ATOMIC(atomicAdd, a + b)
EMULATED_ATOMIC(atomicSub, a - b)
EMULATED_ATOMIC(atomicMax, a > b ? a : b)
EMULATED_ATOMIC(atomicMin, a < b ? a : b)
EMULATED_ATOMIC(atomicOr, a | b)
EMULATED_ATOMIC(atomicAnd, a & b)
EMULATED_ATOMIC(atomicXor, a ^ b)
EMULATED_ATOMIC(atomicExch, ((void)a, b))
template <class T> T atomicCAS(T* at, std::common_type_t<T> compare, std::common_type_t<T> value) {
  T was = *at;
  if (was == compare) *at = value;
  return was;
}

template <class T> T __ldg(const T* from) { return *from; }
template <class T> T __ldcs(const T* from) { return *from; }
template <class T> T __ldcg(const T* from) { return *from; }
template <class T> void __stcs(T* to, T value) { *to = value; }
template <class T> void __stwb(T* to, T value) { *to = value; }
template <class T> void __stcg(T* to, T value) { *to = value; }

template <class To, class From> To emulated_bits(From from) {
  To to;
  static_assert(sizeof to == sizeof from);
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline float __int_as_float(int x) { return emulated_bits<float>(x); }
inline int __float_as_int(float x) { return emulated_bits<int>(x); }
inline float __uint_as_float(unsigned x) { return emulated_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return emulated_bits<unsigned>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
  return y;
}

// Sums and products of their own: the file is compiled without contraction.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
inline int __float2int_rd(float x) { return (int)std::floor(x); }
inline int __float2int_rn(float x) { return (int)std::nearbyint(x); }
inline int __float2int_rz(float x) { return (int)x; }
inline int __float2int_ru(float x) { return (int)std::ceil(x); }

#define EMULATED_ORDER(T) \
  inline T min(T a, T b) { return a < b ? a : b; } \
  inline T max(T a, T b) { return a > b ? a : b; }
EMULATED_ORDER(int)
EMULATED_ORDER(unsigned)
EMULATED_ORDER(long long)
EMULATED_ORDER(unsigned long long)
