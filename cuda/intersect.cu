// Tile intersection: Gaussians are walked in the order of their depth, so that only tiles remain to be sorted by.
#include "intersect.h"
#include "ptx.cuh"
#include "warp.cuh"

using namespace scenekit;

constexpr int THREADS = 256, WARPS = THREADS / 32;
constexpr int TALL = 8;  // rows of tiles above which a whole warp walks a Gaussian

namespace {

// Where a Gaussian's pairs go: from `at` on, before `end`.
struct Pairs {
  TILE_INDEX* tiles;
  int* gaussians;
  long long at, end;

  __device__ __forceinline__ Pairs from_lane(int lane) const {
    return {tiles, gaussians, __shfl_sync(ALL, at, lane), __shfl_sync(ALL, end, lane)};
  }
};

__device__ __forceinline__ int length_of(const TileSpan& span) {
  return span.last < span.first ? 0 : span.last - span.first + 1;
}

__device__ __forceinline__ void write(const TileSpan& span, int row, const Grid& grid, int gaussian, long long at,
                                      const Pairs& to) {
  for (int column = span.first; column <= span.last && at < to.end; ++column, ++at) {
    to.tiles[at] = (TILE_INDEX)(row * grid.columns() + column);
    to.gaussians[at] = gaussian;
  }
}

__device__ __forceinline__ Sight from_lane(const Sight& s, int lane) {
  auto given = [lane](float x) { return __shfl_sync(ALL, x, lane); };
  return {given(s.x), given(s.y), given(s.half_height),
          {given(s.columns.slope), given(s.columns.reach), given(s.columns.fall), given(s.columns.apex)}};
}

// Sum over the lanes up to this one.
__device__ __forceinline__ int running_sum(int x) {
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const int below = __shfl_up_sync(ALL, x, step);
    if (lane_index() >= step) x += below;
  }
  return x;
}

// A row of tiles to each lane; returns how many tiles there are in all, and writes them where that is wanted.
template <bool WRITE>
__device__ __forceinline__ int walk_together(const Sight& s, const TileSpan& rows, const Grid& grid, int gaussian,
                                             const Pairs& to) {
  int total = 0;
  for (int first = rows.first; first <= rows.last; first += 32) {
    const int row = first + lane_index();
    const TileSpan span = row <= rows.last ? span_of(s, grid, row) : TileSpan{0, -1};
    const int own = length_of(span), sum = running_sum(own);
    if (WRITE) write(span, row, grid, gaussian, to.at + total + sum - own, to);
    total += __shfl_sync(ALL, sum, 31);
  }
  return total;
}

// How many tiles this lane's Gaussian reaches, by the whole warp.
template <bool WRITE>
__device__ __forceinline__ int walk(const Sight& sight, const TileSpan& rows, const Grid& grid, int gaussian,
                                    const Pairs& to) {
  const bool tall = rows.last - rows.first >= TALL;
  int found = 0;
  if (!tall) {
    for (int row = rows.first; row <= rows.last; ++row) {
      const TileSpan span = span_of(sight, grid, row);
      if (WRITE) write(span, row, grid, gaussian, to.at + found, to);
      found += length_of(span);
    }
  }
  for (unsigned left = __ballot_sync(ALL, tall); left; left &= left - 1) {
    const int lane = __ffs((int)left) - 1;
    const TileSpan those{__shfl_sync(ALL, rows.first, lane), __shfl_sync(ALL, rows.last, lane)};
    const int whose = __shfl_sync(ALL, gaussian, lane);
    const int all = walk_together<WRITE>(from_lane(sight, lane), those, grid, whose, to.from_lane(lane));
    if (lane_index() == lane) found = all;
  }
  return found;
}

// What a block says to those behind it: nothing, its own sum, or the sum of all up to it; in the two lowest bits which.
constexpr unsigned long long SILENT = 0, OWN = 1, WHOLE = 2;

// The sum over all blocks before `block`, for the block's first warp, which says its own `sum` (Merrill and Garland
// 2016). Blocks before it have begun, so that waiting for them ends.
__device__ __forceinline__ long long sum_before(unsigned long long* said, int block, long long sum) {
  if (lane_index() == 0) publish(said + block, (unsigned long long)sum << 2 | (block == 0 ? WHOLE : OWN));
  long long before = 0;
  for (int last = block - 1; last >= 0; last -= 32) {
    const int other = last - lane_index();
    unsigned long long word = WHOLE;
    if (other >= 0)
      do word = peek(said + other);
      while ((word & 3) == SILENT);
    const unsigned whole = __ballot_sync(ALL, (word & 3) == WHOLE);
    // Those nearer than the first that knows everything before it, and that one.
    const bool counts = !whole || lane_index() < __ffs((int)whole);
    long long part = counts ? (long long)(word >> 2) : 0;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) part += __shfl_xor_sync(ALL, part, step);
    before += part;
    if (whole) break;
  }
  if (block > 0 && lane_index() == 0) publish(said + block, (unsigned long long)(before + sum) << 2 | WHOLE);
  return before;
}

// The sum over the threads of a block up to this one.
__device__ __forceinline__ int sum_in_block(int x, int (&sums)[WARPS], int& all) {
  x = running_sum(x);
  const int warp = threadIdx.x / 32;
  if (lane_index() == 31) sums[warp] = x;
  __syncthreads();
  all = 0;
#pragma unroll
  for (int other = 0; other < WARPS; ++other) {
    if (other == warp) x += all;
    all += sums[other];
  }
  return x;
}

}  // namespace

// Thread r of the blocks, numbered as they begin, writes the pairs of Gaussian order[r] behind those of all before it;
// what lies past `room` is left out, which is the farthest. `rows` are `stride` float4 apart. `said` [1 + blocks], zeros before, is what blocks are
// numbered and their sums are found by; `needed` receives how many pairs there are.
extern "C" __global__ void __launch_bounds__(THREADS)
    intersect_walk(const float4* rows, long long stride, const long long* order, long long count, long long width,
                   long long height, unsigned long long* said, TILE_INDEX* pair_tiles, int* pair_gaussians,
                   long long room, long long* needed) {
  __shared__ int number, sums[WARPS];
  __shared__ long long before;
  if (threadIdx.x == 0) number = (int)atomicAdd(said, 1ull);
  __syncthreads();
  const int block = number;
  const long long place = (long long)block * THREADS + threadIdx.x;
  const Grid grid{(int)width, (int)height};
  const int i = place < count ? (int)order[place] : -1;
  Sight sight{};
  TileSpan reached{0, -1};
  if (i >= 0) {
    const float4 first = rows[stride * i], second = rows[stride * i + 1];
    const float row[] = {first.x, first.y, first.z, first.w, second.x, second.y};
    sight = sight_of(row);
    reached = rows_of(sight, grid);
  }
  const int found = walk<false>(sight, reached, grid, i, {});
  int all;
  const int behind = sum_in_block(found, sums, all);
  if (threadIdx.x < 32) {
    const long long sum = sum_before(said + 1, block, all);
    if (threadIdx.x == 0) before = sum;
  }
  __syncthreads();
  if (threadIdx.x == 0 && ((long long)block + 1) * THREADS >= count) *needed = before + all;
  // No Gaussian writes more than was counted, should the compiler have rounded otherwise here.
  const long long end = before + behind;
  if (before < room)
    walk<true>(sight, reached, grid, i, {pair_tiles, pair_gaussians, end - found, min(end, room)});
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
