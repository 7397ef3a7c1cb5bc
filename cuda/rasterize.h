// Leaves of splatting: the ellipse of a splat, its alpha at a pixel, blending front to back and its gradient.
// Templates over the lane type: a float on a GPU, one row of a tile (sixteen pixels) on a CPU.
#pragma once

#include "lanes.h"

namespace scenekit {

// A splat is a row: x, y, the conic's xx, xy, yy, its opacity, then as many features as there are.
constexpr int FEATURES = 6;
constexpr int TILE = 16;                        // pixels along a tile's side; a row of a tile is one vector
constexpr float LEAST_ALPHA = 1.0f / 255.0f;    // fainter contributions are skipped
constexpr float MOST_ALPHA = 0.99f;             // keeps 1 / (1 - alpha) bounded in the gradient
constexpr float LEAST_TRANSMITTANCE = 1e-4f;    // a pixel closes before it would go below
constexpr float LEAST_EXPONENT = -7.99435344f;  // log2(1 / 255)
constexpr float LOG2_E = 1.44269504f;
// The ellipse of visibility is grown by this much in squared radius, so that rounding loses no pixel.
constexpr float SLACK = 1.001f;

// 2^x for -126 <= x <= 126, relative error below 3e-7 (garbage outside: mask it).
template <class T> SK_LEAF T exp2_bounded(T x) {
  // Adding 1.5 * 2^23 rounds to the nearest whole number and leaves it in the low bits of the sum.
  T shifted = x + 12582912.0f;
  T f = x - (shifted - 12582912.0f);
  T p = splat<T>(0.001327647129f);
  p = p * f + 0.009675540961f;
  p = p * f + 0.05550713092f;
  p = p * f + 0.2402212024f;
  p = p * f + 0.6931469440f;
  p = p * f + 1.0f;
  return bits_to_float(float_to_bits(p) + (float_to_bits(shifted) << 23));
}

SK_LEAF float log2_of(float x) {
#if defined(__CUDACC__)
  return ::log2f(x);
#else
  return __builtin_log2f(x);
#endif
}

// Of the conic; twice as many digits while they cancel.
SK_LEAF float determinant_of(float a, float b, float c) { return (float)((double)a * c - (double)b * b); }

// sigma <= ln(255 opacity) bounds the visible ellipse, and `level` is log2(opacity); twice that is its squared radius.
SK_LEAF float squared_radius(float level) { return max((level - LEAST_EXPONENT) * (2.0f * SLACK / LOG2_E), 0.0f); }

// Half of an ellipse p u^2 + 2 q u v + r v^2 <= R as v = slope u +- sqrt(reach - fall u^2); the upper half is
// highest at u = apex, the lower half lowest at u = -apex.
struct Chord {
  float slope, reach, fall, apex;
};

// Of a u^2 + 2 b u v + c v^2 <= radius, with a, c and the determinant positive.
SK_LEAF Chord chord_of(float a, float b, float c, float determinant, float radius) {
  const float along = reciprocal(c);
  const float apex = -b * reciprocal(a) * sqrt(radius * a * reciprocal(determinant));
  return {-b * along, radius * along, determinant * along * along, apex};
}

template <class T> struct Interval {
  T low, high;  // low > high: empty
};

// The range of v over the part of the ellipse with u in [low, high]: exact, since each half is concave.
template <class T> SK_LEAF Interval<T> extent(T slope, T reach, T fall, T apex, T low, T high) {
  T top = max(min(apex, high), low), bottom = max(min(-apex, high), low);
  T above = reach - fall * top * top, below = reach - fall * bottom * bottom;
  const T zero = splat<T>(0.0f);
  T least = slope * bottom - sqrt(max(below, zero)), most = slope * top + sqrt(max(above, zero));
  // Empty where even the nearest u lies beyond the ellipse.
  return {select(above >= zero, least, zero + 1.0f), select(above >= zero, most, zero - 1.0f)};
}

// What painting needs of a splat: the exponent of alpha, in base 2, is level + xx dx^2 + xy dx dy + yy dy^2, and rows
// of pixels (u = x) are reached within a chord.
struct Brush {
  float x, y, xx, xy, yy, level;
  Chord rows;
};

// Of a splat's row.
SK_LEAF Brush brush_of(const float* row) {
  const float x = row[0], y = row[1], a = row[2], b = row[3], c = row[4], opacity = row[5];
  Brush s = {x, y, a * (-0.5f * LOG2_E), b * -LOG2_E, c * (-0.5f * LOG2_E), -1000.0f, {0.0f, -1.0f, 0.0f, 0.0f}};
  if (!(opacity > 0.0f)) return s;
  s.level = log2_of(opacity);
  if (s.level < LEAST_EXPONENT) return s;
  const float determinant = determinant_of(a, b, c);
  // What is no ellipse may reach every row.
  s.rows.reach = 1e12f;
  if (determinant > 0.0f && c > 0.0f) s.rows = chord_of(a, b, c, determinant, squared_radius(s.level));
  return s;
}

// Blends one splat into the transmittance and returns its weight. A closed pixel has transmittance 0, so that
// nothing changes it any more.
template <class T> SK_LEAF T blend(T alpha, T& transmittance) {
  T weight = transmittance * alpha;
  transmittance -= weight;
  return weight;
}

// Negative bits where a pixel must close before this blend: its transmittance is too low now, yet not 0.
template <class T> SK_LEAF typename Lane<T>::Int must_close(T transmittance) {
  return (transmittance < splat<T>(LEAST_TRANSMITTANCE)) & (transmittance > splat<T>(0.0f));
}

// Undoes one blend, back to front. `inverse` is 1 / (1 - alpha), `value` the splat's features times the pixel's gradient,
// `behind` the same product of all that lies behind. Returns alpha times the gradient to alpha. An alpha of 0 changes nothing, nor
// does anything change a pixel that was closed then: its transmittance and what lies behind are 0.
template <class T> SK_LEAF T unblend(T alpha, T inverse, T value, T& transmittance, T& behind, T& weight) {
  transmittance *= inverse;
  weight = alpha * transmittance;
  T gradient = alpha * (transmittance * value - behind * inverse);
  behind += weight * value;
  return gradient;
}

}  // namespace scenekit
