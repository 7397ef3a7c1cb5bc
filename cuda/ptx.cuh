// What CUDA C++ has no words for: vector reductions, copies that nobody waits for, words between blocks, the hardware's
// power of two and reciprocal, shared memory whose size the launch gives. All inline PTX is here, each piece with a plain
// twin for the emulator that tests run kernels in (SCENEKIT_EMULATED).
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

}  // namespace scenekit
