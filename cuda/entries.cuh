// The rows of a grid's table: how entries are read and written in each of their types.
//
// Macros: FEATURES of a row, ENTRY 0 for a table of float, 1 of half, 2 of bfloat16.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace scenekit {

#if ENTRY == 0
using Entry = float;
#elif ENTRY == 1
using Entry = __half;
#else
using Entry = __nv_bfloat16;
#endif

constexpr int F = FEATURES;
constexpr int CHUNK = F % 4 == 0 ? 4 : F % 2 == 0 ? 2 : 1;  // features moved at once

__device__ __forceinline__ float entry_of(unsigned bits) {
#if ENTRY == 0
  return __uint_as_float(bits);
#elif ENTRY == 1
  return __half2float(__ushort_as_half((unsigned short)bits));
#else
  return __uint_as_float(bits << 16);
#endif
}

__device__ __forceinline__ unsigned bits_of(float x) {
#if ENTRY == 0
  return __float_as_uint(x);
#elif ENTRY == 1
  return __half_as_ushort(__float2half_rn(x));
#else
  return __bfloat16_as_ushort(__float2bfloat16_rn(x));
#endif
}

__device__ __forceinline__ void store_entry(Entry* to, float x) {
#if ENTRY == 0
  *to = x;
#elif ENTRY == 1
  *to = __float2half_rn(x);
#else
  *to = __float2bfloat16_rn(x);
#endif
}

// N entries from a multiple of their bytes, of which there are 2, 4, 8 or 16.
template <int N> __device__ __forceinline__ void load_entries(const Entry* from, float* to) {
  constexpr int BYTES = N * sizeof(Entry), PER_WORD = 4 / sizeof(Entry), WORDS = BYTES < 4 ? 1 : BYTES / 4;
  unsigned word[4];
  if constexpr (BYTES == 16) {
    uint4 all = __ldg((const uint4*)from);
    word[0] = all.x, word[1] = all.y, word[2] = all.z, word[3] = all.w;
  } else if constexpr (BYTES == 8) {
    uint2 all = __ldg((const uint2*)from);
    word[0] = all.x, word[1] = all.y;
  } else if constexpr (BYTES == 4) {
    word[0] = __ldg((const unsigned*)from);
  } else {
    word[0] = __ldg((const unsigned short*)from);
  }
#pragma unroll
  for (int w = 0; w < WORDS; ++w) {
    to[w * PER_WORD] = entry_of(PER_WORD == 2 ? word[w] & 0xffffu : word[w]);
    if constexpr (PER_WORD == 2 && N > 1) to[w * 2 + 1] = entry_of(word[w] >> 16);
  }
}

// And back.
template <int N> __device__ __forceinline__ void store_entries(Entry* to, const float* from) {
  constexpr int BYTES = N * sizeof(Entry), PER_WORD = 4 / sizeof(Entry), WORDS = BYTES < 4 ? 1 : BYTES / 4;
  unsigned word[4];
#pragma unroll
  for (int w = 0; w < WORDS; ++w) {
    word[w] = bits_of(from[w * PER_WORD]);
    if constexpr (PER_WORD == 2 && N > 1) word[w] |= bits_of(from[w * 2 + 1]) << 16;
  }
  // A plain assignment of four words becomes four stores.
  if constexpr (BYTES == 16) __stwb((uint4*)to, make_uint4(word[0], word[1], word[2], word[3]));
  else if constexpr (BYTES == 8) __stwb((uint2*)to, make_uint2(word[0], word[1]));
  else if constexpr (BYTES == 4) *(unsigned*)to = word[0];
  else *(unsigned short*)to = (unsigned short)word[0];
}

}  // namespace scenekit
