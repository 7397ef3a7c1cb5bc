// The gradient of a grid's table, bound by how many additions memory takes. A thread walks WALK points that follow each
// other, at one level, and keeps the sums of the vertices around it in registers: only vertices that it leaves behind
// are added to memory. Where threads of a warp end in one cell, they add up first.
//
// A `Cell`, beside what grid.cuh says, tells whether it is() another, which vertices of another are left_behind() and
// how to carry() sums over; pair_up() puts vertices 2j and 2j + 1 side by side that may lie in one sector.
//
// A lane adds two vertices at once where they lie together. Of other pairs, both lanes of two add the two vertices in
// one instruction, which is one request where they lie in one sector.
#pragma once

#include "grid.cuh"

namespace scenekit {

constexpr int WALK = 16;  // points of a thread
constexpr int FEWEST_MERGED = 8;  // lanes of a warp that must share a cell before adding up first pays
constexpr int STRETCH = WALK | 1;  // places of a thread's points in shared memory, odd: no two lanes in one bank
constexpr unsigned NONE = ~0u;

// To CHUNK floats that begin at a multiple of their bytes.
__device__ __forceinline__ void add_chunk(float* to, const float* values) {
  if constexpr (CHUNK == 4) reduce_add4(to, values[0], values[1], values[2], values[3]);
  else if constexpr (CHUNK == 2) reduce_add2(to, values[0], values[1]);
  else atomicAdd(to, values[0]);
}

// Rows of one level, beginning at some feature.
struct Target {
  float* rows;
  unsigned odd;

  __device__ __forceinline__ void add(unsigned row, const float* values) const {
    if (row != NONE) add_chunk(rows + (size_t)row * F, values);
  }

  // Both in one reduction, if they lie so.
  __device__ __forceinline__ bool add_both(unsigned a, unsigned b, const float* of_a, const float* of_b) const {
    if constexpr (F == CHUNK && F <= 2) {
      if (a == NONE || b == NONE || !lie_together(a, b, odd)) return false;
      float *to = rows + (size_t)(a < b ? a : b) * F, low[F], high[F];
#pragma unroll
      for (int f = 0; f < F; ++f) low[f] = a < b ? of_a[f] : of_b[f], high[f] = a < b ? of_b[f] : of_a[f];
      if constexpr (F == 2) reduce_add4(to, low[0], low[1], high[0], high[1]);
      else reduce_add2(to, low[0], high[0]);
      return true;
    }
    return false;
  }

  // Each lane has two vertices; the even lane's are added first, by both lanes, then the odd lane's.
  __device__ __forceinline__ void exchange(unsigned a, unsigned b, const float* of_a, const float* of_b) const {
    const bool even = lane_index() % 2 == 0;
    const unsigned own = even ? a : b, other = __shfl_xor_sync(ALL, even ? b : a, 1);
    float mine[CHUNK], theirs[CHUNK];
#pragma unroll
    for (int f = 0; f < CHUNK; ++f) {
      mine[f] = even ? of_a[f] : of_b[f];
      theirs[f] = __shfl_xor_sync(ALL, even ? of_b[f] : of_a[f], 1);
    }
#pragma unroll
    for (int turn = 0; turn < 2; ++turn) {
      const bool keep = even == (turn == 0);
      float values[CHUNK];
#pragma unroll
      for (int f = 0; f < CHUNK; ++f) values[f] = keep ? mine[f] : theirs[f];
      add(keep ? own : other, values);
    }
  }
};

// Adds the vertices that have a bit in `which`. All lanes of a warp come here.
template <class Cell>
__device__ __forceinline__ void add_vertices(const Cell& cell, const float (&sum)[Cell::VERTICES][CHUNK],
                                             unsigned which, const Target& target) {
#pragma unroll
  for (int v = 0; v < Cell::VERTICES; v += 2) {
    if (!__any_sync(ALL, which >> v & 3u)) continue;
    unsigned a = which >> v & 1 ? cell.row[v] : NONE, b = NONE;
    if (v + 1 == Cell::VERTICES) {
      target.add(a, sum[v]);
      continue;
    }
    const float *of_a = sum[v], *of_b = sum[v + 1 < Cell::VERTICES ? v + 1 : v];
    if (which >> v & 2) b = cell.row[v + 1 < Cell::VERTICES ? v + 1 : v];
    if (target.add_both(a, b, of_a, of_b)) a = b = NONE;
    target.exchange(a, b, of_a, of_b);
  }
}

// Adds up over runs of lanes in one cell, which begin where `heads` has a bit; the head of a run gets its sum.
template <int N> __device__ __forceinline__ void add_runs(float* values, unsigned heads) {
  const unsigned lane = lane_index();
  const unsigned later = lane == 31 ? 0u : heads & (ALL << (lane + 1));
  const unsigned end = later ? __ffs((int)later) - 1 : 32;
  // As many steps as the longest run needs: `chain` keeps a bit where 2^k lanes in a row are no heads.
  unsigned chain = ~heads;
  for (unsigned step = 1; chain; step *= 2) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
      float other = __shfl_down_sync(ALL, values[n], step);
      if (lane + step < end) values[n] += other;
    }
    chain &= chain >> step;
  }
}

// Which lanes begin a run of one cell; lanes that were nowhere stand alone.
template <class Cell> __device__ __forceinline__ unsigned run_heads(const Cell& cell, bool somewhere) {
  const unsigned all = __ballot_sync(ALL, somewhere), lane = lane_index();
  const bool same = cell.is_that_of_lane_before();
  const bool follows = lane != 0 && somewhere && (all >> (lane - 1) & 1);
  return ~__ballot_sync(ALL, same && follows);
}

// Where a thread is on its way, and what it has for the vertices there.
template <class Cell> struct Walk {
  static constexpr unsigned EVERY = (1u << Cell::VERTICES) - 1;  // vertex

  Cell cell{};
  float sum[Cell::VERTICES][CHUNK] = {};
  bool somewhere = false;

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int v = 0; v < Cell::VERTICES; ++v)
#pragma unroll
      for (int f = 0; f < CHUNK; ++f) sum[v][f] = 0.0f;
  }

  // All lanes of a warp come along; those that do not `go` stay where they are.
  template <class To> __device__ __forceinline__ void go_to(const Cell& next, bool go, const To& target) {
    const bool arrives = go && !(somewhere && next.is(cell)), moves = arrives && somewhere;
    if (__any_sync(ALL, moves)) {
      const unsigned left = moves ? next.left_behind(cell) : 0u;
      add_vertices(cell, sum, left, target);
      if (left == EVERY) clear();
      else if (moves) next.carry(cell, sum);
    }
    if (arrives) cell = next, somewhere = true;
  }

  // Of a point in the cell.
  __device__ __forceinline__ void take(const Cell& point, const float* gradient) {
#pragma unroll
    for (int v = 0; v < Cell::VERTICES; ++v)
#pragma unroll
      for (int f = 0; f < CHUNK; ++f) sum[v][f] += point.weight[v] * gradient[f];
  }

  __device__ __forceinline__ void end(const Target& target) {
    const unsigned heads = run_heads(cell, somewhere);
    const bool merge = 32 - __popc(heads) >= FEWEST_MERGED;
    if (merge) add_runs<Cell::VERTICES * CHUNK>(&sum[0][0], heads);
    const bool adds = somewhere && (!merge || (heads >> lane_index() & 1));
    add_vertices(cell, sum, adds ? EVERY : 0u, target);
  }
};

// The way of this thread at one level and some features; `points` and `gradients` are a thread's stretches in shared
// memory, of `places` in all for each coordinate and feature. Points without gradient are passed by.
template <class Cell>
__device__ void walk(const float* points, const float* gradients, int places, const Level& level, const Target& target) {
  Walk<Cell> way;
#pragma unroll 1
  for (int k = 0; k < WALK; ++k) {
    float x[Cell::D], g[CHUNK];
    bool go = false;
#pragma unroll
    for (int a = 0; a < Cell::D; ++a) x[a] = points[a * places + k];
#pragma unroll
    for (int f = 0; f < CHUNK; ++f) {
      g[f] = gradients[f * places + k];
      go |= g[f] != 0.0f;
    }
    if (!__any_sync(ALL, go)) continue;
    Cell next;
    next.find(x, level);
    next.pair_up();
    way.go_to(next, go, target);
    if (go) way.take(next, g);
  }
  if (__any_sync(ALL, way.somewhere)) way.end(target);
}

}  // namespace scenekit
