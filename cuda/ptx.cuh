// What CUDA C++ has no words for: vector reductions, copies that nobody waits for, words between blocks, the hardware's
// power of two and reciprocal, products on tensor cores, shared memory whose size the launch gives. All inline PTX is
// here, each piece with a plain twin for the emulator that tests run kernels in (SCENEKIT_EMULATED).
#pragma once

#if defined(SCENEKIT_EMULATED)
#define SK_DYNAMIC_SHARED(T, name) T* name = (T*)emulated::dynamic_shared()
#else
#define SK_DYNAMIC_SHARED(T, name)                  \
  extern __shared__ __align__(16) char sk_memory[]; \
  T* name = (T*)sk_memory
#endif

namespace scenekit {

// `to` is a multiple of 8 bytes.
__device__ __forceinline__ void reduce_add2(float* to, float a, float b) {
#if defined(SCENEKIT_EMULATED)
  *(float2*)to = {to[0] + a, to[1] + b};
#elif __CUDA_ARCH__ >= 900
  asm volatile("red.relaxed.gpu.global.add.v2.f32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(to)), "f"(a), "f"(b)
               : "memory");
#else
  atomicAdd(to, a);
  atomicAdd(to + 1, b);
#endif
}

// `to` is a multiple of 16 bytes.
__device__ __forceinline__ void reduce_add4(float* to, float a, float b, float c, float d) {
#if defined(SCENEKIT_EMULATED)
  *(float4*)to = {to[0] + a, to[1] + b, to[2] + c, to[3] + d};
#elif __CUDA_ARCH__ >= 900
  asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "f"(a),
               "f"(b), "f"(c), "f"(d)
               : "memory");
#else
  reduce_add2(to, a, b);
  reduce_add2(to + 2, c, d);
#endif
}

// Copies sixteen bytes to shared memory, at some time before wait_for_copies() returns to the thread; both begin at a
// multiple of 16 bytes.
__device__ __forceinline__ void copy_async(float* shared, const float* from) {
#if defined(SCENEKIT_EMULATED) || __CUDA_ARCH__ < 800
  *(float4*)shared = *(const float4*)from;
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
               "l"(__cvta_generic_to_global(from))
               : "memory");
#endif
}

__device__ __forceinline__ void wait_for_copies() {
#if !defined(SCENEKIT_EMULATED) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// A word for other blocks to read while this one goes on, and such a word as it is now; they say nothing of memory beside
// it.
__device__ __forceinline__ void publish(unsigned long long* to, unsigned long long word) {
#if defined(SCENEKIT_EMULATED)
  *to = word;
#else
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(__cvta_generic_to_global(to)), "l"(word) : "memory");
#endif
}

__device__ __forceinline__ unsigned long long peek(const unsigned long long* from) {
#if defined(SCENEKIT_EMULATED)
  return *from;
#else
  unsigned long long word;
  asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(word) : "l"(__cvta_generic_to_global(from)) : "memory");
  return word;
#endif
}

// 1 / x to a rounding, for x among the normal numbers.
__device__ __forceinline__ float reciprocal_approximate(float x) {
#if defined(SCENEKIT_EMULATED)
  return 1.0f / x;
#else
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// 2^x to two roundings; 0 where that is below the normal numbers.
__device__ __forceinline__ float exp2_approximate(float x) {
#if defined(SCENEKIT_EMULATED)
  return ::exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// Two numbers as halves in one word, `low` in its low bits; what a half cannot hold becomes the largest that it can,
// what is no number stays none.
__device__ __forceinline__ unsigned pack_halves(float low, float high) {
#if !defined(SCENEKIT_EMULATED) && __CUDA_ARCH__ >= 800
  unsigned both;
  asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  constexpr float MOST = 65504.0f;
  low = low > MOST ? MOST : low < -MOST ? -MOST : low;
  high = high > MOST ? MOST : high < -MOST ? -MOST : high;
#if defined(SCENEKIT_EMULATED)
  return emulated_bits<unsigned short>((_Float16)low) | (unsigned)emulated_bits<unsigned short>((_Float16)high) << 16;
#else
  unsigned both;
  asm("{ .reg .b16 l, h; cvt.rn.f16.f32 l, %1; cvt.rn.f16.f32 h, %2; mov.b32 %0, {l, h}; }"
      : "=r"(both) : "f"(low), "f"(high));
  return both;
#endif
#endif
}

// The same of max(x, 0).
__device__ __forceinline__ unsigned pack_rectified(float low, float high) {
#if !defined(SCENEKIT_EMULATED) && __CUDA_ARCH__ >= 800
  unsigned both;
  asm("cvt.rn.relu.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return pack_halves(low < 0.0f ? 0.0f : low, high < 0.0f ? 0.0f : high);
#endif
}

__device__ __forceinline__ void unpack_halves(unsigned both, float& low, float& high) {
#if defined(SCENEKIT_EMULATED)
  low = (float)emulated_bits<_Float16>((unsigned short)both);
  high = (float)emulated_bits<_Float16>((unsigned short)(both >> 16));
#else
  asm("{ .reg .b16 l, h; mov.b32 {l, h}, %2; cvt.f32.f16 %0, l; cvt.f32.f16 %1, h; }"
      : "=f"(low), "=f"(high) : "r"(both));
#endif
}

// The two halves of `values`, each where the half of `where` is positive, else a zero.
__device__ __forceinline__ unsigned keep_where_positive(unsigned values, unsigned where) {
#if defined(SCENEKIT_EMULATED)
  const auto positive = [](unsigned short bits) { return emulated_bits<_Float16>(bits) > (_Float16)0; };
  return (positive((unsigned short)where) ? values & 0xffffu : 0u) |
         (positive((unsigned short)(where >> 16)) ? values & 0xffff0000u : 0u);
#else
  unsigned kept;
  asm("{ .reg .b32 zero, one; mov.b32 zero, 0; set.gt.f16x2.f16x2 one, %2, zero; mul.f16x2 %0, %1, one; }"
      : "=r"(kept) : "r"(values), "r"(where));
  return kept;
#endif
}

// Four blocks of 8 by 8 halves out of shared memory, by a whole warp. Lane l brings the address of row l % 8 of block
// l / 8, 16 bytes at a multiple of 16. It gets a word of each block: row l / 4, columns l % 4 * 2 and the next; of the
// transposed blocks with TRANSPOSED.
template <bool TRANSPOSED> __device__ __forceinline__ void load_blocks(unsigned (&words)[4], const void* row) {
#if defined(SCENEKIT_EMULATED)
  const auto rows = emulated::exchange(0xffffffffu, "ldmatrix", &row, sizeof row);
  const int g = emulated::lane() / 4, t = emulated::lane() % 4 * 2;
  for (int b = 0; b < 4; ++b) {
    const auto at = [&](int r, int c) { return (unsigned)rows->of<const unsigned short*>(8 * b + r)[c]; };
    words[b] = TRANSPOSED ? at(t, g) | at(t + 1, g) << 16 : at(g, t) | at(g, t + 1) << 16;
  }
  emulated::exchange(0xffffffffu, "ldmatrix done", "", 1);  // nobody writes before all have read
#else
  const unsigned at = (unsigned)__cvta_generic_to_shared(row);
  if constexpr (TRANSPOSED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(at) : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "r"(at) : "memory");
#endif
}

// sums += a b in float32, by a whole warp: a is 16 by 16 halves, b 16 by 8. With g = lane / 4 and t = lane % 4 * 2, a
// lane's words of a are (g, t), (g + 8, t), (g, t + 8), (g + 8, t + 8), each with the next column; of b (t, g) and
// (t + 8, g), each with the next row; its sums are (g, t), (g, t + 1), (g + 8, t), (g + 8, t + 1).
__device__ __forceinline__ void multiply_add(float (&sums)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                             unsigned b0, unsigned b1) {
#if defined(SCENEKIT_EMULATED)
  const unsigned given[6] = {a0, a1, a2, a3, b0, b1};
  const auto all = emulated::exchange(0xffffffffu, "mma", given, sizeof given);
  struct Given { unsigned words[6]; };
  const auto half_of = [&](int lane, int word, int upper) {
    return (float)emulated_bits<_Float16>((unsigned short)(all->of<Given>(lane).words[word] >> 16 * upper));
  };
  const int g = emulated::lane() / 4, t = emulated::lane() % 4 * 2;
  for (int s = 0; s < 4; ++s)
    for (int k = 0; k < 16; ++k)
      sums[s] += half_of(4 * g + k % 8 / 2, k / 8 * 2 + s / 2, k % 2) *
                 half_of(4 * (t + s % 2) + k % 8 / 2, 4 + k / 8, k % 2);
#elif __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]) : "r"(a0), "r"(a1), "r"(b0));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]) : "r"(a2), "r"(a3), "r"(b1));
#endif
}

// Asks for the 64 bytes around `from` to be brought into the L2 cache.
__device__ __forceinline__ void prefetch_here_to_l2(const void* from) {
#if !defined(SCENEKIT_EMULATED)
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from)));
#endif
}

// Asks for `bytes` from `from` on, a multiple of 16 both; by a whole warp.
__device__ __forceinline__ void prefetch_to_l2(const void* from, int bytes) {
#if !defined(SCENEKIT_EMULATED) && __CUDA_ARCH__ >= 900
  if (threadIdx.x % 32 == 0 && bytes > 0)
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(from)), "r"(bytes));
#else
  for (int at = threadIdx.x % 32 * 64; at < bytes; at += 32 * 64) prefetch_here_to_l2((const char*)from + at);
#endif
}

}  // namespace scenekit
