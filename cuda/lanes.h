// Lane types: the leaves in the other headers are templates over them, so that one text of arithmetic runs
// on a GPU (a lane is a float) and on a CPU (a lane is sixteen floats in explicit vectors: plain loops do
// not vectorise, see ARCHITECTURE.md). No torch header, no libm: everything here also compiles under NVRTC.
#pragma once

#if defined(__CUDACC__)
#define SK_LEAF __host__ __device__ __forceinline__
#else
#define SK_LEAF inline __attribute__((always_inline))
#endif

#if !defined(__CUDACC__)
#include <stdint.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif
#endif

namespace scenekit {

#if !defined(__CUDACC__)
// Sixteen lanes; where the machine's registers are narrower the compiler splits them, which g++ does badly:
// it keeps the halves in memory. Loops that can take any number of lanes use Wide, below.
typedef float float_x16 __attribute__((vector_size(64)));
typedef int32_t int_x16 __attribute__((vector_size(64)));
typedef uint32_t uint_x16 __attribute__((vector_size(64)));

template <class T> struct Lane;
template <> struct Lane<float> { using Int = int32_t; using UInt = uint32_t; static constexpr int width = 1; };
template <> struct Lane<float_x16> { using Int = int_x16; using UInt = uint_x16; static constexpr int width = 16; };
#else
template <class T> struct Lane;
template <> struct Lane<float> { using Int = int; using UInt = unsigned; static constexpr int width = 1; };
#endif

template <class T> SK_LEAF T splat(float x) { return T{} + x; }

#if !defined(__CUDACC__)
SK_LEAF float_x16 select(int_x16 mask, float_x16 yes, float_x16 no) { return mask ? yes : no; }
SK_LEAF uint_x16 select(int_x16 mask, uint_x16 yes, uint_x16 no) { return mask ? yes : no; }
SK_LEAF float_x16 bits_to_float(int_x16 x) { return (float_x16)x; }
SK_LEAF int_x16 float_to_bits(float_x16 x) { return (int_x16)x; }
SK_LEAF int_x16 to_int(float_x16 x) { return __builtin_convertvector(x, int_x16); }
SK_LEAF float_x16 to_float(int_x16 x) { return __builtin_convertvector(x, float_x16); }
SK_LEAF float_x16 floor(float_x16 x) {
  float_x16 whole = to_float(to_int(x));
  return whole > x ? whole - 1.0f : whole;
}
SK_LEAF int_x16 floor_to_int(float_x16 x) {
  int_x16 whole = to_int(x);
  return whole + (to_float(whole) > x);
}

// A row of W floats at any address.
template <int W> struct Row { typedef float type __attribute__((vector_size(4 * W))); };
template <int W> SK_LEAF typename Row<W>::type load(const float* from) {
  typename Row<W>::type row;
  __builtin_memcpy(&row, from, sizeof row);
  return row;
}
template <class V> SK_LEAF void store(float* to, const V& row) { __builtin_memcpy(to, &row, sizeof row); }

// As many lanes as a register of the machine holds.
#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#elif defined(__AVX__)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif
typedef float Wide __attribute__((vector_size(4 * WIDTH)));
typedef int32_t WideInt __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t WideUInt __attribute__((vector_size(4 * WIDTH)));
#if !defined(__AVX512F__)
template <> struct Lane<Wide> { using Int = WideInt; using UInt = WideUInt; static constexpr int width = WIDTH; };
SK_LEAF Wide select(WideInt mask, Wide yes, Wide no) { return mask ? yes : no; }
SK_LEAF WideUInt select(WideInt mask, WideUInt yes, WideUInt no) { return mask ? yes : no; }
SK_LEAF Wide min(Wide a, Wide b) { return a < b ? a : b; }
SK_LEAF Wide max(Wide a, Wide b) { return a > b ? a : b; }
SK_LEAF Wide sqrt(Wide x) {
#if defined(__AVX__)
  return (Wide)_mm256_sqrt_ps((__m256)x);
#else
  Wide root;
  for (int i = 0; i < WIDTH; ++i) root[i] = __builtin_sqrtf(x[i]);
  return root;
#endif
}
SK_LEAF Wide reciprocal(Wide x) { return 1.0f / x; }
SK_LEAF bool any_lane(WideInt mask) {
#if defined(__AVX__)
  return _mm256_movemask_ps((__m256)mask) != 0;
#else
  int32_t found = 0;
  for (int i = 0; i < WIDTH; ++i) found |= mask[i];
  return found < 0;
#endif
}
SK_LEAF Wide bits_to_float(WideInt x) { return (Wide)x; }
SK_LEAF WideInt float_to_bits(Wide x) { return (WideInt)x; }
SK_LEAF WideInt to_int(Wide x) { return __builtin_convertvector(x, WideInt); }
SK_LEAF Wide to_float(WideInt x) { return __builtin_convertvector(x, Wide); }
SK_LEAF Wide floor(Wide x) {
  Wide whole = to_float(to_int(x));
  return whole > x ? whole - 1.0f : whole;
}
SK_LEAF WideInt floor_to_int(Wide x) {
  WideInt whole = to_int(x);
  return whole + (to_float(whole) > x);
}
#endif
#endif

SK_LEAF float select(bool mask, float yes, float no) { return mask ? yes : no; }
SK_LEAF unsigned select(bool mask, unsigned yes, unsigned no) { return mask ? yes : no; }
SK_LEAF float min(float a, float b) { return a < b ? a : b; }
SK_LEAF float max(float a, float b) { return a > b ? a : b; }
SK_LEAF float bits_to_float(int x) {
#if defined(__CUDA_ARCH__)
  return __int_as_float(x);
#else
  union { int i; float f; } u; u.i = x; return u.f;
#endif
}
SK_LEAF int float_to_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_int(x);
#else
  union { float f; int i; } u; u.f = x; return u.i;
#endif
}
SK_LEAF int to_int(float x) { return (int)x; }
SK_LEAF float to_float(int x) { return (float)x; }
SK_LEAF float floor(float x) {
  float whole = (float)(int)x;
  return whole > x ? whole - 1.0f : whole;
}
SK_LEAF int floor_to_int(float x) {
#if defined(__CUDA_ARCH__)
  return __float2int_rd(x);
#else
  int whole = (int)x;
  return (int)((unsigned)whole - ((float)whole > x));  // far outside of the integers it goes round
#endif
}

#if !defined(__CUDACC__)
#if defined(__AVX512F__)
// The masked forms are the plain ones here; the others warn of an uninitialised value in g++ 12.
SK_LEAF float_x16 min(float_x16 a, float_x16 b) { return (float_x16)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b); }
SK_LEAF float_x16 max(float_x16 a, float_x16 b) { return (float_x16)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b); }
SK_LEAF float_x16 sqrt(float_x16 x) { return (float_x16)_mm512_maskz_sqrt_ps(0xffff, (__m512)x); }
// 1 / x to about a rounding, for ordinary x: an estimate and one Newton step, cheaper than dividing.
SK_LEAF float_x16 reciprocal(float_x16 x) {
  float_x16 estimate = (float_x16)_mm512_maskz_rcp14_ps(0xffff, (__m512)x);
  return estimate + estimate * (1.0f - x * estimate);
}
// Whether any lane is negative; of a comparison: whether it holds anywhere.
SK_LEAF bool any_lane(int_x16 mask) { return _mm512_cmplt_epi32_mask((__m512i)mask, _mm512_setzero_si512()) != 0; }
#else
SK_LEAF float_x16 min(float_x16 a, float_x16 b) { return a < b ? a : b; }
SK_LEAF float_x16 max(float_x16 a, float_x16 b) { return a > b ? a : b; }
SK_LEAF float_x16 sqrt(float_x16 x) {
  float_x16 root;
  for (int i = 0; i < 16; ++i) root[i] = __builtin_sqrtf(x[i]);
  return root;
}
SK_LEAF bool any_lane(int_x16 mask) {
  int32_t found = 0;
  for (int i = 0; i < 16; ++i) found |= mask[i];
  return found < 0;
}
#endif
#endif
SK_LEAF float sqrt(float x) {
#if defined(__CUDACC__)
  return ::sqrtf(x);
#else
  return __builtin_sqrtf(x);
#endif
}
SK_LEAF float reciprocal(float x) {
#if defined(__CUDA_ARCH__)
  return __fdividef(1.0f, x);
#else
  return 1.0f / x;
#endif
}
SK_LEAF bool any_lane(bool mask) { return mask; }

// e^x by 2^n times a polynomial on [-0.5, 0.5] * ln 2: relative error below 2e-7, no branch, clamped so that
// it neither overflows nor makes denormals.
template <class T> SK_LEAF T exp(T x) {
  T y = max(min(x, splat<T>(88.0f)), splat<T>(-87.0f)) * 1.44269504088896f;
  // Adding 1.5 * 2^23 rounds to the nearest whole number.
  T whole = (y + 12582912.0f) - 12582912.0f;
  T f = (y - whole) * 0.693147180559945f;
  T p = splat<T>(1.0f / 720.0f);
  p = p * f + 1.0f / 120.0f;
  p = p * f + 1.0f / 24.0f;
  p = p * f + 1.0f / 6.0f;
  p = p * f + 0.5f;
  p = p * f + 1.0f;
  p = p * f + 1.0f;
  typename Lane<T>::Int n = to_int(whole);
  return p * bits_to_float((n + 127) << 23);
}

}  // namespace scenekit
