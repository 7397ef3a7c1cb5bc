#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "../rasterize.h"
#include "pool.h"

using namespace scenekit;

namespace {

// The depth order is cut into this many pieces, which count and then fill side by side. A fixed number, so that
// the work is split the same way on every machine.
constexpr int64_t PIECES = 16;

// Where one splat can be seen; its ellipse is described along the columns, u = y.
struct Sight {
  float x, y;
  float half_height;  // of the ellipse; negative: nowhere
  Chord columns;
};

static_assert(sizeof(Sight) == 7 * sizeof(float), "the caller allocates this much per splat");

struct Splats {
  const float *means2d, *conics, *opacities;
  const int32_t* radii;
};

Sight sight_of(const Splats& s, int64_t i) {
  Sight sight = {s.means2d[2 * i], s.means2d[2 * i + 1], -1.0f, {}};
  const float a = s.conics[3 * i], b = s.conics[3 * i + 1], c = s.conics[3 * i + 2], opacity = s.opacities[i];
  const double determinant = (double)a * c - (double)b * b;
  if (s.radii[2 * i] <= 0 || s.radii[2 * i + 1] <= 0 || !(opacity >= LEAST_ALPHA)) return sight;
  if (!(a > 0.0f && c > 0.0f && determinant > 0.0)) return sight;
  // sigma <= ln(255 opacity) bounds the ellipse; twice that is its squared radius.
  const float radius = 2.0f * SLACK * std::log(opacity / LEAST_ALPHA);
  const double height = std::sqrt(radius * a / determinant), width = std::sqrt(radius * c / determinant);
  const float along = 1.0f / a;
  sight.half_height = (float)height;
  sight.columns = {-b * along, radius * along, (float)(determinant * along * along), (float)(-b * width / c)};
  return sight;
}

struct Grid {
  int64_t width, height;  // of the image, in pixels
  int64_t columns() const { return (width + TILE - 1) / TILE; }
  int64_t rows() const { return (height + TILE - 1) / TILE; }
};

// First and last tile along an axis of `size` pixels whose pixel centres can lie in [low, high].
SK_LEAF std::pair<int, int> tiles_between(float low, float high, int64_t size) {
  if (!(low <= (float)size - 0.5f && high >= 0.5f)) return {0, -1};
  int first = (int)std::ceil((max(low, 0.0f) - (TILE - 0.5f)) * (1.0f / TILE));
  int last = (int)((min(high, (float)size) - 0.5f) * (1.0f / TILE));
  int most = (int)((size - 1) / TILE);
  return {first > 0 ? first : 0, last < most ? last : most};
}

// Calls visit(first, last) with the range of tile indices of each row of tiles that the splat reaches.
template <class Visit> SK_LEAF void walk(const Sight& s, const Grid& grid, const Visit& visit) {
  auto [first, last] = tiles_between(s.y - s.half_height, s.y + s.half_height, grid.height);
  for (int row = first; row <= last; ++row) {
    float top = (float)(row * TILE) + 0.5f;
    float bottom = min(top + (TILE - 1), (float)grid.height - 0.5f);
    const Chord& c = s.columns;
    Interval<float> reach = extent(c.slope, c.reach, c.fall, c.apex, top - s.y, bottom - s.y);
    if (!(reach.low <= reach.high)) continue;
    auto [left, right] = tiles_between(s.x + reach.low, s.x + reach.high, grid.width);
    if (left <= right) visit(row * grid.columns() + left, row * grid.columns() + right);
  }
}

// Indices of what can be seen, nearest first and stable; a radix sort on the bits of the depth.
int64_t sort_by_depth(const Sight* sights, int64_t count, const float* depths, int32_t* order) {
  struct Key {
    uint32_t depth;
    int32_t index;
  };
  constexpr int BITS = 11, BUCKETS = 1 << BITS;
  std::vector<Key> keys, other;
  std::vector<int32_t> counts(3 * BUCKETS);
  keys.reserve((size_t)count);
  for (int64_t i = 0; i < count; ++i) {
    if (sights[i].half_height < 0.0f) continue;
    uint32_t bits;
    std::memcpy(&bits, depths + i, sizeof bits);
    bits ^= (bits >> 31) ? 0xffffffffu : 0x80000000u;  // negative numbers count down
    keys.push_back({bits, (int32_t)i});
    for (int pass = 0; pass < 3; ++pass) ++counts[pass * BUCKETS + (bits >> pass * BITS & (BUCKETS - 1))];
  }
  other.resize(keys.size());
  for (int pass = 0; pass < 3; ++pass) {
    int32_t* place = counts.data() + pass * BUCKETS;
    for (int32_t bucket = 0, sum = 0; bucket < BUCKETS; ++bucket) sum += std::exchange(place[bucket], sum);
    for (const Key& key : keys) other[place[key.depth >> pass * BITS & (BUCKETS - 1)]++] = key;
    keys.swap(other);
  }
  for (size_t i = 0; i < keys.size(); ++i) order[i] = keys[i].index;
  return (int64_t)keys.size();
}

// Calls body(counters, splat) for every visible splat of each piece, in depth order; `counters` are the piece's.
template <class Body>
void each_piece(const Sight* sights, const int32_t* order, int64_t visible, int64_t tiles, int32_t* counters,
                const Body& body) {
  parallel(PIECES, 1, [&](int64_t from, int64_t to, int) {
    for (int64_t piece = from; piece < to; ++piece) {
      int64_t end = visible * (piece + 1) / PIECES;
      for (int64_t i = visible * piece / PIECES; i < end; ++i) {
        if (i + 8 < end) __builtin_prefetch(&sights[order[i + 8]]);
        body(counters + piece * tiles, order[i]);
      }
    }
  });
}

}  // namespace

// `sights` [N, 7] is scratch for the fill; `order` [N + 1] receives the depth order and, last, how many of it count;
// `cursors` [pieces, tiles] where each piece of that order starts to write in each tile; `offsets` [tiles + 1] where
// each tile's list starts.
SCENEKIT_EXPORT void scenekit_intersect_count(const float* means2d, const float* conics, const float* opacities,
                                              const int32_t* radii, const float* depths, int64_t count,
                                              int64_t width, int64_t height, float* scratch, int32_t* order,
                                              int32_t* cursors, int64_t* offsets) {
  const Splats splats{means2d, conics, opacities, radii};
  const Grid grid{width, height};
  const int64_t tiles = grid.columns() * grid.rows();
  Sight* sights = reinterpret_cast<Sight*>(scratch);
  parallel(count, 2048, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) sights[i] = sight_of(splats, i);
  });
  int64_t visible = sort_by_depth(sights, count, depths, order);
  order[count] = (int32_t)visible;
  std::memset(cursors, 0, sizeof(int32_t) * (size_t)(PIECES * tiles));
  each_piece(sights, order, visible, tiles, cursors, [&](int32_t* counts, int32_t splat) {
    walk(sights[splat], grid, [counts](int64_t first, int64_t last) {
      for (int64_t tile = first; tile <= last; ++tile) ++counts[tile];
    });
  });
  int64_t sum = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    offsets[tile] = sum;
    for (int64_t piece = 0; piece < PIECES; ++piece)
      sum += std::exchange(cursors[piece * tiles + tile], (int32_t)sum);
  }
  offsets[tiles] = sum;
}

SCENEKIT_EXPORT void scenekit_intersect_fill(const float* scratch, const int32_t* order, int64_t count, int64_t width,
                                             int64_t height, int32_t* cursors, int32_t* gaussians) {
  const Grid grid{width, height};
  const Sight* sights = reinterpret_cast<const Sight*>(scratch);
  each_piece(sights, order, order[count], grid.columns() * grid.rows(), cursors, [&](int32_t* cursor, int32_t splat) {
    walk(sights[splat], grid, [=](int64_t first, int64_t last) {
      for (int64_t tile = first; tile <= last; ++tile) gaussians[cursor[tile]++] = splat;
    });
  });
}
