// What share of the light each step of a ray holds back, and the gradient of its density: a thread takes a step.
namespace {

constexpr int THREADS = 256;

__device__ long long step_of_thread() { return (long long)blockIdx.x * THREADS + threadIdx.x; }

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    step_alphas(const float* densities, const float* deltas, long long count, float* alphas) {
  const long long i = step_of_thread();
  if (i < count) alphas[i] = -expm1f(-densities[i] * deltas[i]);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    step_alphas_backward(const float* gradient, const float* alphas, const float* deltas, long long count,
                         float* for_densities) {
  const long long i = step_of_thread();
  if (i < count) for_densities[i] = gradient[i] * (1.0f - alphas[i]) * deltas[i];
}
