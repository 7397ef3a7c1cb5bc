// Half precision for emulated kernels: storage and conversions, which is all that ours use of the type.
#pragma once

#include "../device.h"

struct __half {
  unsigned short bits = 0;
};
struct alignas(4) __half2 {
  __half x, y;
};

inline float __half2float(__half h) { return (float)emulated_bits<_Float16>(h.bits); }
inline __half __float2half_rn(float x) { return {emulated_bits<unsigned short>((_Float16)x)}; }
inline __half __float2half(float x) { return __float2half_rn(x); }
inline unsigned short __half_as_ushort(__half h) { return h.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline float2 __half22float2(__half2 h) { return {__half2float(h.x), __half2float(h.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline __half2 __float22half2_rn(float2 v) { return __floats2half2_rn(v.x, v.y); }
inline __half __low2half(__half2 h) { return h.x; }
inline __half __high2half(__half2 h) { return h.y; }
