// Leaves of splat projection (EWA, Zwicker et al. 2001): a Gaussian in space to an ellipse on the image, and back
// for gradients. Templates over the lane type: one Gaussian on a GPU, sixteen on a CPU.
#pragma once

#include "lanes.h"

namespace scenekit {

// Rows of the rotation into the camera, where it stands, pinhole in pixels; the same for all Gaussians of a call.
struct SplatCamera {
  float rotation[9], centre[3];
  float fx, fy, cx, cy, width, height, near, blur;
};

// `pose` is world_from_camera [3, 4], `pinhole` fx, fy, cx, cy.
SK_LEAF SplatCamera splat_camera(const float* pose, const float* pinhole, float width, float height, float near,
                                 float blur) {
  SplatCamera c;
  for (int axis = 0; axis < 3; ++axis) {
    for (int column = 0; column < 3; ++column) c.rotation[3 * axis + column] = pose[4 * column + axis];
    c.centre[axis] = pose[4 * axis + 3];
  }
  c.fx = pinhole[0], c.fy = pinhole[1], c.cx = pinhole[2], c.cy = pinhole[3];
  c.width = width, c.height = height, c.near = near, c.blur = blur;
  return c;
}

// What a camera sees of a Gaussian is a row: x, y, the conic's xx, xy, yy, opacity, red, green, blue, depth, two zeros.
constexpr int SEEN = 12, SEEN_COLOR = 6, SEEN_DEPTH = 9;
// Floats of a camera's gradient: of its pose, then of its pinhole.
constexpr int CAMERA_FLOATS = 16;

constexpr float SIGMAS = 3.33f;              // of the radii: where opacity 1 has fallen to 1/255
constexpr float LEAST_COMPENSATION = 0.005f;

template <class T> struct Vector3 {
  T x, y, z;
};
template <class T> SK_LEAF Vector3<T> operator*(T s, Vector3<T> a) { return {s * a.x, s * a.y, s * a.z}; }
template <class T> SK_LEAF Vector3<T> operator+(Vector3<T> a, Vector3<T> b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class T> SK_LEAF T dot(Vector3<T> a, Vector3<T> b) { return a.x * b.x + a.y * b.y + a.z * b.z; }

// rotation * v, and its transpose * v.
template <class T> SK_LEAF Vector3<T> rotated(const float* r, Vector3<T> v) {
  return {r[0] * v.x + r[1] * v.y + r[2] * v.z, r[3] * v.x + r[4] * v.y + r[5] * v.z,
          r[6] * v.x + r[7] * v.y + r[8] * v.z};
}
template <class T> SK_LEAF Vector3<T> rotated_back(const float* r, Vector3<T> v) {
  return {r[0] * v.x + r[3] * v.y + r[6] * v.z, r[1] * v.x + r[4] * v.y + r[7] * v.z,
          r[2] * v.x + r[5] * v.y + r[8] * v.z};
}

template <class T> struct Gaussian {
  Vector3<T> mean;  // from where the camera stands
  T qw, qx, qy, qz;
  Vector3<T> scale;
};

template <class T> struct Ellipse {
  T x, y, depth, a, b, c, compensation;  // mean, depth, conic (inverse covariance)
  typename Lane<T>::Int radius_x, radius_y;
};

// What both directions compute.
template <class T> struct Footprint {
  Vector3<T> axes[3];   // columns: the unit axes in the scene
  Vector3<T> rows[3];   // rows of camera rotation * axes * scales
  Vector3<T> point;     // mean in the camera
  T inverse_norm, inverse_z, slope_x, slope_y;  // slopes are clamped near the frustum
  Vector3<T> u, v;      // rows of the Jacobian * rows: the image covariance is [u.u u.v; u.v v.v]
  T uu, uv, vv, sharp, determinant;  // before blur; determinants before and after
};

template <class T> SK_LEAF T within(T x, float low, float high) { return max(min(x, splat<T>(high)), splat<T>(low)); }

SK_LEAF void slope_limits(float size, float center, float focal, float& low, float& high) {
  // 0.3 of half the field of view beyond the image: there the linearisation is no longer good.
  float margin = 0.15f * size / focal;
  low = -(center / focal + margin);
  high = (size - center) / focal + margin;
}

template <class T> SK_LEAF Footprint<T> footprint(const Gaussian<T>& g, const SplatCamera& c) {
  Footprint<T> f;
  f.inverse_norm = 1.0f / sqrt(max(g.qw * g.qw + g.qx * g.qx + g.qy * g.qy + g.qz * g.qz, splat<T>(1e-24f)));
  T w = g.qw * f.inverse_norm, x = g.qx * f.inverse_norm, y = g.qy * f.inverse_norm, z = g.qz * f.inverse_norm;
  f.axes[0] = {1.0f - 2.0f * (y * y + z * z), 2.0f * (x * y + w * z), 2.0f * (x * z - w * y)};
  f.axes[1] = {2.0f * (x * y - w * z), 1.0f - 2.0f * (x * x + z * z), 2.0f * (y * z + w * x)};
  f.axes[2] = {2.0f * (x * z + w * y), 2.0f * (y * z - w * x), 1.0f - 2.0f * (x * x + y * y)};
  Vector3<T> a = rotated(c.rotation, g.scale.x * f.axes[0]), b = rotated(c.rotation, g.scale.y * f.axes[1]),
             d = rotated(c.rotation, g.scale.z * f.axes[2]);
  f.rows[0] = {a.x, b.x, d.x};
  f.rows[1] = {a.y, b.y, d.y};
  f.rows[2] = {a.z, b.z, d.z};
  f.point = rotated(c.rotation, g.mean);
  f.inverse_z = 1.0f / select(f.point.z > splat<T>(c.near), f.point.z, splat<T>(1.0f));
  float low, high;
  slope_limits(c.width, c.cx, c.fx, low, high);
  f.slope_x = within(f.point.x * f.inverse_z, low, high);
  slope_limits(c.height, c.cy, c.fy, low, high);
  f.slope_y = within(f.point.y * f.inverse_z, low, high);
  f.u = (c.fx * f.inverse_z) * (f.rows[0] + (-f.slope_x) * f.rows[2]);
  f.v = (c.fy * f.inverse_z) * (f.rows[1] + (-f.slope_y) * f.rows[2]);
  f.uu = dot(f.u, f.u);
  f.uv = dot(f.u, f.v);
  f.vv = dot(f.v, f.v);
  // uu vv - uv^2 as a sum of squares: nothing cancels.
  Vector3<T> n = {f.u.y * f.v.z - f.u.z * f.v.y, f.u.z * f.v.x - f.u.x * f.v.z, f.u.x * f.v.y - f.u.y * f.v.x};
  f.sharp = dot(n, n);
  f.determinant = f.sharp + c.blur * (f.uu + f.vv) + c.blur * c.blur;
  return f;
}

template <class T> SK_LEAF T compensation_of(const Footprint<T>& f) {
  return sqrt(max(f.sharp / f.determinant, splat<T>(LEAST_COMPENSATION * LEAST_COMPENSATION)));
}

template <class T> SK_LEAF T radius_of(T variance) {
  T r = min(SIGMAS * sqrt(variance), splat<T>(1e9f));
  T whole = to_float(to_int(r));
  return select(whole < r, whole + 1.0f, whole);
}

// All zero where culled: not in front of `near`, degenerate, or beside the image with its radii.
template <class T> SK_LEAF Ellipse<T> ellipse_of(const Footprint<T>& f, const SplatCamera& c) {
  const T zero = splat<T>(0.0f);
  T x = c.fx * f.point.x * f.inverse_z + c.cx, y = c.fy * f.point.y * f.inverse_z + c.cy;
  T a = f.uu + c.blur, d = f.vv + c.blur, inverse = 1.0f / f.determinant;
  T rx = radius_of(a), ry = radius_of(d);
  auto seen = (f.point.z > splat<T>(c.near)) & (f.determinant > zero) & (f.determinant < splat<T>(3e38f)) &
              (x + rx > zero) & (x - rx < splat<T>(c.width)) & (y + ry > zero) & (y - ry < splat<T>(c.height));
  Ellipse<T> e;
  e.x = select(seen, x, zero);
  e.y = select(seen, y, zero);
  e.depth = select(seen, f.point.z, zero);
  e.a = select(seen, d * inverse, zero);
  e.b = select(seen, -f.uv * inverse, zero);
  e.c = select(seen, a * inverse, zero);
  e.compensation = select(seen, compensation_of(f), zero);
  e.radius_x = to_int(select(seen, rx, zero));
  e.radius_y = to_int(select(seen, ry, zero));
  return e;
}

template <class T> struct GaussianGradient {
  Gaussian<T> gaussian;
  // For the camera, whose place has the sum of the means' with the sign turned; (cx, cy) have that of (x, y).
  Vector3<T> rotation[3];  // rows
  T fx, fy;
};

// `e` is the forward result's conic and compensation, `g` the gradients to its fields.
template <class T>
SK_LEAF GaussianGradient<T> project_gradient(const Gaussian<T>& in, const Footprint<T>& f, const SplatCamera& c,
                                             const Ellipse<T>& e, const Ellipse<T>& g) {
  // The inverse: dL/dcovariance = -conic G conic, with G symmetric.
  T half = 0.5f * g.b;
  T p = e.a * g.a + e.b * half, q = e.a * half + e.b * g.c, r = e.b * g.a + e.c * half, s = e.b * half + e.c * g.c;
  T duu = -(p * e.a + q * e.b), duv = -2.0f * (p * e.b + q * e.c), dvv = -(r * e.b + s * e.c);
  // The compensation, sqrt(ratio of the determinants), constant at its floor.
  T inverse = 1.0f / f.determinant, ratio = f.sharp * inverse;
  T moving = select(e.compensation > splat<T>(LEAST_COMPENSATION), 0.5f * g.compensation / e.compensation,
                    splat<T>(0.0f)) * inverse;
  duu += moving * (f.vv - ratio * (f.vv + c.blur));
  duv += moving * -2.0f * f.uv * (1.0f - ratio);
  dvv += moving * (f.uu - ratio * (f.uu + c.blur));
  Vector3<T> du = (2.0f * duu) * f.u + duv * f.v, dv = (2.0f * dvv) * f.v + duv * f.u;
  // u = fx / z (row0 - slope_x row2), and v alike.
  T jx = c.fx * f.inverse_z, jy = c.fy * f.inverse_z;
  Vector3<T> drow[3] = {jx * du, jy * dv, (-jx * f.slope_x) * du + (-jy * f.slope_y) * dv};
  T slope_x = f.point.x * f.inverse_z, slope_y = f.point.y * f.inverse_z, zero = splat<T>(0.0f);
  T dslope_x = select(slope_x == f.slope_x, -jx * dot(du, f.rows[2]), zero);
  T dslope_y = select(slope_y == f.slope_y, -jy * dot(dv, f.rows[2]), zero);
  // The image point moves with the slopes, unclamped.
  dslope_x += c.fx * g.x;
  dslope_y += c.fy * g.y;
  Vector3<T> dpoint;
  dpoint.x = dslope_x * f.inverse_z;
  dpoint.y = dslope_y * f.inverse_z;
  dpoint.z = g.depth - (dpoint.x * slope_x + dpoint.y * slope_y) - f.inverse_z * (dot(du, f.u) + dot(dv, f.v));
  GaussianGradient<T> out;
  out.fx = g.x * slope_x + dot(du, f.u) * (1.0f / c.fx);
  out.fy = g.y * slope_y + dot(dv, f.v) * (1.0f / c.fy);
  out.gaussian.mean = rotated_back(c.rotation, dpoint);
  // rows = rotation * axes * scales.
  const T scale[3] = {in.scale.x, in.scale.y, in.scale.z};
  const Vector3<T> columns[3] = {{drow[0].x, drow[1].x, drow[2].x},
                                 {drow[0].y, drow[1].y, drow[2].y},
                                 {drow[0].z, drow[1].z, drow[2].z}};
  Vector3<T> daxes[3];
  T dscale[3];
  for (int i = 0; i < 3; ++i) {
    Vector3<T> back = rotated_back(c.rotation, columns[i]);
    dscale[i] = dot(back, f.axes[i]);
    daxes[i] = scale[i] * back;
  }
  out.gaussian.scale = {dscale[0], dscale[1], dscale[2]};
  const T camera[3] = {dpoint.x, dpoint.y, dpoint.z};
  for (int i = 0; i < 3; ++i)
    out.rotation[i] = camera[i] * in.mean + (drow[i].x * scale[0]) * f.axes[0] +
                      (drow[i].y * scale[1]) * f.axes[1] + (drow[i].z * scale[2]) * f.axes[2];
  T w = in.qw * f.inverse_norm, x = in.qx * f.inverse_norm, y = in.qy * f.inverse_norm, z = in.qz * f.inverse_norm;
  const Vector3<T>&a0 = daxes[0], &a1 = daxes[1], &a2 = daxes[2];
  T dw = 2.0f * (z * (a0.y - a1.x) + y * (a2.x - a0.z) + x * (a1.z - a2.y));
  T dx = 2.0f * (y * (a0.y + a1.x) + z * (a0.z + a2.x) + w * (a1.z - a2.y) - 2.0f * x * (a1.y + a2.z));
  T dy = 2.0f * (x * (a0.y + a1.x) + z * (a1.z + a2.y) + w * (a2.x - a0.z) - 2.0f * y * (a0.x + a2.z));
  T dz = 2.0f * (x * (a0.z + a2.x) + y * (a1.z + a2.y) + w * (a0.y - a1.x) - 2.0f * z * (a0.x + a1.y));
  // Normalisation removes what lies along the quaternion.
  T along = dw * w + dx * x + dy * y + dz * z;
  out.gaussian.qw = (dw - along * w) * f.inverse_norm;
  out.gaussian.qx = (dx - along * x) * f.inverse_norm;
  out.gaussian.qy = (dy - along * y) * f.inverse_norm;
  out.gaussian.qz = (dz - along * z) * f.inverse_norm;
  return out;
}

}  // namespace scenekit
