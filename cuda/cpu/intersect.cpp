#include <cstring>
#include <utility>
#include <vector>

#include "../intersect.h"
#include "pool.h"

using namespace scenekit;

namespace {

// The depth order is cut into this many pieces, which count and then fill side by side. A fixed number, so that
// the work is split the same way on every machine.
constexpr int64_t PIECES = 16;

static_assert(sizeof(Sight) == 7 * sizeof(float), "the caller allocates this much per splat");


// Calls visit(first, last) with the range of tile indices of each row of tiles that the splat reaches.
template <class Visit> SK_LEAF void walk(const Sight& s, const Grid& grid, const Visit& visit) {
  const TileSpan rows = rows_of(s, grid);
  for (int row = rows.first; row <= rows.last; ++row) {
    const TileSpan span = span_of(s, grid, row);
    if (span.first <= span.last) visit(row * grid.columns() + span.first, row * grid.columns() + span.last);
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
SCENEKIT_EXPORT void scenekit_intersect_count(const float* rows, const float* depths, int64_t count, int64_t stride,
                                              int64_t width, int64_t height, float* scratch, int32_t* order,
                                              int32_t* cursors, int64_t* offsets) {
  const Grid grid{(int)width, (int)height};
  const int64_t tiles = grid.tiles();
  Sight* sights = reinterpret_cast<Sight*>(scratch);
  parallel(count, 2048, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) sights[i] = sight_of(rows + stride * i);
  });
  int64_t visible = sort_by_depth(sights, count, depths, order);
  order[count] = (int32_t)visible;
  std::memset(cursors, 0, sizeof(int32_t) * (size_t)(PIECES * tiles));
  each_piece(sights, order, visible, tiles, cursors, [&](int32_t* counts, int32_t splat) {
    walk(sights[splat], grid, [counts](int first, int last) {
      for (int tile = first; tile <= last; ++tile) ++counts[tile];
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
  const Grid grid{(int)width, (int)height};
  const Sight* sights = reinterpret_cast<const Sight*>(scratch);
  each_piece(sights, order, order[count], grid.tiles(), cursors, [&](int32_t* cursor, int32_t splat) {
    walk(sights[splat], grid, [=](int first, int last) {
      for (int tile = first; tile <= last; ++tile) gaussians[cursor[tile]++] = splat;
    });
  });
}
