// Leaves of tile intersection: where a splat can be seen, and which tiles of a row that reaches.
#pragma once

#include "rasterize.h"

namespace scenekit {

// Where one splat can be seen; its ellipse is described along the columns, u = y.
struct Sight {
  float x, y;
  float half_height;  // of the ellipse; negative: nowhere
  Chord columns;
};

// Of a splat's row.
SK_LEAF Sight sight_of(const float* row) {
  const float a = row[2], b = row[3], c = row[4], opacity = row[5];
  Sight sight = {row[0], row[1], -1.0f, {}};
  const float determinant = determinant_of(a, b, c);
  if (!(opacity >= LEAST_ALPHA)) return sight;
  if (!(a > 0.0f && c > 0.0f && determinant > 0.0f)) return sight;
  const float radius = squared_radius(log2_of(opacity));
  sight.half_height = sqrt(radius * a * reciprocal(determinant));
  sight.columns = chord_of(c, b, a, determinant, radius);
  return sight;
}

// First and last tile along an axis; none where they are out of order.
struct TileSpan {
  int first, last;
};

// Those of an axis of `size` pixels whose pixel centres can lie in [low, high].
SK_LEAF TileSpan tiles_between(float low, float high, int size) {
  if (!(low <= (float)size - 0.5f && high >= 0.5f)) return {0, -1};
  int first = (int)-floor(((TILE - 0.5f) - max(low, 0.0f)) * (1.0f / TILE));
  int last = (int)((min(high, (float)size) - 0.5f) * (1.0f / TILE));
  int most = (size - 1) / TILE;
  return {first > 0 ? first : 0, last < most ? last : most};
}

struct Grid {
  int width, height;  // of the image, in pixels
  SK_LEAF int columns() const { return (width + TILE - 1) / TILE; }
  SK_LEAF int rows() const { return (height + TILE - 1) / TILE; }
  SK_LEAF int tiles() const { return columns() * rows(); }
};

// Rows of tiles that a splat may reach.
SK_LEAF TileSpan rows_of(const Sight& s, const Grid& grid) {
  return s.half_height < 0.0f ? TileSpan{0, -1} : tiles_between(s.y - s.half_height, s.y + s.half_height, grid.height);
}

// Columns of tiles that a splat reaches in one of those rows: exact, none where it only came near.
SK_LEAF TileSpan span_of(const Sight& s, const Grid& grid, int row) {
  const float top = (float)(row * TILE) + 0.5f, bottom = min(top + (TILE - 1), (float)grid.height - 0.5f);
  const Chord& c = s.columns;
  Interval<float> reach = extent(c.slope, c.reach, c.fall, c.apex, top - s.y, bottom - s.y);
  if (!(reach.low <= reach.high)) return {0, -1};
  return tiles_between(s.x + reach.low, s.x + reach.high, grid.width);
}

}  // namespace scenekit
