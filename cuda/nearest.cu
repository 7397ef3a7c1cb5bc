// Nearest points: a query is a thread's; points stand in the order of their cells.
// Macros: DIMENSIONS, 2 or 3; NEAREST, how many of a query's nearest are wanted.
#include "nearest.h"

using namespace scenekit;

namespace {

constexpr int D = DIMENSIONS, K = NEAREST, THREADS = 128;

// `box` is the least of every coordinate, then the greatest.
__device__ __forceinline__ Cells<D> cells_in(const float* box, long long along) {
  float low[D], high[D];
#pragma unroll
  for (int axis = 0; axis < D; ++axis) low[axis] = __ldg(box + axis), high[axis] = __ldg(box + D + axis);
  Cells<D> cells;
  cells.span((int)along, low, high);
  return cells;
}

__device__ __forceinline__ void load(const float* points, long long i, float* x) {
#pragma unroll
  for (int axis = 0; axis < D; ++axis) x[axis] = __ldg(points + i * D + axis);
}

struct Sorted {
  const int* begins;
  const float4* places;  // coordinates, then in the last one's bits the name

  __device__ __forceinline__ int begin(int cell) const { return __ldg(begins + cell); }

  __device__ __forceinline__ int take(int i, float* place) const {
    const float4 at = __ldg(places + i);
    const float all[] = {at.x, at.y, at.z};
#pragma unroll
    for (int axis = 0; axis < D; ++axis) place[axis] = all[axis];
    return __float_as_int(at.w);
  }
};

// The nearest so far, nearest first.
struct Found {
  float distance[K];
  int name[K];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < K; ++i) distance[i] = __int_as_float(0x7f800000), name[i] = i;  // infinitely far
  }

  __device__ __forceinline__ float farthest() const { return distance[K - 1]; }

  __device__ __forceinline__ void offer(float d, int n) {
    if (!comes_before(d, n, distance[K - 1], name[K - 1])) return;
#pragma unroll
    for (int i = K - 1; i >= 0; --i) {
      const bool up = i > 0 && comes_before(d, n, distance[i > 0 ? i - 1 : 0], name[i > 0 ? i - 1 : 0]);
      const bool here = !up && comes_before(d, n, distance[i], name[i]);
      distance[i] = up ? distance[i > 0 ? i - 1 : 0] : here ? d : distance[i];
      name[i] = up ? name[i > 0 ? i - 1 : 0] : here ? n : name[i];
    }
  }
};

}  // namespace

// The cell of every point.
extern "C" __global__ void __launch_bounds__(THREADS)
    nearest_cells(const float* points, long long count, const float* box, long long along, int* cells) {
  const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const Cells<D> grid = cells_in(box, along);
  float x[D];
  int at[D];
  load(points, i, x);
  grid.locate(x, at);
  cells[i] = grid.index(at);
}

// Points in their `order` by cell, of which each thread knows its own: `cells` are in that order too. Where every cell's
// begin, and where the last one's end: `begins` [total + 1].
extern "C" __global__ void __launch_bounds__(THREADS)
    nearest_sorted(const float* points, long long count, const int* cells, const long long* order, long long total,
                   float4* places, int* begins) {
  const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (i > count) return;
  const int before = i == 0 ? -1 : cells[i - 1], own = i == count ? (int)total : cells[i];
  for (int cell = before + 1; cell <= own; ++cell) begins[cell] = (int)i;
  if (i == count) return;
  float x[3] = {};
  load(points, order[i], x);
  places[i] = make_float4(x[0], x[1], x[2], __int_as_float((int)order[i]));
}

extern "C" __global__ void __launch_bounds__(THREADS)
    nearest(const float* queries, long long count, const float* box, long long along, const float4* places,
            const int* begins, long long* names) {
  const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  const Cells<D> cells = cells_in(box, along);
  float query[D];
  load(queries, i, query);
  Found found;
  found.clear();
  find_nearest<D>(cells, Sorted{begins, places}, query, found);
#pragma unroll
  for (int k = 0; k < K; ++k) names[i * K + k] = found.name[k];
}
