#include "../project.h"

#include <cstring>
#include <vector>

#include "harmonics_loop.h"
#include "pool.h"

using namespace scenekit;

namespace {

using Lanes = Wide;
constexpr int64_t GRAIN = 1024;  // of Gaussians; fixed, so that sums over them do not depend on the threads

// Up to WIDTH consecutive Gaussians of an [N C] array, as C vectors; lanes past the last repeat it.
template <int C> SK_LEAF void load(const float* array, int64_t first, int lanes, Lanes (&out)[C]) {
  alignas(64) float block[C][WIDTH];
  for (int i = 0; i < WIDTH; ++i)
    for (int j = 0; j < C; ++j) block[j][i] = array[C * (first + (i < lanes ? i : lanes - 1)) + j];
  std::memcpy(out, block, sizeof block);
}

template <int C> SK_LEAF void store(float* array, int64_t first, int lanes, const Lanes (&in)[C]) {
  alignas(64) float block[C][WIDTH];
  std::memcpy(block, in, sizeof block);
  for (int i = 0; i < lanes; ++i)
    for (int j = 0; j < C; ++j) array[C * (first + i) + j] = block[j][i];
}

struct Scene {
  const float *means, *quaternions, *scales, *opacities;
  const float *dc, *rest;  // coefficients, [N, 1, 3] and [N, stored, 3]; none below degree 0 and 1
  int64_t stored;
  int degree;

  int64_t used() const { return (degree + 1) * (degree + 1) - 1; }  // of `rest`
};

SK_LEAF Gaussian<Lanes> gaussians_at(const Scene& scene, const SplatCamera& camera, int64_t first, int lanes) {
  Lanes m[3], q[4], s[3];
  load(scene.means, first, lanes, m);
  load(scene.quaternions, first, lanes, q);
  load(scene.scales, first, lanes, s);
  for (int axis = 0; axis < 3; ++axis) m[axis] -= camera.centre[axis];
  return {{m[0], m[1], m[2]}, q[0], q[1], q[2], q[3], {s[0], s[1], s[2]}};
}

// What colours of a block of Gaussians hang on.
struct Shades {
  Direction<Lanes> towards;
  Lanes basis[MOST_HARMONICS];

  SK_LEAF Shades(const Gaussian<Lanes>& in, int degree)
      : towards(direction_along(in.mean.x, in.mean.y, in.mean.z)) {
    const Lanes axes[3] = {towards.x, towards.y, towards.z};
    basis_of(axes, degree, basis);
  }
  SK_LEAF Row<4>::type color(const Scene& scene, int64_t first, int s) const {
    Row<4>::type sum = basis[0][s] * color_at(scene.dc + 3 * (first + s));
    const float* rest = scene.rest + 3 * scene.stored * (first + s);
    return sum + weighted_colors(basis, s, 1, scene.used(), rest) + 0.5f;
  }
};

struct Gradients {
  float *means, *quaternions, *scales, *opacities, *dc, *rest;  // the last two may be null

  // Of Gaussian i's coefficients.
  void put(const Scene& scene, const Shades& shades, int s, int64_t i, Row<4>::type color) const {
    if (dc) put_color(dc + 3 * i, shades.basis[0][s] * color);
    if (rest) spread_color(shades.basis, s, 1, scene.used(), scene.stored, color, rest + 3 * scene.stored * i);
  }
  void put_nothing(const Scene& scene, int64_t i) const {
    if (dc) std::fill(dc + 3 * i, dc + 3 * (i + 1), 0.0f);
    if (rest) std::fill(rest + 3 * scene.stored * i, rest + 3 * scene.stored * (i + 1), 0.0f);
  }
};

// Through the colours of a block: to coefficients, and the part of the means' that comes from where they are seen from.
SK_LEAF void color_gradients(const Scene& scene, const Gaussian<Lanes>& in, const Lanes (&given)[SEEN], WideInt counts,
                             int64_t first, int lanes, const Gradients& out, Vector3<Lanes>& mean) {
  const Shades shades(in, scene.degree);
  Lanes dots[MOST_HARMONICS] = {}, dx, dy, dz;
  for (int s = 0; s < lanes; ++s) {
    Row<4>::type g = {given[SEEN_COLOR][s], given[SEEN_COLOR + 1][s], given[SEEN_COLOR + 2][s], 0.0f};
    if (!counts[s] || (g[0] == 0.0f && g[1] == 0.0f && g[2] == 0.0f)) {
      out.put_nothing(scene, first + s);
      continue;
    }
    const Row<4>::type color = shades.color(scene, first, s);
    for (int c = 0; c < 3; ++c) g[c] = color[c] >= 0.0f ? g[c] : 0.0f;
    out.put(scene, shades, s, first + s, g);
    const float* from = scene.rest + 3 * scene.stored * (first + s);
    for (int64_t k = 0; k < scene.used(); ++k, from += 3)
      dots[k + 1][s] = g[0] * from[0] + g[1] * from[1] + g[2] * from[2];
  }
  sh_basis_gradient<Lanes>(shades.towards.x, shades.towards.y, shades.towards.z, scene.degree,
                           [&dots](int k) { return dots[k]; }, dx, dy, dz);
  direction_gradient(shades.towards, dx, dy, dz);
  const Lanes zero{};
  mean = mean + Vector3<Lanes>{select(counts, dx, zero), select(counts, dy, zero), select(counts, dz, zero)};
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

// Floats of the camera's gradient, summed over a block.
SK_LEAF void add_camera(const GaussianGradient<Lanes>& g, const Vector3<Lanes>& mean, const Lanes (&given)[SEEN],
                        WideInt counts, Lanes (&total)[CAMERA_FLOATS]) {
  auto add = [&](int at, Lanes x) __attribute__((always_inline)) { total[at] += select(counts, x, Lanes{}); };
  const Vector3<Lanes>* r = g.rotation;
  for (int column = 0; column < 3; ++column) {
    add(column, r[column].x);
    add(4 + column, r[column].y);
    add(8 + column, r[column].z);
  }
  add(3, -mean.x);
  add(7, -mean.y);
  add(11, -mean.z);
  const Lanes pinhole[4] = {g.fx, g.fy, given[0], given[1]};
  for (int i = 0; i < 4; ++i) add(12 + i, pinhole[i]);
}

}  // namespace

SCENEKIT_EXPORT void scenekit_project(const float* means, const float* quaternions, const float* scales,
                                      const float* opacities, const float* dc, const float* rest, const float* pose,
                                      const float* pinhole, int64_t count, int64_t stored, int64_t width,
                                      int64_t height, float near, float blur, int64_t degree, int64_t antialiased,
                                      float* rows, float* depths) {
  const SplatCamera camera = splat_camera(pose, pinhole, (float)width, (float)height, near, blur);
  const Scene scene{means, quaternions, scales, opacities, dc, rest, stored, (int)degree};
  parallel(count, GRAIN, [=](int64_t begin, int64_t end, int) {
    each_block(begin, end, [&](int64_t first, int lanes) {
      const Gaussian<Lanes> in = gaussians_at(scene, camera, first, lanes);
      const Ellipse<Lanes> e = ellipse_of(footprint(in, camera), camera);
      const WideInt seen = e.radius_x > 0;
      Lanes opacity[1], depth[1] = {e.depth}, color[3] = {};
      load(scene.opacities, first, lanes, opacity);
      if (antialiased) opacity[0] *= e.compensation;
      if (scene.degree >= 0 && any_lane(seen)) {
        const Shades shades(in, scene.degree);
        for (int s = 0; s < lanes; ++s) {
          if (!seen[s]) continue;
          const Row<4>::type shade = shades.color(scene, first, s);
          for (int c = 0; c < 3; ++c) color[c][s] = shade[c] > 0.0f ? shade[c] : 0.0f;
        }
      }
      const Lanes row[SEEN] = {e.x,      e.y,      e.a,      e.b,     e.c,     select(seen, opacity[0], Lanes{}),
                               color[0], color[1], color[2], e.depth, Lanes{}, Lanes{}};
      store(rows, first, lanes, row);
      store(depths, first, lanes, depth);
    });
  });
}

// Gradients to coefficients may be null.
SCENEKIT_EXPORT void scenekit_project_backward(
    const float* gradient, const float* means, const float* quaternions, const float* scales, const float* opacities,
    const float* dc, const float* rest, const float* pose, const float* pinhole, int64_t count, int64_t stored,
    int64_t width, int64_t height, float near, float blur, int64_t degree, int64_t antialiased, float* for_means,
    float* for_quaternions, float* for_scales, float* for_opacities, float* for_dc, float* for_rest,
    float* for_camera) {
  const SplatCamera camera = splat_camera(pose, pinhole, (float)width, (float)height, near, blur);
  const Scene scene{means, quaternions, scales, opacities, dc, rest, stored, (int)degree};
  const Gradients out{for_means, for_quaternions, for_scales, for_opacities, for_dc, for_rest};
  std::vector<float> partial((size_t)((count + GRAIN - 1) / GRAIN * CAMERA_FLOATS));
  float* sums = partial.data();
  parallel(count, GRAIN, [=](int64_t begin, int64_t end, int) {
    Lanes total[CAMERA_FLOATS] = {};
    each_block(begin, end, [&](int64_t first, int lanes) {
      const Gaussian<Lanes> in = gaussians_at(scene, camera, first, lanes);
      const Footprint<Lanes> f = footprint(in, camera);
      const Ellipse<Lanes> e = ellipse_of(f, camera);
      Lanes given[SEEN], opacity[1], compensation{};
      load(gradient, first, lanes, given);
      load(scene.opacities, first, lanes, opacity);
      if (antialiased) {
        compensation = given[5] * opacity[0];
        given[5] *= e.compensation;
      }
      const Ellipse<Lanes> by{given[0], given[1],     given[SEEN_DEPTH], given[2],  given[3],
                              given[4], compensation, WideInt{},         WideInt{}};
      const GaussianGradient<Lanes> g = project_gradient(in, f, camera, e, by);
      Lanes lane;
      for (int i = 0; i < WIDTH; ++i) lane[i] = (float)i;
      const WideInt counts = (e.radius_x > 0) & (lane < splat<Lanes>((float)lanes));
      auto kept = [&](Lanes x) __attribute__((always_inline)) { return select(counts, x, Lanes{}); };
      const Gaussian<Lanes>& s = g.gaussian;
      Vector3<Lanes> mean = {kept(s.mean.x), kept(s.mean.y), kept(s.mean.z)};
      if (scene.degree >= 0) color_gradients(scene, in, given, counts, first, lanes, out, mean);
      add_camera(g, mean, given, counts, total);
      const Lanes m[3] = {mean.x, mean.y, mean.z};
      const Lanes q[4] = {kept(s.qw), kept(s.qx), kept(s.qy), kept(s.qz)};
      const Lanes d[3] = {kept(s.scale.x), kept(s.scale.y), kept(s.scale.z)};
      const Lanes o[1] = {kept(given[5])};
      store(out.means, first, lanes, m);
      store(out.quaternions, first, lanes, q);
      store(out.scales, first, lanes, d);
      store(out.opacities, first, lanes, o);
    });
    for (int i = 0; i < CAMERA_FLOATS; ++i) sums[begin / GRAIN * CAMERA_FLOATS + i] = sum(total[i]);
  });
  std::memset(for_camera, 0, sizeof(float) * CAMERA_FLOATS);
  for (size_t i = 0; i < partial.size(); ++i) for_camera[i % CAMERA_FLOATS] += partial[i];
}
