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

struct Splats {
  const float *means2d, *conics, *opacities;
  const int32_t* radii;
  int64_t count, width, height;
  int64_t columns() const { return (width + TILE - 1) / TILE; }
  int64_t rows() const { return (height + TILE - 1) / TILE; }
};

// Squared radius of the visible ellipse, in units of sigma; not positive where alpha stays below the least.
double squared_radius(const Splats& s, int64_t i) {
  if (s.radii[2 * i] <= 0 || s.radii[2 * i + 1] <= 0) return 0.0;
  double a = s.conics[3 * i], b = s.conics[3 * i + 1], c = s.conics[3 * i + 2];
  if (!(a > 0.0 && c > 0.0 && a * c > b * b) || !(s.opacities[i] >= LEAST_ALPHA)) return 0.0;
  return 2.0 * SLACK * std::log((double)s.opacities[i] / LEAST_ALPHA);
}

// First and last tile along an axis of `size` pixels whose pixel centres can lie in [low, high].
SK_LEAF std::pair<int, int> tiles_between(float low, float high, int64_t size) {
  if (!(low <= (float)size - 0.5f && high >= 0.5f)) return {0, -1};
  int first = (int)std::ceil((max(low, 0.0f) - (TILE - 0.5f)) * (1.0f / TILE));
  int last = (int)((min(high, (float)size) - 0.5f) * (1.0f / TILE));
  int most = (int)((size - 1) / TILE);
  return {first > 0 ? first : 0, last < most ? last : most};
}

// Calls visit(first, last) with the range of tile indices of each row of tiles that the splat reaches.
template <class Visit> void walk(const Splats& s, int64_t i, const Visit& visit) {
  double radius = squared_radius(s, i);
  if (!(radius > 0.0)) return;
  double a = s.conics[3 * i], b = s.conics[3 * i + 1], c = s.conics[3 * i + 2], determinant = a * c - b * b;
  float x = s.means2d[2 * i], y = s.means2d[2 * i + 1];
  Chord columns = {(float)(-b / a), (float)(radius / a), (float)(determinant / (a * a)),
                   (float)(-b * std::sqrt(radius / (determinant * c)))};
  float half = (float)std::sqrt(radius * a / determinant);
  auto [first, last] = tiles_between(y - half, y + half, s.height);
  for (int row = first; row <= last; ++row) {
    float top = (float)(row * TILE) + 0.5f;
    float bottom = min(top + (TILE - 1), (float)s.height - 0.5f);
    Interval<float> reach =
        extent(columns.slope, columns.reach, columns.fall, columns.apex, top - y, bottom - y);
    if (!(reach.low <= reach.high)) continue;
    auto [left, right] = tiles_between(x + reach.low, x + reach.high, s.width);
    if (left <= right) visit(row * s.columns() + left, row * s.columns() + right);
  }
}

// Indices of what can be seen, nearest first and stable; a radix sort on the bits of the depth.
int64_t sort_by_depth(const Splats& s, const float* depths, int32_t* order) {
  struct Key {
    uint32_t depth;
    int32_t index;
  };
  constexpr int BITS = 11, BUCKETS = 1 << BITS;
  std::vector<Key> keys, other;
  std::vector<int32_t> counts(3 * BUCKETS);
  keys.reserve((size_t)s.count);
  for (int64_t i = 0; i < s.count; ++i) {
    if (s.radii[2 * i] <= 0 || s.radii[2 * i + 1] <= 0) continue;
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

int64_t piece_begin(int64_t visible, int64_t piece) { return visible * piece / PIECES; }

}  // namespace

// `order` [N + 1] receives the depth order and, last, how many of it count; `cursors` [pieces, tiles] where each
// piece of that order starts to write in each tile; `offsets` [tiles + 1] where each tile's list starts.
SCENEKIT_EXPORT void scenekit_intersect_count(const float* means2d, const float* conics, const float* opacities,
                                              const int32_t* radii, const float* depths, int64_t count,
                                              int64_t width, int64_t height, int32_t* order, int32_t* cursors,
                                              int64_t* offsets) {
  Splats s{means2d, conics, opacities, radii, count, width, height};
  int64_t visible = sort_by_depth(s, depths, order), tiles = s.columns() * s.rows();
  order[count] = (int32_t)visible;
  parallel(PIECES, 1, [&](int64_t from, int64_t to, int) {
    for (int64_t piece = from; piece < to; ++piece) {
      int32_t* counts = cursors + piece * tiles;
      std::memset(counts, 0, sizeof(int32_t) * (size_t)tiles);
      for (int64_t i = piece_begin(visible, piece); i < piece_begin(visible, piece + 1); ++i)
        walk(s, order[i], [counts](int64_t first, int64_t last) {
          for (int64_t tile = first; tile <= last; ++tile) ++counts[tile];
        });
    }
  });
  int64_t sum = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    offsets[tile] = sum;
    for (int64_t piece = 0; piece < PIECES; ++piece)
      sum += std::exchange(cursors[piece * tiles + tile], (int32_t)sum);
  }
  offsets[tiles] = sum;
}

SCENEKIT_EXPORT void scenekit_intersect_fill(const float* means2d, const float* conics, const float* opacities,
                                             const int32_t* radii, const int32_t* order, int64_t count,
                                             int64_t width, int64_t height, int32_t* cursors, int32_t* gaussians) {
  Splats s{means2d, conics, opacities, radii, count, width, height};
  int64_t visible = order[count], tiles = s.columns() * s.rows();
  parallel(PIECES, 1, [&](int64_t from, int64_t to, int) {
    for (int64_t piece = from; piece < to; ++piece) {
      int32_t* cursor = cursors + piece * tiles;
      for (int64_t i = piece_begin(visible, piece); i < piece_begin(visible, piece + 1); ++i) {
        int32_t gaussian = order[i];
        walk(s, gaussian, [=](int64_t first, int64_t last) {
          for (int64_t tile = first; tile <= last; ++tile) gaussians[cursor[tile]++] = gaussian;
        });
      }
    }
  });
}
