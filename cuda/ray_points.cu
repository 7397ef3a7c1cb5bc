// Points on rays: a thread takes a sample; those of one ray are neighbours, and read the same numbers.
namespace {

constexpr int THREADS = 256;

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    ray_points(const float* origins, const float* directions, const long long* owners, const float* distances,
               long long count, float* positions, float* along) {
  const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const float* origin = origins + 3 * owners[i];
  const float* direction = directions + 3 * owners[i];
  const float distance = distances[i];
  for (int axis = 0; axis < 3; ++axis) {
    along[3 * i + axis] = direction[axis];
    positions[3 * i + axis] = origin[axis] + direction[axis] * distance;
  }
}
