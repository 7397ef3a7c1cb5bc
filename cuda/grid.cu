// The multiresolution grids. Features stand by feature, [levels * FEATURES, count]: what threads write together lies
// together, whatever number of levels each of them takes; so does their gradient.
//
// A block takes few levels of many points, and blocks come level after level: at any time all of them read one level,
// of which coarse ones fit the nearest cache.
//
// Macros: SIMPLICES, whether cells are; DIMENSIONS; FEATURES and ENTRY as in entries.cuh; LANES of a point in the
// forward pass, 1 or 2, and levels TOGETHER of a thread there; WALK and EXCHANGE as in grid_backward.cuh.
#include "cell.cuh"
#include "grid_backward.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 256;
constexpr int WALKERS = WALK <= 4 ? 256 : 1024 / WALK;  // threads of a block in the backward pass
constexpr int TAKEN = WALKERS * WALK;  // points of a block there
constexpr int PLACES = WALKERS * STRETCH;
constexpr int BLENDED = TOGETHER * F;  // features of a point that a thread or two find
constexpr int KEPT = (BLENDED + LANES - 1) / LANES;  // of these, by each

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

// What two lanes found in halves: the even one keeps the sums of the first features, the odd one of the last.
__device__ __forceinline__ void share(const float* found, bool odd, float* kept) {
#pragma unroll
  for (int f = 0; f < KEPT; ++f) {
    const float first = found[f], last = found[BLENDED - KEPT + f];
    kept[f] = (odd ? last : first) + __shfl_xor_sync(ALL, odd ? first : last, 1);
  }
}

// KEPT entries to addresses that are multiples of 16 bytes.
__device__ __forceinline__ void store_vectors(const float* from, Entry* to) {
  constexpr int PER_WORD = 4 / sizeof(Entry);
#pragma unroll
  for (int i = 0; i < KEPT; i += 4 * PER_WORD) {
    unsigned word[4];
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      word[w] = bits_of(from[i + w * PER_WORD]);
      if constexpr (PER_WORD == 2) word[w] |= bits_of(from[i + w * 2 + 1]) << 16;
    }
    *(uint4*)(to + i) = make_uint4(word[0], word[1], word[2], word[3]);
  }
}

}  // namespace

// Features at the levels of block row blockIdx.y; feature f of point i goes to i * of_point + f * of_feature.
extern "C" __global__ void __launch_bounds__(THREADS)
    grid(const float* positions, const Entry* table, long long count, long long levels, const int* layout,
         long long of_point, long long of_feature, Entry* out) {
  const long long thread = (long long)blockIdx.x * THREADS + threadIdx.x, i = thread / LANES;
  const int side = thread % LANES, first = blockIdx.y * TOGETHER;
  float x[Cell::D], found[BLENDED] = {}, kept[KEPT];
  load_point(positions, i < count ? i : count - 1, x);
#pragma unroll
  for (int k = 0; k < TOGETHER; ++k) {
    if (first + k >= levels) break;
    const Level level = level_at(layout, first + k);
#if LANES == 2
    Cell::Side half;
    half.find(x, level, side);
    blend_side(half, table, level.first, found + k * F);
#else
    Cell cell;
    cell.find(x, level);
    blend(cell, table + (size_t)level.first * F, level.first & 1, found + k * F);
#endif
  }
#if LANES == 2
  share(found, side, kept);
#else
  for (int f = 0; f < KEPT; ++f) kept[f] = found[f];
#endif
  if (i >= count) return;
  const int begin = first * F + side * (BLENDED - KEPT), end = (int)levels * F;
  Entry* to = out + i * of_point + begin * of_feature;
  if constexpr (KEPT * sizeof(Entry) % 16 == 0 && BLENDED == LANES * KEPT) {
    if (of_feature == 1 && first + TOGETHER <= levels && end * sizeof(Entry) % 16 == 0) return store_vectors(kept, to);
  }
#pragma unroll
  for (int f = 0; f < KEPT; ++f) {
    const bool twice = side && f < LANES * KEPT - BLENDED;  // the even lane writes the one in the middle
    if (!twice && begin + f < end) store_entry(to + f * of_feature, kept[f]);
  }
}

// Adds to the gradient of the table. Blocks come level after level, or all levels of their points before the next.
extern "C" __global__ void __launch_bounds__(WALKERS)
    grid_backward(const Entry* gradient, const float* positions, long long count, long long levels, const int* layout,
                  long long mixed, float* result) {
  __shared__ float points[Cell::D * PLACES], gradients[CHUNK * PLACES];
  const long long stretches = gridDim.x / levels;
  const int l = (int)(mixed ? blockIdx.x % levels : blockIdx.x / stretches);
  const long long first = (mixed ? blockIdx.x / levels : blockIdx.x % stretches) * TAKEN;
  const int held = first + TAKEN < count ? TAKEN : (int)(count - first);
  const Level level = level_at(layout, l);
  positions += first * Cell::D;
  for (int e = threadIdx.x; e < TAKEN * Cell::D; e += WALKERS)
    points[e % Cell::D * PLACES + place(e / Cell::D)] = e < held * Cell::D ? __ldg(positions + e) : 0.0f;
  for (int c = 0; c < F; c += CHUNK) {
    if (c) __syncthreads();  // all have read what was there
    for (int f = 0; f < CHUNK; ++f) {
      const Entry* from = gradient + (l * F + c + f) * count + first;
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
