// Tile intersection: Gaussians are walked in the order of their depth, so that only tiles remain to be sorted by.
#include "intersect.h"

using namespace scenekit;

constexpr unsigned WARP = 0xffffffffu;
constexpr int TALL = 8;  // rows of tiles above which a whole warp walks a Gaussian

namespace {

struct Splats {
  const float *means2d, *conics, *opacities;
  const int* radii;
};

// Where a Gaussian's pairs go, before `end`; nowhere while they are only counted.
struct Pairs {
  TILE_INDEX* tiles;
  int* gaussians;
  long long end;
};

__device__ __forceinline__ Sight sight_at(const Splats& s, long long i) {
  const float* conic = s.conics + 3 * i;
  return sight_of(s.means2d[2 * i], s.means2d[2 * i + 1], conic[0], conic[1], conic[2], s.opacities[i],
                  s.radii[2 * i], s.radii[2 * i + 1]);
}

__device__ __forceinline__ int emit(const TileSpan& span, int row, const Grid& grid, int gaussian, long long at,
                                    const Pairs& to) {
  if (to.tiles) {
    for (int column = span.first; column <= span.last && at < to.end; ++column, ++at) {
      to.tiles[at] = (TILE_INDEX)(row * grid.columns() + column);
      to.gaussians[at] = gaussian;
    }
  }
  return span.last < span.first ? 0 : span.last - span.first + 1;
}

__device__ __forceinline__ Sight from_lane(const Sight& s, int lane) {
  auto given = [lane](float x) { return __shfl_sync(WARP, x, lane); };
  return {given(s.x), given(s.y), given(s.half_height),
          {given(s.columns.slope), given(s.columns.reach), given(s.columns.fall), given(s.columns.apex)}};
}

// A row of tiles to each lane; returns how many tiles there are in all.
__device__ __forceinline__ int walk_together(const Sight& s, const TileSpan& rows, const Grid& grid, int gaussian,
                                             long long at, const Pairs& to) {
  const int lane = threadIdx.x % 32;
  int total = 0;
  for (int first = rows.first; first <= rows.last; first += 32) {
    const int row = first + lane;
    const TileSpan span = row <= rows.last ? span_of(s, grid, row) : TileSpan{0, -1};
    const int own = span.last < span.first ? 0 : span.last - span.first + 1;
    int sum = own;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int below = __shfl_up_sync(WARP, sum, step);
      if (lane >= step) sum += below;
    }
    emit(span, row, grid, gaussian, at + total + sum - own, to);
    total += __shfl_sync(WARP, sum, 31);
  }
  return total;
}

}  // namespace

// Without `ends` counts the tiles of each Gaussian; with it writes them: thread r takes Gaussian order[r], whose pairs
// end before ends[r]; those past `room` are left out, which are the farthest. One kernel for both, so that both find the
// same tiles to the last bit.
extern "C" __global__ void intersect_walk(const float* means2d, const float* conics, const float* opacities,
                                          const int* radii, long long count, long long width, long long height,
                                          const long long* order, const long long* ends, int* counts,
                                          TILE_INDEX* pair_tiles, int* pair_gaussians, long long room) {
  const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const Grid grid{(int)width, (int)height};
  const Splats splats{means2d, conics, opacities, radii};
  const long long i = thread >= count ? -1 : ends ? order[thread] : thread;
  const long long at = i < 0 || !ends || thread == 0 ? 0 : ends[thread - 1];
  const Pairs to{pair_tiles, pair_gaussians, i < 0 || !ends ? 0 : min(room, ends[thread])};
  Sight sight{};
  TileSpan rows{0, -1};
  if (i >= 0) {
    sight = sight_at(splats, i);
    rows = rows_of(sight, grid);
  }
  const bool tall = rows.last - rows.first >= TALL;
  int found = 0;
  if (!tall)
    for (int row = rows.first; row <= rows.last; ++row)
      found += emit(span_of(sight, grid, row), row, grid, (int)i, at + found, to);
  for (unsigned left = __ballot_sync(WARP, tall); left; left &= left - 1) {
    const int lane = __ffs((int)left) - 1;
    const TileSpan those{__shfl_sync(WARP, rows.first, lane), __shfl_sync(WARP, rows.last, lane)};
    const int gaussian = __shfl_sync(WARP, (int)i, lane);
    const long long start = __shfl_sync(WARP, at, lane);
    const Pairs there{to.tiles, to.gaussians, __shfl_sync(WARP, to.end, lane)};
    const int all = walk_together(from_lane(sight, lane), those, grid, gaussian, start, there);
    if ((int)threadIdx.x % 32 == lane) found = all;
  }
  if (i >= 0 && counts) counts[i] = found;
}

// `tiles` are sorted, `places` say where each was before; thread p writes the p-th entry of the lists, and where the
// lists of all tiles begin that lie after its predecessor's, up to its own. Pairs of no tile stand behind all others.
extern "C" __global__ void intersect_lists(const TILE_INDEX* tiles, const long long* places, const int* unsorted,
                                           long long pairs, long long tile_count, int* gaussians,
                                           long long* offsets) {
  const long long p = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (p > pairs) return;
  const long long before = p == 0 ? -1 : tiles[p - 1], own = p == pairs ? tile_count : tiles[p];
  for (long long tile = before + 1; tile <= own; ++tile) offsets[tile] = p;
  if (p < pairs) gaussians[p] = own == tile_count ? 0 : unsorted[places[p]];
}
