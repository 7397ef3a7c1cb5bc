// What a camera sees of Gaussians, and back: a thread owns one, a warp moves the coefficients of 32 at once.
// Macros: DEGREE of the harmonics, -1 for none; STORED, how many coefficients there are beyond the constant one; CAMERA,
// whether the camera has a gradient.
#include "project.h"
#include "rows.cuh"
#include "spherical_harmonics.h"

using namespace scenekit;

constexpr int THREADS = 128, WARPS = THREADS / 32;
constexpr int USED = DEGREE < 0 ? 0 : (DEGREE + 1) * (DEGREE + 1);  // coefficients, the constant one included
constexpr int REST = 3 * STORED;
constexpr int STAGE = REST > SEEN ? REST : SEEN;  // floats of a lane in shared memory

namespace {

struct Scene {
  const float *means, *quaternions, *scales, *opacities, *constant;
  const float *pose, *pinhole;
  float width, height, near, blur;
  bool antialiased;
};

__device__ __forceinline__ Vector3<float> triple(const float* array, long long i) {
  return {array[3 * i], array[3 * i + 1], array[3 * i + 2]};
}

__device__ __forceinline__ SplatCamera camera_of(const Scene& s) {
  return splat_camera(s.pose, s.pinhole, s.width, s.height, s.near, s.blur);
}

__device__ __forceinline__ Gaussian<float> gaussian_at(const Scene& s, const SplatCamera& camera, long long i) {
  const float4 q = ((const float4*)s.quaternions)[i];
  const Vector3<float> m = triple(s.means, i);
  const float* at = camera.centre;
  return {{m.x - at[0], m.y - at[1], m.z - at[2]}, q.x, q.y, q.z, q.w, triple(s.scales, i)};
}

// Adds 1/2 and the harmonics; `rest` are the lane's coefficients beyond the constant one.
__device__ __forceinline__ Vector3<float> color_along(const Direction<float>& d, Vector3<float> constant,
                                                      const float* rest) {
  Vector3<float> color = {0.5f, 0.5f, 0.5f};
  sh_basis<float>(d.x, d.y, d.z, DEGREE, [&](int k, float value) {
    color = color + value * (k == 0 ? constant : triple(rest, k - 1));
  });
  return color;
}

// Through a colour: the gradients to coefficients are put where these were, that to the direction is returned.
__device__ __forceinline__ Vector3<float> color_gradient(const Direction<float>& d, Vector3<float> color,
                                                         Vector3<float> g, float* rest, Vector3<float>& for_constant) {
  g = {color.x >= 0.0f ? g.x : 0.0f, color.y >= 0.0f ? g.y : 0.0f, color.z >= 0.0f ? g.z : 0.0f};
  Vector3<float> by;
  sh_basis_gradient<float>(d.x, d.y, d.z, DEGREE, [&](int k) { return dot(g, triple(rest, k - 1)); }, by.x, by.y,
                           by.z);
  sh_basis<float>(d.x, d.y, d.z, DEGREE, [&](int k, float value) {
    const Vector3<float> part = value * g;
    if (k == 0) {
      for_constant = part;
      return;
    }
    rest[3 * k - 3] = part.x;
    rest[3 * k - 2] = part.y;
    rest[3 * k - 1] = part.z;
  });
  direction_gradient(d, by.x, by.y, by.z);
  return by;
}

#if CAMERA
__device__ void add_camera(const GaussianGradient<float>& g, Vector3<float> mean, float x, float y,
                           float (*sums)[CAMERA_FLOATS], float* partial) {
  const Vector3<float>* r = g.rotation;
  const float own[CAMERA_FLOATS] = {r[0].x, r[1].x, r[2].x, -mean.x, r[0].y, r[1].y, r[2].y, -mean.y,
                                    r[0].z, r[1].z, r[2].z, -mean.z, g.fx,   g.fy,   x,      y};
#pragma unroll
  for (int k = 0; k < CAMERA_FLOATS; ++k) {
    const float sum = sum_of_warp(own[k]);
    if (lane_index() == 0) sums[threadIdx.x / 32][k] = sum;
  }
  __syncthreads();
  if (threadIdx.x >= CAMERA_FLOATS) return;
  float total = 0.0f;
  for (int warp = 0; warp < WARPS; ++warp) total += sums[warp][threadIdx.x];
  partial[(long long)CAMERA_FLOATS * blockIdx.x + threadIdx.x] = total;
}
#endif

}  // namespace

// `quaternions`, `rest` and `rows` begin at multiples of 16 bytes.
extern "C" __global__ void __launch_bounds__(THREADS)
    project(const float* means, const float* quaternions, const float* scales, const float* opacities,
            const float* constant, const float* rest, const float* pose, const float* pinhole, long long count,
            long long width, long long height, float near, float blur, long long antialiased, float* rows,
            float* depths) {
  __shared__ float4 memory[WARPS][8 * STAGE];
  float *stage = (float*)memory[threadIdx.x / 32], *own = stage + lane_index() * REST;
  const WarpRows here = rows_of_warp(count);
  const long long i = here.first + lane_index();
  const Scene scene{means,        quaternions,   scales, opacities, constant, pose, pinhole, (float)width,
                    (float)height, near, blur, antialiased != 0};
  Gaussian<float> in{};
  Ellipse<float> e{};
  float opacity = 0.0f;
  if (lane_index() < here.count) {
    const SplatCamera camera = camera_of(scene);
    in = gaussian_at(scene, camera, i);
    e = ellipse_of(footprint(in, camera), camera);
    opacity = opacities[i] * (scene.antialiased ? e.compensation : 1.0f);
    depths[i] = e.depth;
  }
  const bool seen = e.radius_x > 0;
  const unsigned visible = __ballot_sync(ALL, seen);
  if constexpr (USED > 1) fetch_rows<REST>(rest, here, visible, stage);
  fetched();
  float row[SEEN] = {};
  if (seen) {
    Vector3<float> color{};
    if (USED > 0) color = color_along(direction_along(in.mean.x, in.mean.y, in.mean.z), triple(constant, i), own);
    const float all[SEEN] = {e.x, e.y, e.a, e.b, e.c, opacity, scenekit::max(color.x, 0.0f),
                             scenekit::max(color.y, 0.0f), scenekit::max(color.z, 0.0f), e.depth, 0.0f, 0.0f};
#pragma unroll
    for (int k = 0; k < SEEN; ++k) row[k] = all[k];
  }
  put_rows<SEEN>(row, here, stage, rows);
}

// A row whose gradient is all zeros costs no more than reading that, and has zeros everywhere. `gradient` and all
// results begin at multiples of 16 bytes; `for_rest` may be null, and the results of what is not there are. `partial`
// [blocks, 16] receives each block's sums for the camera.
extern "C" __global__ void __launch_bounds__(THREADS)
    project_backward(const float* gradient, const float* means, const float* quaternions, const float* scales,
                     const float* opacities, const float* constant, const float* rest, const float* pose,
                     const float* pinhole, long long count, long long width, long long height, float near, float blur,
                     long long antialiased, float* for_means, float* for_quaternions, float* for_scales,
                     float* for_opacities, float* for_constant, float* for_rest, float* partial) {
  __shared__ float4 memory[WARPS][8 * STAGE];
  float *stage = (float*)memory[threadIdx.x / 32], *own = stage + lane_index() * REST;
  const WarpRows here = rows_of_warp(count);
  const long long i = here.first + lane_index();
  const Scene scene{means,        quaternions,   scales, opacities, constant, pose, pinhole, (float)width,
                    (float)height, near, blur, antialiased != 0};
  float given[SEEN] = {};
  bool moved = false;
  if (lane_index() < here.count) {
#pragma unroll
    for (int v = 0; v < SEEN / 4; ++v) {
      const float4 four = ((const float4*)gradient)[i * (SEEN / 4) + v];
      given[4 * v] = four.x, given[4 * v + 1] = four.y, given[4 * v + 2] = four.z, given[4 * v + 3] = four.w;
    }
#pragma unroll
    for (int k = 0; k <= SEEN_DEPTH; ++k) moved |= given[k] != 0.0f;
  }
  const unsigned some = __ballot_sync(ALL, moved);
  if constexpr (USED > 1) fetch_rows<REST>(rest, here, some, stage);
  GaussianGradient<float> g = {};
  Vector3<float> from_camera{}, for_color{};
  float for_opacity = 0.0f;
  if (moved) {
    const SplatCamera camera = camera_of(scene);
    const Gaussian<float> in = gaussian_at(scene, camera, i);
    const Footprint<float> f = footprint(in, camera);
    const Ellipse<float> e = ellipse_of(f, camera);
    moved = e.radius_x > 0;
    if (moved) {
      const float compensation = scene.antialiased ? given[5] * opacities[i] : 0.0f;
      for_opacity = given[5] * (scene.antialiased ? e.compensation : 1.0f);
      const Ellipse<float> by{given[0], given[1],     given[SEEN_DEPTH], given[2], given[3],
                              given[4], compensation, 0,                 0};
      g = project_gradient(in, f, camera, e, by);
    }
    from_camera = in.mean;
  }
  Vector3<float> mean = g.gaussian.mean;
  fetched();
  if (USED > 0 && moved) {
    const Direction<float> d = direction_along(from_camera.x, from_camera.y, from_camera.z);
    const Vector3<float> along = {given[SEEN_COLOR], given[SEEN_COLOR + 1], given[SEEN_COLOR + 2]};
    mean = mean + color_gradient(d, color_along(d, triple(constant, i), own), along, own, for_color);
  }
  if constexpr (REST > 0) {
    if (for_rest) {
#pragma unroll
      for (int k = 0; k < REST; ++k)
        if (!moved || k >= 3 * USED - 3) own[k] = 0.0f;
      __syncwarp();
      store_rows<REST>(stage, here, for_rest);
    }
  }
  if (for_constant) put_rows<3>({for_color.x, for_color.y, for_color.z}, here, stage, for_constant);
  const Gaussian<float>& s = g.gaussian;
  put_rows<3>({mean.x, mean.y, mean.z}, here, stage, for_means);
  put_rows<3>({s.scale.x, s.scale.y, s.scale.z}, here, stage, for_scales);
  if (lane_index() < here.count) {
    for_opacities[i] = for_opacity;
    ((float4*)for_quaternions)[i] = make_float4(s.qw, s.qx, s.qy, s.qz);
  }
#if CAMERA
  __shared__ float sums[WARPS][CAMERA_FLOATS];
  add_camera(g, mean, moved ? given[0] : 0.0f, moved ? given[1] : 0.0f, sums, partial);
#endif
}
