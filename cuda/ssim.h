// Leaves of the structural similarity index (Wang et al. 2004): from blurred moments of two images to the
// index, and to its derivatives by the moments of the first image.
#pragma once

#include "lanes.h"

namespace scenekit {

constexpr int SSIM_RADIUS = 5;
constexpr float SSIM_C1 = 0.01f * 0.01f, SSIM_C2 = 0.03f * 0.03f;

// Of a Gaussian of sigma 1.5, normalised; `k` from 0 to twice the radius.
SK_LEAF constexpr float ssim_tap(int k) {
  constexpr float tap[2 * SSIM_RADIUS + 1] = {0.00102838008f, 0.00759875814f, 0.0360007721f, 0.109360690f,
                                              0.213005538f,   0.266011725f,   0.213005538f,  0.109360690f,
                                              0.0360007721f,  0.00759875814f, 0.00102838008f};
  return tap[k];
}

// Blurred x, y, x^2 + y^2 and x y.
template <class T> struct Moments {
  T x, y, squares, xy;
};

// The two quotients' parts: the index is (a1 a2) / (b1 b2).
template <class T> struct SsimParts {
  T a1, a2, b1, b2;
};

template <class T> SK_LEAF SsimParts<T> ssim_parts(const Moments<T>& m) {
  T square = m.x * m.x + m.y * m.y, product = m.x * m.y;
  return {2.0f * product + SSIM_C1, 2.0f * (m.xy - product) + SSIM_C2, square + SSIM_C1,
          m.squares - square + SSIM_C2};
}

template <class T> SK_LEAF T ssim_index(const Moments<T>& m) {
  SsimParts<T> p = ssim_parts(m);
  return p.a1 * p.a2 * reciprocal(p.b1 * p.b2);
}

// Derivatives of the index by blurred x, x^2 and x y, times `gradient`.
template <class T> SK_LEAF void ssim_derivatives(const Moments<T>& m, T gradient, T& by_x, T& by_xx, T& by_xy) {
  SsimParts<T> p = ssim_parts(m);
  T inverse = reciprocal(p.b1 * p.b2), scale = gradient * inverse;
  T index = p.a1 * p.a2 * scale;
  by_xy = 2.0f * p.a1 * scale;
  by_xx = -index * (p.b1 * inverse);  // by y^2 as well
  by_x = 2.0f * (m.y * (p.a2 - p.a1) * scale + m.x * (index * inverse * (p.b1 - p.b2)));
}

}  // namespace scenekit
