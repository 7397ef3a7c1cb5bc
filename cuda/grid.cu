// The multiresolution grids. Features stand by feature, [levels * FEATURES, count]: what threads write together lies
// together, whatever number of levels each of them takes; so does their gradient.
//
// A block takes a level or two of many points, and blocks come level after level: at any time all of them read one
// level, of which coarse ones fit the nearest cache.
//
// Macros: SIMPLICES, whether cells are; DIMENSIONS; FEATURES and ENTRY as in entries.cuh; LANES, of a warp that share a
// point in the forward pass: 2 for cubes, 1 for simplices.
#include "cell.cuh"
#include "grid_backward.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 256;
constexpr int TAKEN = 1024, WALKERS = TAKEN / WALK;  // points and threads of a block in the backward pass
constexpr int PLACES = WALKERS * STRETCH;

__device__ __forceinline__ void load_point(const float* positions, long long i, float* x) {
#pragma unroll
  for (int a = 0; a < Cell::D; ++a) x[a] = __ldg(positions + i * Cell::D + a);
}

__device__ __forceinline__ float load_entry(const Entry* from) {
  float x;
  load_entries<1>(from, &x);
  return x;
}

// Where a point of the block stands among the threads' stretches.
__device__ __forceinline__ int place(int p) { return p / WALK * STRETCH + p % WALK; }

// Adds what lane `side` of a point brings to the features of a level.
__device__ __forceinline__ void blend_part(const float* x, const Level& level, const Entry* table, int side,
                                           float* sum) {
#if LANES == 2
  Cell::Side half;
  half.find(x, level, side);
  blend_side(half, table, level.first, sum);
#else
  Cell cell;
  cell.find(x, level);
  blend(cell, table + (size_t)level.first * F, level.first & 1, sum);
#endif
}

}  // namespace

// Features at LANES levels from blockIdx.y * LANES on, of which each lane of a point ends with one's.
extern "C" __global__ void __launch_bounds__(THREADS)
    grid(const float* positions, const Entry* table, long long count, long long levels, const int* layout, Entry* out) {
  const long long thread = (long long)blockIdx.x * THREADS + threadIdx.x, i = thread / LANES;
  const int side = thread % LANES, first = blockIdx.y * LANES, own = first + side;
  float x[Cell::D], found[LANES][F] = {};
  load_point(positions, i < count ? i : count - 1, x);
#pragma unroll
  for (int k = 0; k < LANES; ++k)
    if (first + k < levels) blend_part(x, level_at(layout, first + k), table, side, found[k]);
#if LANES == 2
#pragma unroll
  for (int f = 0; f < F; ++f) {
    const float low = found[0][f], high = found[1][f];
    found[0][f] = (side ? high : low) + __shfl_xor_sync(ALL, side ? low : high, 1);
  }
#endif
  if (i >= count || own >= levels) return;
#pragma unroll
  for (int f = 0; f < F; ++f) store_entry(out + (own * F + f) * count + i, found[0][f]);
}

// Adds to the gradient of the table.
extern "C" __global__ void __launch_bounds__(WALKERS)
    grid_backward(const Entry* gradient, const float* positions, long long count, const int* layout, float* result) {
  __shared__ float points[Cell::D * PLACES], gradients[CHUNK * PLACES];
  const long long first = (long long)blockIdx.x * TAKEN;
  const int held = first + TAKEN < count ? TAKEN : (int)(count - first);
  const Level level = level_at(layout, blockIdx.y);
  positions += first * Cell::D;
  for (int e = threadIdx.x; e < TAKEN * Cell::D; e += WALKERS)
    points[e % Cell::D * PLACES + place(e / Cell::D)] = e < held * Cell::D ? __ldg(positions + e) : 0.0f;
  for (int c = 0; c < F; c += CHUNK) {
    if (c) __syncthreads();  // all have read what was there
    for (int f = 0; f < CHUNK; ++f) {
      const Entry* from = gradient + ((long long)blockIdx.y * F + c + f) * count + first;
      for (int p = threadIdx.x; p < TAKEN; p += WALKERS)
        gradients[f * PLACES + place(p)] = p < held ? load_entry(from + p) : 0.0f;
    }
    __syncthreads();
    const int at = threadIdx.x * STRETCH;
    const Target target{result + (size_t)level.first * F + c, level.first & 1};
    walk<Cell>(points + at, gradients + at, PLACES, level, target);
  }
}

// Gradient with respect to the points.
extern "C" __global__ void __launch_bounds__(THREADS)
    grid_slope(const Entry* gradient, const float* positions, const Entry* table, long long count, long long levels,
               const int* layout, float* result) {
  const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  float x[Cell::D], sum[Cell::D] = {};
  load_point(positions, i, x);
#pragma unroll 1
  for (int l = 0; l < (int)levels; ++l) {
    const Level level = level_at(layout, l);
    Cell cell;
    cell.find(x, level);
    float dots[Cell::VERTICES] = {};
#pragma unroll
    for (int c = 0; c < F; c += CHUNK) {
      float g[CHUNK], part[CHUNK];
#pragma unroll
      for (int f = 0; f < CHUNK; ++f) g[f] = load_entry(gradient + (l * F + c + f) * count + i);
#pragma unroll
      for (int v = 0; v < Cell::VERTICES; ++v) {
        load_entries<CHUNK>(table + ((size_t)level.first + cell.row[v]) * F + c, part);
#pragma unroll
        for (int f = 0; f < CHUNK; ++f) dots[v] += g[f] * part[f];
      }
    }
    cell.slope(dots, level.scale, sum);
  }
#pragma unroll
  for (int a = 0; a < Cell::D; ++a) result[i * Cell::D + a] = sum[a];
}
