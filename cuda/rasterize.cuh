// What both directions of the rasterizer do on a GPU: tiles, the splats they fetch and the warps that share them.
// CHANNELS is a macro: 1, 3, 4 or 8; between these the next larger one serves, padded with zeros.
#pragma once

#include "ptx.cuh"
#include "rasterize.h"
#include "warp.cuh"

namespace scenekit {

constexpr int THREADS = TILE * TILE, WARPS = THREADS / 32;
constexpr unsigned WARP = 0xffffffffu;
// A warp owns a patch of the tile; there are two patches side by side, four above one another.
constexpr int PATCH_WIDTH = 8, PATCH_HEIGHT = 4;
// Of a splat's row, and of a splat in shared memory: x, y, xx, xy, yy, level, features.
constexpr int VECTORS = (FEATURES + CHANNELS + 3) / 4;

struct TileOf {
  int x, y;              // its first pixel
  long long begin, end;  // its splats, front to back
};

__device__ __forceinline__ TileOf tile_of(const long long* offsets, long long width) {
  const long long tile = blockIdx.x, columns = (width + TILE - 1) / TILE;
  return {(int)(tile % columns) * TILE, (int)(tile / columns) * TILE, offsets[tile], offsets[tile + 1]};
}

struct Patch {
  int warp, lane, x, y;  // the thread's pixel
};

__device__ __forceinline__ Patch patch_of(const TileOf& tile) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  return {warp, lane, tile.x + warp % 2 * PATCH_WIDTH + lane % PATCH_WIDTH,
          tile.y + warp / 2 * PATCH_HEIGHT + lane / PATCH_WIDTH};
}

// Bit w is set where the splat can reach the patch of warp w.
__device__ __forceinline__ unsigned reached_patches(float x, float y, const Chord& chord, const TileOf& tile) {
  unsigned patches = 0;
  const float top = (float)tile.y + 0.5f - y;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float left = (float)(tile.x + half * PATCH_WIDTH) + 0.5f - x;
    const Interval<float> v = extent(chord.slope, chord.reach, chord.fall, chord.apex, left, left + (PATCH_WIDTH - 1));
#pragma unroll
    for (int row = 0; row < TILE / PATCH_HEIGHT; ++row) {
      const float first = top + row * PATCH_HEIGHT, last = first + (PATCH_HEIGHT - 1);
      if (v.low <= v.high && v.low <= last && v.high >= first) patches |= 1u << (2 * row + half);
    }
  }
  return patches;
}

// The splats of a tile come to shared memory in batches of SIZE, by its first SIZE threads.
template <int SIZE> struct Batch {
  float4 splats[SIZE][VECTORS];
  unsigned char patches[SIZE];
};

// Rows `stride` float4 apart.
struct Rows {
  const float4* first;
  long long stride;

  __device__ __forceinline__ const float4* row(int gaussian) const { return first + stride * gaussian; }
};

// Entry `place` of the list `gaussians`, where there is one; the others reach nothing.
template <int SIZE>
__device__ __forceinline__ void fetch(Batch<SIZE>& batch, const Rows& rows, const int* gaussians, long long place,
                                      bool some, const TileOf& tile) {
  const int slot = threadIdx.x;
  if (slot >= SIZE) return;
  unsigned patches = 0;
  if (some) {
    const float4* from = rows.row(gaussians[place]);
    const float4 first = from[0], second = from[1];
    const float row[] = {first.x, first.y, first.z, first.w, second.x, second.y};
    const Brush b = brush_of(row);
    batch.splats[slot][0] = make_float4(b.x, b.y, b.xx, b.xy);
    batch.splats[slot][1] = make_float4(b.yy, b.level, second.z, second.w);
#pragma unroll
    for (int v = 2; v < VECTORS; ++v) batch.splats[slot][v] = from[v];
    patches = reached_patches(b.x, b.y, b.rows, tile);
  }
  batch.patches[slot] = (unsigned char)patches;
}

// Which of the 32 splats from `group` on reach this warp's patch.
template <int SIZE>
__device__ __forceinline__ unsigned reaching(const Batch<SIZE>& batch, int group, const Patch& patch) {
  return __ballot_sync(WARP, batch.patches[group + patch.lane] >> patch.warp & 1);
}

// A splat as read by all lanes at once.
struct Paint {
  float x, y, xx, xy, yy, level;
  float features[4 * VECTORS - FEATURES];
};

__device__ __forceinline__ Paint paint_of(const float4 (&splat)[VECTORS]) {
  float all[4 * VECTORS];
#pragma unroll
  for (int v = 0; v < VECTORS; ++v) {
    const float4 four = splat[v];
    all[4 * v] = four.x, all[4 * v + 1] = four.y, all[4 * v + 2] = four.z, all[4 * v + 3] = four.w;
  }
  Paint p = {all[0], all[1], all[2], all[3], all[4], all[5], {}};
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k) p.features[k] = all[FEATURES + k];
  return p;
}

// In base 2, of alpha. Every rounding is spelt out: both directions must agree on which alphas are skipped.
__device__ __forceinline__ float exponent_at(const Paint& p, float dx, float dy) {
  return __fmaf_rn(__fmaf_rn(p.yy, dy, p.xy * dx), dy, __fmaf_rn(dx * dx, p.xx, p.level));
}

}  // namespace scenekit
