// Grids whose rows hold many features: colours of dense grids, factors of low ranks, planes. Neighbouring lanes take
// neighbouring features of one point, so that rows are read, written and added to in whole sectors, and features, and
// their gradient, stand by point: [count, levels * FEATURES]. A point's cell is found once, by a thread of its own, for
// all lanes that read it from shared memory.
//
// Macros: SIMPLICES, DIMENSIONS, FEATURES and ENTRY as in grid.cu.
#include "cell.cuh"
#include "grid_backward.cuh"

using namespace scenekit;

namespace {

constexpr int LANES = F / CHUNK;  // of a row
constexpr int THREADS = 256, POINTS = 256;
constexpr int STRETCHES = POINTS / WALK, WALKERS = (STRETCHES * LANES + 31) / 32 * 32;
constexpr int SLOPES = 128, GROUP = 8;  // points of a block whose slopes are found, lanes that share one

// The points of a block at one level.
struct Share {
  long long first;
  int held;
  Level level;
};

__device__ __forceinline__ Share share_of(int points, long long count, const int* layout, int level) {
  const long long first = (long long)blockIdx.x * points;
  return {first, first + points < count ? points : (int)(count - first), level_at(layout, level)};
}

__device__ __forceinline__ void find_cell(Cell& cell, const float* positions, const Share& share, int p) {
  float x[Cell::D];
#pragma unroll
  for (int a = 0; a < Cell::D; ++a) x[a] = __ldg(positions + (share.first + p) * Cell::D + a);
  cell.find(x, share.level);
}

// Where a lane's features of the rows of a level are added up.
struct Columns {
  float* rows;
};

__device__ __forceinline__ void add_vertices(const Cell& cell, const float (&sum)[Cell::VERTICES][CHUNK],
                                             unsigned which, const Columns& to) {
#pragma unroll
  for (int v = 0; v < Cell::VERTICES; ++v)
    if (which >> v & 1) add_chunk(to.rows + (size_t)cell.row[v] * F, sum[v]);
}

// Adds to `dots` those of a row of gradients with the rows of a cell, over the features of this lane of GROUP.
__device__ __forceinline__ void add_dots(const Entry* gradient, const Entry* rows, const Cell& cell, float* dots) {
#pragma unroll 1
  for (int f = lane_index() % GROUP * CHUNK; f < F; f += GROUP * CHUNK) {
    float g[CHUNK], part[CHUNK];
    load_entries<CHUNK>(gradient + f, g);
#pragma unroll
    for (int v = 0; v < Cell::VERTICES; ++v) {
      load_entries<CHUNK>(rows + (size_t)cell.row[v] * F + f, part);
#pragma unroll
      for (int k = 0; k < CHUNK; ++k) dots[v] += g[k] * part[k];
    }
  }
}

}  // namespace

// Features at level blockIdx.y.
extern "C" __global__ void __launch_bounds__(THREADS)
    wide_grid(const float* positions, const Entry* table, long long count, long long levels, const int* layout,
              Entry* out) {
  __shared__ Cell cells[POINTS];
  const Share share = share_of(POINTS, count, layout, blockIdx.y);
  if (threadIdx.x < share.held) find_cell(cells[threadIdx.x], positions, share, threadIdx.x);
  __syncthreads();
  const Entry* rows = table + (size_t)share.level.first * F;
  out += (share.first * levels + blockIdx.y) * F;
  for (int e = threadIdx.x; e < share.held * LANES; e += THREADS) {
    const int p = e / LANES, f = e % LANES * CHUNK;
    float sum[CHUNK] = {};
#pragma unroll
    for (int v = 0; v < Cell::VERTICES; ++v) {
      const float weight = cells[p].weight[v];
      float part[CHUNK];
      load_entries<CHUNK>(rows + (size_t)cells[p].row[v] * F + f, part);
#pragma unroll
      for (int k = 0; k < CHUNK; ++k) sum[k] += weight * part[k];
    }
    store_entries<CHUNK>(out + p * levels * F + f, sum);
  }
}

// Adds to the gradient of the table, at level blockIdx.y. The lanes of a row walk one stretch of points.
extern "C" __global__ void __launch_bounds__(WALKERS)
    wide_grid_backward(const Entry* gradient, const float* positions, long long count, long long levels,
                       const int* layout, float* result) {
  __shared__ Cell cells[STRETCHES * STRETCH];
  const Share share = share_of(POINTS, count, layout, blockIdx.y);
  for (int p = threadIdx.x; p < share.held; p += WALKERS)
    find_cell(cells[p / WALK * STRETCH + p % WALK], positions, share, p);
  __syncthreads();
  // Threads behind the last stretch have no points, but come along.
  const int stretch = threadIdx.x / LANES, f = threadIdx.x % LANES * CHUNK, begin = stretch * WALK;
  const int left = stretch < STRETCHES ? share.held - begin : 0;
  const Cell* next = cells + (left > 0 ? stretch * STRETCH : 0);
  const Entry* from = gradient + ((share.first + begin) * levels + blockIdx.y) * F + f;
  const Columns to{result + (size_t)share.level.first * F + f};
  Walk<Cell> way;
  float ahead[CHUNK] = {};
  if (left > 0) load_entries<CHUNK>(from, ahead);
#pragma unroll 1
  for (int k = 0; k < WALK; ++k) {
    float g[CHUNK];
    bool go = false;
#pragma unroll
    for (int n = 0; n < CHUNK; ++n) {
      g[n] = ahead[n];
      go |= g[n] != 0.0f;
      ahead[n] = 0.0f;
    }
    if (k + 1 < WALK && k + 1 < left) load_entries<CHUNK>(from + (k + 1) * levels * F, ahead);
    if (!__any_sync(ALL, go)) continue;
    way.go_to(next[k], go, to);
    if (go) way.take(next[k], g);
  }
  add_vertices(way.cell, way.sum, way.somewhere ? Walk<Cell>::EVERY : 0u, to);
}

// Gradient with respect to the points.
extern "C" __global__ void __launch_bounds__(THREADS)
    wide_grid_slope(const Entry* gradient, const float* positions, const Entry* table, long long count,
                    long long levels, const int* layout, float* result) {
  __shared__ Cell cells[SLOPES];
  __shared__ float slopes[SLOPES * Cell::D];
  for (int e = threadIdx.x; e < SLOPES * Cell::D; e += THREADS) slopes[e] = 0.0f;
#pragma unroll 1
  for (int l = 0; l < (int)levels; ++l) {
    const Share share = share_of(SLOPES, count, layout, l);
    __syncthreads();  // all have read the cells that were there
    if (threadIdx.x < share.held) find_cell(cells[threadIdx.x], positions, share, threadIdx.x);
    __syncthreads();
    const Entry* rows = table + (size_t)share.level.first * F;
#pragma unroll 1
    for (int p = threadIdx.x / GROUP; p < SLOPES; p += THREADS / GROUP) {
      float dots[Cell::VERTICES] = {}, slope[Cell::D] = {};
      if (p < share.held) {
        add_dots(gradient + ((share.first + p) * levels + l) * F, rows, cells[p], dots);
        cells[p].slope(dots, share.level.scale, slope);
      }
#pragma unroll
      for (int a = 0; a < Cell::D; ++a) {
#pragma unroll
        for (int step = GROUP / 2; step > 0; step /= 2) slope[a] += __shfl_xor_sync(ALL, slope[a], step);
        if (lane_index() % GROUP == 0) slopes[p * Cell::D + a] += slope[a];
      }
    }
  }
  __syncthreads();
  const Share share = share_of(SLOPES, count, layout, 0);
  for (int e = threadIdx.x; e < share.held * Cell::D; e += THREADS) result[share.first * Cell::D + e] = slopes[e];
}
