// Adam: bound by memory. A thread takes four entries, in one access each where the arrays allow it.
#include "adam.h"

using namespace scenekit;

namespace {

constexpr int THREADS = 256;

__device__ void update(const AdamStep& step, bool sparse, float gradient, float& parameter, float& m1, float& m2) {
  if (!sparse || gradient != 0.0f) adam_step<float>(step, gradient, parameter, m1, m2);
}

}  // namespace

// `whole`: all arrays begin at a multiple of 16 bytes.
extern "C" __global__ void __launch_bounds__(THREADS)
    adam(float* parameter, const float* gradient, float* moment1, float* moment2, long long count, float rate,
         float beta1, float beta2, float eps, float weight_decay, float inverse_correction, long long sparse,
         long long whole) {
  const AdamStep step{rate, beta1, beta2, eps, weight_decay, inverse_correction};
  const long long first = 4 * ((long long)blockIdx.x * THREADS + threadIdx.x);
  if (whole && first + 4 <= count) {
    const float4 g = __ldcs((const float4*)(gradient + first));
    if (sparse && g.x == 0.0f && g.y == 0.0f && g.z == 0.0f && g.w == 0.0f) return;
    float4 p = *(float4*)(parameter + first), a = *(float4*)(moment1 + first), b = *(float4*)(moment2 + first);
    update(step, sparse, g.x, p.x, a.x, b.x);
    update(step, sparse, g.y, p.y, a.y, b.y);
    update(step, sparse, g.z, p.z, a.z, b.z);
    update(step, sparse, g.w, p.w, a.w, b.w);
    *(float4*)(parameter + first) = p;
    *(float4*)(moment1 + first) = a;
    *(float4*)(moment2 + first) = b;
    return;
  }
  for (long long i = first; i < first + 4 && i < count; ++i)
    update(step, sparse, gradient[i], parameter[i], moment1[i], moment2[i]);
}
