// Leaves of the real spherical-harmonic basis and its gradient; see kernels/spherical_harmonics.py for the order.
#pragma once

#include "lanes.h"

namespace scenekit {

// Writes (degree + 1)^2 values through put(k, value).
template <class T, class Put> SK_LEAF void sh_basis(T x, T y, T z, int degree, Put put) {
  put(0, splat<T>(0.28209479177387814f));
  if (degree < 1) return;
  put(1, y * -0.4886025119029199f);
  put(2, z * 0.4886025119029199f);
  put(3, x * -0.4886025119029199f);
  if (degree < 2) return;
  T xx = x * x, yy = y * y, zz = z * z, xy = x * y, yz = y * z, xz = x * z;
  put(4, xy * 1.0925484305920792f);
  put(5, yz * -1.0925484305920792f);
  put(6, (2.0f * zz - xx - yy) * 0.31539156525252005f);
  put(7, xz * -1.0925484305920792f);
  put(8, (xx - yy) * 0.5462742152960396f);
  if (degree < 3) return;
  put(9, y * (3.0f * xx - yy) * -0.5900435899266435f);
  put(10, xy * z * 2.890611442640554f);
  put(11, y * (4.0f * zz - xx - yy) * -0.4570457994644658f);
  put(12, z * (2.0f * zz - 3.0f * xx - 3.0f * yy) * 0.3731763325901154f);
  put(13, x * (4.0f * zz - xx - yy) * -0.4570457994644658f);
  put(14, z * (xx - yy) * 1.445305721320277f);
  put(15, x * (xx - 3.0f * yy) * -0.5900435899266435f);
  if (degree < 4) return;
  put(16, xy * (xx - yy) * 2.5033429417967046f);
  put(17, yz * (3.0f * xx - yy) * -1.7701307697799304f);
  put(18, xy * (7.0f * zz - 1.0f) * 0.9461746957575601f);
  put(19, yz * (7.0f * zz - 3.0f) * -0.6690465435572892f);
  put(20, (zz * (35.0f * zz - 30.0f) + 3.0f) * 0.10578554691520431f);
  put(21, xz * (7.0f * zz - 3.0f) * -0.6690465435572892f);
  put(22, (xx - yy) * (7.0f * zz - 1.0f) * 0.47308734787878004f);
  put(23, xz * (xx - 3.0f * yy) * -1.7701307697799304f);
  put(24, (xx * (xx - 3.0f * yy) - yy * (3.0f * xx - yy)) * 0.6258357354491761f);
}

// Sum over k of g(k) times the gradient of basis k, by hand from the polynomials above.
template <class T, class Get> SK_LEAF void sh_basis_gradient(T x, T y, T z, int degree, Get g, T& dx, T& dy, T& dz) {
  dx = dy = dz = T{};
  if (degree < 1) return;
  dy += g(1) * -0.4886025119029199f;
  dz += g(2) * 0.4886025119029199f;
  dx += g(3) * -0.4886025119029199f;
  if (degree < 2) return;
  T a = g(4) * 1.0925484305920792f, b = g(5) * -1.0925484305920792f, c = g(6) * 0.31539156525252005f;
  T d = g(7) * -1.0925484305920792f, e = g(8) * 0.5462742152960396f;
  dx += a * y - 2.0f * c * x + d * z + 2.0f * e * x;
  dy += a * x + b * z - 2.0f * c * y - 2.0f * e * y;
  dz += b * y + 4.0f * c * z + d * x;
  if (degree < 3) return;
  T xx = x * x, yy = y * y, zz = z * z, xy = x * y, yz = y * z, xz = x * z;
  a = g(9) * -0.5900435899266435f;
  dx += a * 6.0f * xy;
  dy += a * 3.0f * (xx - yy);
  a = g(10) * 2.890611442640554f;
  dx += a * yz;
  dy += a * xz;
  dz += a * xy;
  a = g(11) * -0.4570457994644658f;
  dx += a * -2.0f * xy;
  dy += a * (4.0f * zz - xx - 3.0f * yy);
  dz += a * 8.0f * yz;
  a = g(12) * 0.3731763325901154f;
  dx += a * -6.0f * xz;
  dy += a * -6.0f * yz;
  dz += a * (6.0f * zz - 3.0f * xx - 3.0f * yy);
  a = g(13) * -0.4570457994644658f;
  dx += a * (4.0f * zz - 3.0f * xx - yy);
  dy += a * -2.0f * xy;
  dz += a * 8.0f * xz;
  a = g(14) * 1.445305721320277f;
  dx += a * 2.0f * xz;
  dy += a * -2.0f * yz;
  dz += a * (xx - yy);
  a = g(15) * -0.5900435899266435f;
  dx += a * 3.0f * (xx - yy);
  dy += a * -6.0f * xy;
  if (degree < 4) return;
  a = g(16) * 2.5033429417967046f;
  dx += a * y * (3.0f * xx - yy);
  dy += a * x * (xx - 3.0f * yy);
  a = g(17) * -1.7701307697799304f;
  dx += a * 6.0f * xy * z;
  dy += a * 3.0f * z * (xx - yy);
  dz += a * y * (3.0f * xx - yy);
  a = g(18) * 0.9461746957575601f;
  dx += a * y * (7.0f * zz - 1.0f);
  dy += a * x * (7.0f * zz - 1.0f);
  dz += a * 14.0f * xy * z;
  a = g(19) * -0.6690465435572892f;
  dy += a * z * (7.0f * zz - 3.0f);
  dz += a * y * (21.0f * zz - 3.0f);
  a = g(20) * 0.10578554691520431f;
  dz += a * z * (140.0f * zz - 60.0f);
  a = g(21) * -0.6690465435572892f;
  dx += a * z * (7.0f * zz - 3.0f);
  dz += a * x * (21.0f * zz - 3.0f);
  a = g(22) * 0.47308734787878004f;
  dx += a * 2.0f * x * (7.0f * zz - 1.0f);
  dy += a * -2.0f * y * (7.0f * zz - 1.0f);
  dz += a * 14.0f * z * (xx - yy);
  a = g(23) * -1.7701307697799304f;
  dx += a * 3.0f * z * (xx - yy);
  dy += a * -6.0f * xy * z;
  dz += a * x * (xx - 3.0f * yy);
  a = g(24) * 0.6258357354491761f;
  dx += a * (4.0f * xx * x - 12.0f * x * yy);
  dy += a * (4.0f * yy * y - 12.0f * xx * y);
}

// The unit vector along what it is made of, and one over that one's length.
template <class T> struct Direction {
  T x, y, z, inverse;
};

template <class T> SK_LEAF Direction<T> direction_along(T x, T y, T z) {
  T inverse = 1.0f / sqrt(max(x * x + y * y + z * z, splat<T>(1e-24f)));
  return {x * inverse, y * inverse, z * inverse, inverse};
}

// Takes a gradient from the unit vector to what it was made of: what lies along it is lost.
template <class T> SK_LEAF void direction_gradient(const Direction<T>& d, T& dx, T& dy, T& dz) {
  T along = dx * d.x + dy * d.y + dz * d.z;
  dx = (dx - along * d.x) * d.inverse;
  dy = (dy - along * d.y) * d.inverse;
  dz = (dz - along * d.z) * d.inverse;
}

}  // namespace scenekit
