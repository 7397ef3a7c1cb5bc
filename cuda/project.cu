// Projection of Gaussians: a thread owns one.
#include "project.h"

using namespace scenekit;

constexpr int CAMERA = 12;  // floats of camera_from_world

namespace {

struct Camera {
  const float *from_world, *intrinsics;
  float width, height, near, blur;
};

__device__ __forceinline__ SplatCamera loaded(const Camera& given) {
  SplatCamera c;
#pragma unroll
  for (int row = 0; row < 3; ++row) {
#pragma unroll
    for (int column = 0; column < 3; ++column) c.rotation[3 * row + column] = given.from_world[4 * row + column];
    c.translation[row] = given.from_world[4 * row + 3];
  }
  c.fx = given.intrinsics[0], c.fy = given.intrinsics[1], c.cx = given.intrinsics[2], c.cy = given.intrinsics[3];
  c.width = given.width, c.height = given.height, c.near = given.near, c.blur = given.blur;
  return c;
}

__device__ __forceinline__ Vector3<float> triple(const float* array, long long i) {
  return {array[3 * i], array[3 * i + 1], array[3 * i + 2]};
}

__device__ __forceinline__ void store(float* array, long long i, Vector3<float> v) {
  array[3 * i] = v.x;
  array[3 * i + 1] = v.y;
  array[3 * i + 2] = v.z;
}

__device__ __forceinline__ Gaussian<float> gaussian_at(const float* means, const float* quaternions,
                                                       const float* scales, long long i) {
  const float4 q = ((const float4*)quaternions)[i];
  return {triple(means, i), q.x, q.y, q.z, q.w, triple(scales, i)};
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

}  // namespace

// `quaternions` begin at a multiple of 16 bytes, `means2d` at one of 8.
extern "C" __global__ void project(const float* means, const float* quaternions, const float* scales,
                                   const float* camera_from_world, const float* intrinsics, long long count,
                                   long long width, long long height, float near, float blur, float* means2d,
                                   float* depths, float* conics, float* compensations, int* radii) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const SplatCamera camera = loaded({camera_from_world, intrinsics, (float)width, (float)height, near, blur});
  const Ellipse<float> e = ellipse_of(footprint(gaussian_at(means, quaternions, scales, i), camera), camera);
  ((float2*)means2d)[i] = make_float2(e.x, e.y);
  depths[i] = e.depth;
  store(conics, i, {e.a, e.b, e.c});
  compensations[i] = e.compensation;
  ((int2*)radii)[i] = make_int2(e.radius_x, e.radius_y);
}

// `partial` [blocks, 12] receives each block's sums for the camera. `quaternions` and their gradient begin at a
// multiple of 16 bytes, the gradient of means2d at one of 8.
extern "C" __global__ void project_backward(const float* means2d_gradient, const float* depths_gradient,
                                            const float* conics_gradient, const float* compensations_gradient,
                                            const float* means, const float* quaternions, const float* scales,
                                            const float* camera_from_world, const float* intrinsics, long long count,
                                            long long width, long long height, float near, float blur,
                                            float* for_means, float* for_quaternions, float* for_scales,
                                            float* partial) {
  __shared__ float sums[32][CAMERA];
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  float own[CAMERA] = {};
  if (i < count) {
    const SplatCamera camera = loaded({camera_from_world, intrinsics, (float)width, (float)height, near, blur});
    const Gaussian<float> in = gaussian_at(means, quaternions, scales, i);
    const Footprint<float> f = footprint(in, camera);
    const Ellipse<float> e = ellipse_of(f, camera);
    GaussianGradient<float> g = {};
    if (e.radius_x > 0) {
      const float2 m = ((const float2*)means2d_gradient)[i];
      const Vector3<float> k = triple(conics_gradient, i);
      const float depth = depths_gradient[i], compensation = compensations_gradient[i];
      g = project_gradient(in, f, camera, e, {m.x, m.y, depth, k.x, k.y, k.z, compensation, 0, 0});
    }
    store(for_means, i, g.gaussian.mean);
    store(for_scales, i, g.gaussian.scale);
    ((float4*)for_quaternions)[i] = make_float4(g.gaussian.qw, g.gaussian.qx, g.gaussian.qy, g.gaussian.qz);
    const float along[3] = {g.translation.x, g.translation.y, g.translation.z};
#pragma unroll
    for (int row = 0; row < 3; ++row) {
      own[4 * row] = g.rotation[row].x;
      own[4 * row + 1] = g.rotation[row].y;
      own[4 * row + 2] = g.rotation[row].z;
      own[4 * row + 3] = along[row];
    }
  }
#pragma unroll
  for (int k = 0; k < CAMERA; ++k) {
    const float sum = warp_sum(own[k]);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32][k] = sum;
  }
  __syncthreads();
  if (threadIdx.x >= CAMERA) return;
  float total = 0.0f;
  for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) total += sums[warp][threadIdx.x];
  partial[(long long)CAMERA * blockIdx.x + threadIdx.x] = total;
}
