#include "../project.h"

#include <cstring>
#include <vector>

#include "pool.h"

using namespace scenekit;

namespace {

using Lanes = Wide;
constexpr int64_t GRAIN = 1024;  // of Gaussians; fixed, so that sums over them do not depend on the threads
constexpr int CAMERA = 12;       // floats of camera_from_world

SplatCamera camera_of(const float* camera_from_world, const float* intrinsics, int64_t width, int64_t height,
                      float near, float blur) {
  SplatCamera c;
  for (int row = 0; row < 3; ++row) {
    for (int column = 0; column < 3; ++column) c.rotation[3 * row + column] = camera_from_world[4 * row + column];
    c.translation[row] = camera_from_world[4 * row + 3];
  }
  c.fx = intrinsics[0], c.fy = intrinsics[1], c.cx = intrinsics[2], c.cy = intrinsics[3];
  c.width = (float)width, c.height = (float)height, c.near = near, c.blur = blur;
  return c;
}

// Up to WIDTH consecutive Gaussians of an [N C] array, as C vectors; lanes past the last repeat it.
template <int C> SK_LEAF void load(const float* array, int64_t first, int lanes, Lanes (&out)[C]) {
  alignas(64) float block[C][WIDTH];
  for (int i = 0; i < WIDTH; ++i)
    for (int j = 0; j < C; ++j) block[j][i] = array[C * (first + (i < lanes ? i : lanes - 1)) + j];
  std::memcpy(out, block, sizeof block);
}

template <int C, class Vector, class Value>
SK_LEAF void store(Value* array, int64_t first, int lanes, const Vector (&in)[C]) {
  alignas(64) Value block[C][WIDTH];
  std::memcpy(block, in, sizeof block);
  for (int i = 0; i < lanes; ++i)
    for (int j = 0; j < C; ++j) array[C * (first + i) + j] = block[j][i];
}

struct Scene {
  const float *means, *quaternions, *scales;
};

SK_LEAF Gaussian<Lanes> gaussians_at(const Scene& scene, int64_t first, int lanes) {
  Lanes m[3], q[4], s[3];
  load(scene.means, first, lanes, m);
  load(scene.quaternions, first, lanes, q);
  load(scene.scales, first, lanes, s);
  return {{m[0], m[1], m[2]}, q[0], q[1], q[2], q[3], {s[0], s[1], s[2]}};
}

struct Results {
  float *means2d, *depths, *conics, *compensations;
  int32_t* radii;
};

struct Gradients {
  const float *means2d, *depths, *conics, *compensations;
};

SK_LEAF Ellipse<Lanes> gradients_at(const Gradients& from, int64_t first, int lanes) {
  Lanes m[2], d[1], k[3], o[1];
  load(from.means2d, first, lanes, m);
  load(from.depths, first, lanes, d);
  load(from.conics, first, lanes, k);
  load(from.compensations, first, lanes, o);
  return {m[0], m[1], d[0], k[0], k[1], k[2], o[0], WideInt{}, WideInt{}};
}

template <class Body> void each_block(int64_t begin, int64_t end, const Body& body) {
  for (int64_t first = begin; first < end; first += WIDTH)
    body(first, end - first < WIDTH ? (int)(end - first) : WIDTH);
}

float sum(Lanes v) {
  float total = 0.0f;
  for (int i = 0; i < WIDTH; ++i) total += v[i];
  return total;
}

}  // namespace

SCENEKIT_EXPORT void scenekit_project(const float* means, const float* quaternions, const float* scales,
                                      const float* camera_from_world, const float* intrinsics, int64_t count,
                                      int64_t width, int64_t height, float near, float blur, float* means2d,
                                      float* depths, float* conics, float* compensations, int32_t* radii) {
  const SplatCamera camera = camera_of(camera_from_world, intrinsics, width, height, near, blur);
  const Scene scene{means, quaternions, scales};
  parallel(count, GRAIN, [=](int64_t begin, int64_t end, int) {
    each_block(begin, end, [&](int64_t first, int lanes) {
      Ellipse<Lanes> e = ellipse_of(footprint(gaussians_at(scene, first, lanes), camera), camera);
      const Lanes m[2] = {e.x, e.y}, d[1] = {e.depth}, k[3] = {e.a, e.b, e.c}, o[1] = {e.compensation};
      const WideInt r[2] = {e.radius_x, e.radius_y};
      store(means2d, first, lanes, m);
      store(depths, first, lanes, d);
      store(conics, first, lanes, k);
      store(compensations, first, lanes, o);
      store(radii, first, lanes, r);
    });
  });
}

SCENEKIT_EXPORT void scenekit_project_backward(
    const float* means2d_gradient, const float* depths_gradient, const float* conics_gradient,
    const float* compensations_gradient, const float* means, const float* quaternions, const float* scales,
    const float* camera_from_world, const float* intrinsics, int64_t count, int64_t width, int64_t height, float near,
    float blur, float* means_gradient, float* quaternions_gradient, float* scales_gradient,
    float* camera_gradient) {
  const SplatCamera camera = camera_of(camera_from_world, intrinsics, width, height, near, blur);
  const Scene scene{means, quaternions, scales};
  const Gradients given{means2d_gradient, depths_gradient, conics_gradient, compensations_gradient};
  std::vector<float> partial((size_t)((count + GRAIN - 1) / GRAIN * CAMERA));
  float* sums = partial.data();
  parallel(count, GRAIN, [=](int64_t begin, int64_t end, int) {
    Lanes total[CAMERA] = {};
    each_block(begin, end, [&](int64_t first, int lanes) {
      Gaussian<Lanes> in = gaussians_at(scene, first, lanes);
      Footprint<Lanes> f = footprint(in, camera);
      Ellipse<Lanes> e = ellipse_of(f, camera);
      GaussianGradient<Lanes> g = project_gradient(in, f, camera, e, gradients_at(given, first, lanes));
      const Lanes last = splat<Lanes>((float)lanes);
      Lanes lane;
      for (int i = 0; i < WIDTH; ++i) lane[i] = (float)i;
      const WideInt counts = (e.radius_x > 0) & (lane < last);
      auto kept = [&](Lanes x) __attribute__((always_inline)) { return select(counts, x, Lanes{}); };
      const Gaussian<Lanes>& s = g.gaussian;
      const Lanes m[3] = {kept(s.mean.x), kept(s.mean.y), kept(s.mean.z)};
      const Lanes q[4] = {kept(s.qw), kept(s.qx), kept(s.qy), kept(s.qz)};
      const Lanes d[3] = {kept(s.scale.x), kept(s.scale.y), kept(s.scale.z)};
      store(means_gradient, first, lanes, m);
      store(quaternions_gradient, first, lanes, q);
      store(scales_gradient, first, lanes, d);
      const Lanes along[3] = {g.translation.x, g.translation.y, g.translation.z};
      for (int row = 0; row < 3; ++row) {
        total[4 * row] += kept(g.rotation[row].x);
        total[4 * row + 1] += kept(g.rotation[row].y);
        total[4 * row + 2] += kept(g.rotation[row].z);
        total[4 * row + 3] += kept(along[row]);
      }
    });
    for (int i = 0; i < CAMERA; ++i) sums[begin / GRAIN * CAMERA + i] = sum(total[i]);
  });
  std::memset(camera_gradient, 0, sizeof(float) * CAMERA);
  for (size_t i = 0; i < partial.size(); ++i) camera_gradient[i % CAMERA] += partial[i];
}
