// Tile intersection: Gaussians are walked in the order of their depth, so that only tiles remain to be sorted by.
// Macros: TILE_INDEX, the type of a tile's index; BITS of it that a pass of the sort looks at.
#include "intersect.h"
#include "tile_sort.cuh"

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

// How many pairs were written.
__device__ __forceinline__ long long pairs_in(const long long* needed, long long room) {
  const long long wanted = *needed;
  return wanted < room ? wanted : room;
}

}  // namespace

// Thread r of the blocks, numbered as they begin, writes the pairs of Gaussian order[r] behind those of all before it;
// what lies past `room` is left out, which is the farthest. `rows` are `stride` float4 apart. `said` [1 + blocks], zeros
// before, is what blocks are numbered and their sums are found by; `needed` receives how many pairs there are.
extern "C" __global__ void __launch_bounds__(THREADS)
    intersect_walk(const float4* rows, long long stride, const long long* order, long long count, long long width,
                   long long height, unsigned long long* said, TILE_INDEX* pair_tiles, int* pair_gaussians,
                   long long room, long long* needed) {
  __shared__ int number, sums[WARPS], all;
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
  const int behind = sum_in_block<WARPS>(found, sums);
  if (threadIdx.x == THREADS - 1) all = behind;
  __syncthreads();
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

// How many pairs there are with each digit of each pass: `histograms` [passes, BINS], zeros before.
extern "C" __global__ void __launch_bounds__(SORTERS)
    intersect_histograms(const TILE_INDEX* tiles, const long long* needed, long long room, long long passes,
                         unsigned long long* histograms) {
  __shared__ int counts[4 * BINS];  // of four passes at most
  for (int i = threadIdx.x; i < passes * BINS; i += SORTERS) counts[i] = 0;
  __syncthreads();
  const long long pairs = pairs_in(needed, room);
  for (long long i = (long long)blockIdx.x * SORTERS + threadIdx.x; i < pairs; i += (long long)gridDim.x * SORTERS)
    for (int pass = 0; pass < passes; ++pass) atomicAdd(counts + pass * BINS + digit_of(tiles[i], pass * BITS), 1);
  __syncthreads();
  for (int i = threadIdx.x; i < passes * BINS; i += SORTERS)
    if (counts[i]) atomicAdd(histograms + i, (unsigned long long)counts[i]);
}

// One pass of the sort. `said` [1 + blocks * BINS], zeros before, as in intersect_walk. The last pass writes zeros where
// there is room but no pair.
extern "C" __global__ void __launch_bounds__(SORTERS, 4)
    intersect_sort(const TILE_INDEX* tiles, const int* gaussians, const long long* needed, long long room,
                   long long shift, const long long* histogram, unsigned long long* said, long long last,
                   TILE_INDEX* to_tiles, int* to_gaussians) {
  __shared__ Sorting block;
  if (threadIdx.x == 0) block.number = (int)atomicAdd(said, 1ull);
  for (int i = threadIdx.x; i < SORTING_WARPS * BINS; i += SORTERS) (&block.counts[0][0])[i] = 0;
  __syncthreads();
  const int number = block.number, warp = threadIdx.x / 32;
  const long long begin = (long long)number * SHARE, pairs = pairs_in(needed, room);
  if (last)
    for (long long i = begin + threadIdx.x; i < begin + SHARE && i < room; i += SORTERS)
      if (i >= pairs) to_gaussians[i] = 0;
  if (begin >= pairs) return;
  const int own = pairs - begin < SHARE ? (int)(pairs - begin) : SHARE;
  const int mine = warp * 32 * EACH + lane_index(), there = own - mine;  // pair k of the thread is there if 32 k < there
  TILE_INDEX keys[EACH];
  int ranks[EACH];
#pragma unroll
  for (int k = 0; k < EACH; ++k) keys[k] = there > 32 * k ? tiles[begin + mine + 32 * k] : 0;
  rank_pairs(block, keys, there, (int)shift, ranks);
  __syncthreads();
  place_digits(block, histogram, said + 1, number);
  __syncthreads();
#pragma unroll
  for (int k = 0; k < EACH; ++k) {
    if (there <= 32 * k) continue;
    const int digit = digit_of(keys[k], (int)shift);
    const int place = block.first[digit] + block.counts[warp][digit] + ranks[k];
    block.tiles[place] = keys[k];
    block.gaussians[place] = gaussians[begin + mine + 32 * k];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < own; i += SORTERS) {
    const long long place = i + block.shift[digit_of(block.tiles[i], (int)shift)];
    to_tiles[place] = block.tiles[i];
    to_gaussians[place] = block.gaussians[i];
  }
}

// Where the list of each tile begins among the sorted pairs, and where the last one ends.
extern "C" __global__ void intersect_offsets(const TILE_INDEX* tiles, const long long* needed, long long room,
                                             long long count, long long* offsets) {
  const long long tile = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (tile > count) return;
  long long low = 0, high = pairs_in(needed, room);
  while (low < high) {
    const long long middle = (low + high) / 2;
    if ((long long)tiles[middle] < tile)
      low = middle + 1;
    else
      high = middle;
  }
  offsets[tile] = low;
}
