// Rays of pinholes, and where rays cross a cube: a thread takes a ray. Those of a warp are cast through pixels of any
// cameras, whose few numbers lie in the L1 cache and are read in fours.
#include "rows.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 128;
constexpr float PI = 3.14159265358979f;

__device__ long long ray_of_thread() { return (long long)blockIdx.x * THREADS + threadIdx.x; }

__device__ float least(float a, float b) { return a < b ? a : b; }
__device__ float most(float a, float b) { return a > b ? a : b; }

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    pinhole_rays(const float* world_from_camera, const float* intrinsics, const long long* cameras,
                 const float* positions, long long count, float* origins, float* directions, float* z_per_distance,
                 float* radii) {
  __shared__ float4 stages[THREADS / 32][24];
  const WarpRows rows = rows_of_warp(count);
  const long long r = ray_of_thread();
  float origin[3] = {}, direction[3] = {};
  if (r < count) {
    const long long camera = cameras[r];
    const float4* pose = (const float4*)(world_from_camera + 12 * camera);
    const float4 focal = *(const float4*)(intrinsics + 4 * camera);
    const float2 at = *(const float2*)(positions + 2 * r);
    const float x = (at.x - focal.z) / focal.x, y = (at.y - focal.w) / focal.y;
    const float along = 1.0f / sqrtf(x * x + y * y + 1.0f);
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      const float4 row = pose[a];
      direction[a] = (row.x * x + row.y * y + row.z) * along;
      origin[a] = row.w;
    }
    z_per_distance[r] = along;
    // A unit pixel has the area of a disc of radius 1 / sqrt(pi).
    radii[r] = rsqrtf(PI * focal.x * focal.y) * along;
  }
  float* stage = (float*)stages[threadIdx.x / 32];
  put_rows<3>(origin, rows, stage, origins);
  put_rows<3>(direction, rows, stage, directions);
}

// A ray that misses enters at `nearest` and leaves at 0.
extern "C" __global__ void __launch_bounds__(THREADS)
    ray_cube(const float* origins, const float* directions, long long count, float extent, float nearest, float* near,
             float* far) {
  const long long r = ray_of_thread();
  if (r >= count) return;
  const float never = __int_as_float(0x7f800000);  // infinity
  float enter = 0.0f, leave = never;
  for (int a = 0; a < 3; ++a) {
    const float o = origins[3 * r + a], d = directions[3 * r + a];
    if (d == 0.0f) {  // along a face 0 would be divided by 0
      if (!(fabsf(o) <= extent)) leave = -never;
      continue;
    }
    const float inverse = 1.0f / d, low = (-extent - o) * inverse, high = (extent - o) * inverse;
    enter = most(enter, least(low, high));
    leave = least(leave, most(low, high));
  }
  const bool meets = enter < leave;
  near[r] = most(meets ? enter : 0.0f, nearest);
  far[r] = meets ? leave : 0.0f;
}
