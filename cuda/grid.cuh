// Kernels that all grids of features share. A thread blends a point at the few neighbouring levels whose features
// fill one 32-byte sector; the gradient of the table goes back by vector reductions, neighbours along x in one where
// they lie together, after lanes of a warp that stand in one cell have added up what they bring.
//
// A `Cell` is one point at one level; D, VERTICES, KEYS and PAIRED (vertices 2j and 2j + 1 are neighbours along x, or
// not) are constants; row[], weight[] (per vertex) and key[] (equal where all rows are) are filled by find(x, level);
// slope(dots, scale, slope) adds the gradient with respect to the point.
//
// Macros: FEATURES of a row, ENTRY 0 for a table of float, 1 of half, 2 of bfloat16.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "lanes.h"
#include "ptx.cuh"
#include "warp.cuh"

namespace scenekit {

#if ENTRY == 0
using Entry = float;
#elif ENTRY == 1
using Entry = __half;
#else
using Entry = __nv_bfloat16;
#endif

constexpr int F = FEATURES;
constexpr int CHUNK = F % 4 == 0 ? 4 : F % 2 == 0 ? 2 : 1;  // features moved at once
constexpr bool TWO_ROWS = F == CHUNK && 2 * F * sizeof(Entry) <= 16;  // in one load
constexpr int SECTOR = 32;
constexpr int GROUP = F * sizeof(Entry) >= SECTOR ? 1 : SECTOR / (F * sizeof(Entry));  // levels of a thread
constexpr int FEWEST_MERGED = 8;  // lanes of a warp that must share a cell before adding up first pays

struct Level {
  float scale;
  unsigned resolution, size, first;
  bool hashed;
};

// `layout` holds five whole numbers a level, the first of which are the bits of the scale.
__device__ __forceinline__ Level level_at(const int* layout, int l) {
  const int* at = layout + 5 * l;
  return {__int_as_float(__ldg(at)), (unsigned)__ldg(at + 1), (unsigned)__ldg(at + 2), (unsigned)__ldg(at + 3),
          __ldg(at + 4) != 0};
}

__device__ __forceinline__ float entry_of(unsigned bits) {
#if ENTRY == 0
  return __uint_as_float(bits);
#elif ENTRY == 1
  return __half2float(__ushort_as_half((unsigned short)bits));
#else
  return __uint_as_float(bits << 16);
#endif
}

__device__ __forceinline__ unsigned bits_of(float x) {
#if ENTRY == 0
  return __float_as_uint(x);
#elif ENTRY == 1
  return __half_as_ushort(__float2half_rn(x));
#else
  return __bfloat16_as_ushort(__float2bfloat16_rn(x));
#endif
}

__device__ __forceinline__ void store_entry(Entry* to, float x) {
#if ENTRY == 0
  *to = x;
#elif ENTRY == 1
  *to = __float2half_rn(x);
#else
  *to = __float2bfloat16_rn(x);
#endif
}

// N entries from a multiple of their bytes, of which there are 2, 4, 8 or 16.
template <int N> __device__ __forceinline__ void load_entries(const Entry* from, float* to) {
  constexpr int BYTES = N * sizeof(Entry), PER_WORD = 4 / sizeof(Entry), WORDS = BYTES < 4 ? 1 : BYTES / 4;
  unsigned word[4];
  if constexpr (BYTES == 16) {
    uint4 all = __ldg((const uint4*)from);
    word[0] = all.x, word[1] = all.y, word[2] = all.z, word[3] = all.w;
  } else if constexpr (BYTES == 8) {
    uint2 all = __ldg((const uint2*)from);
    word[0] = all.x, word[1] = all.y;
  } else if constexpr (BYTES == 4) {
    word[0] = __ldg((const unsigned*)from);
  } else {
    word[0] = __ldg((const unsigned short*)from);
  }
#pragma unroll
  for (int w = 0; w < WORDS; ++w) {
    to[w * PER_WORD] = entry_of(PER_WORD == 2 ? word[w] & 0xffffu : word[w]);
    if constexpr (PER_WORD == 2 && N > 1) to[w * 2 + 1] = entry_of(word[w] >> 16);
  }
}

// GROUP * F entries, the first `count` of which exist; all of them, to a multiple of 16 bytes, if `whole`.
__device__ __forceinline__ void store_entries(const float* from, int count, bool whole, Entry* to) {
  constexpr int N = GROUP * F, PER_WORD = 4 / sizeof(Entry);
  if constexpr (N % (4 * PER_WORD) == 0) {
    if (whole) {
#pragma unroll
      for (int i = 0; i < N; i += 4 * PER_WORD) {
        unsigned word[4];
#pragma unroll
        for (int w = 0; w < 4; ++w) {
          word[w] = bits_of(from[i + w * PER_WORD]);
          if constexpr (PER_WORD == 2) word[w] |= bits_of(from[i + w * 2 + 1]) << 16;
        }
        *(uint4*)(to + i) = make_uint4(word[0], word[1], word[2], word[3]);
      }
      return;
    }
  }
#pragma unroll
  for (int i = 0; i < N; ++i)
    if (i < count) store_entry(to + i, from[i]);
}

// Two neighbouring rows that begin at a multiple of two rows; `odd` where the level itself does not.
__device__ __forceinline__ bool lie_together(unsigned a, unsigned b, unsigned odd) {
  unsigned low = a < b ? a : b;
  return (a < b ? b - a : a - b) == 1 && ((low ^ odd) & 1) == 0;
}

template <class Cell>
__device__ __forceinline__ void blend(const Cell& cell, const Entry* rows, unsigned odd, float* sum) {
  if constexpr (Cell::PAIRED && TWO_ROWS) {
#pragma unroll
    for (int v = 0; v < Cell::VERTICES; v += 2) {
      unsigned a = cell.row[v], b = cell.row[v + 1];
      float both[2 * F], first = cell.weight[v], second = cell.weight[v + 1];
      if (lie_together(a, b, odd)) {
        load_entries<2 * F>(rows + (size_t)(a < b ? a : b) * F, both);
        if (a > b) first = cell.weight[v + 1], second = cell.weight[v];
      } else {
        load_entries<F>(rows + (size_t)a * F, both);
        load_entries<F>(rows + (size_t)b * F, both + F);
      }
#pragma unroll
      for (int f = 0; f < F; ++f) sum[f] += first * both[f] + second * both[F + f];
    }
  } else {
#pragma unroll
    for (int v = 0; v < Cell::VERTICES; ++v) {
#pragma unroll
      for (int c = 0; c < F; c += CHUNK) {
        float part[CHUNK];
        load_entries<CHUNK>(rows + (size_t)cell.row[v] * F + c, part);
#pragma unroll
        for (int f = 0; f < CHUNK; ++f) sum[c + f] += cell.weight[v] * part[f];
      }
    }
  }
}

// Features of point i at the levels of block row blockIdx.y.
template <class Cell>
__device__ void encode(const float* positions, const Entry* table, long long i, int levels, const int* layout,
                       Entry* out) {
  const int first = blockIdx.y * GROUP, width = levels * F;
  float x[Cell::D], sum[GROUP * F] = {};
#pragma unroll
  for (int a = 0; a < Cell::D; ++a) x[a] = __ldg(positions + i * Cell::D + a);
#pragma unroll
  for (int k = 0; k < GROUP; ++k) {
    if (first + k >= levels) break;
    Level level = level_at(layout, first + k);
    Cell cell;
    cell.find(x, level);
    blend(cell, table + (size_t)level.first * F, level.first & 1, sum + k * F);
  }
  bool whole = first + GROUP <= levels && width * sizeof(Entry) % 16 == 0;
  store_entries(sum, (levels - first) * F, whole, out + i * width + first * F);
}

// One vertex's or one pair's share of the table's gradient; `values` per vertex of the cell.
template <class Cell>
__device__ __forceinline__ void add_rows(const Cell& cell, const float (&values)[Cell::VERTICES][CHUNK], unsigned odd,
                                         float* rows) {
#pragma unroll
  for (int v = 0; v < Cell::VERTICES; ++v) {
    float* to = rows + (size_t)cell.row[v] * F;
    if constexpr (Cell::PAIRED && F == CHUNK && F <= 2) {
      if (v % 2 == 1) continue;
      unsigned a = cell.row[v], b = cell.row[v + 1];
      if (lie_together(a, b, odd)) {
        float low[F], high[F];
#pragma unroll
        for (int f = 0; f < F; ++f) {
          low[f] = a < b ? values[v][f] : values[v + 1][f];
          high[f] = a < b ? values[v + 1][f] : values[v][f];
        }
        float* both = rows + (size_t)(a < b ? a : b) * F;
        if constexpr (F == 2) reduce_add4(both, low[0], low[1], high[0], high[1]);
        else reduce_add2(both, low[0], high[0]);
        continue;
      }
      float* other = rows + (size_t)b * F;
      if constexpr (F == 2) reduce_add2(other, values[v + 1][0], values[v + 1][1]);
      else atomicAdd(other, values[v + 1][0]);
    }
    if constexpr (CHUNK == 4) reduce_add4(to, values[v][0], values[v][1], values[v][2], values[v][3]);
    else if constexpr (CHUNK == 2) reduce_add2(to, values[v][0], values[v][1]);
    else atomicAdd(to, values[v][0]);
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

// Which lanes begin a run of one cell; lanes that have no point stand alone.
template <class Cell> __device__ __forceinline__ unsigned run_heads(const Cell& cell, bool active) {
  bool same = lane_index() != 0 && active;
#pragma unroll
  for (int k = 0; k < Cell::KEYS; ++k) same &= __shfl_up_sync(ALL, cell.key[k], 1) == cell.key[k];
  return ~__ballot_sync(ALL, same);
}

// Adds the share of point i, if `active`, to the gradient of the table. All lanes of a warp come here.
template <class Cell>
__device__ void scatter(const Entry* gradient, const float* positions, long long i, bool active, int levels,
                        const int* layout, float* result) {
  const int first = blockIdx.y * GROUP, width = levels * F;
  float x[Cell::D] = {};
  if (active) {
#pragma unroll
    for (int a = 0; a < Cell::D; ++a) x[a] = __ldg(positions + i * Cell::D + a);
  }
#pragma unroll 1
  for (int l = first; l < first + GROUP && l < levels; ++l) {
    Level level = level_at(layout, l);
    Cell cell;
    cell.find(x, level);
    const unsigned heads = run_heads(cell, active);
    const bool merge = 32 - __popc(heads) >= FEWEST_MERGED;
    const bool emit = active && (!merge || (heads >> lane_index() & 1));
#pragma unroll
    for (int c = 0; c < F; c += CHUNK) {
      float g[CHUNK] = {}, values[Cell::VERTICES][CHUNK];
      if (active) load_entries<CHUNK>(gradient + i * width + l * F + c, g);
#pragma unroll
      for (int v = 0; v < Cell::VERTICES; ++v)
#pragma unroll
        for (int f = 0; f < CHUNK; ++f) values[v][f] = cell.weight[v] * g[f];
      if (merge) add_runs<Cell::VERTICES * CHUNK>(&values[0][0], heads);
      if (emit) add_rows(cell, values, level.first & 1, result + (size_t)level.first * F + c);
    }
  }
}

// Gradient with respect to point i.
template <class Cell>
__device__ void slope(const Entry* gradient, const float* positions, const Entry* table, long long i, int levels,
                      const int* layout, float* result) {
  const int width = levels * F;
  float x[Cell::D], sum[Cell::D] = {};
#pragma unroll
  for (int a = 0; a < Cell::D; ++a) x[a] = __ldg(positions + i * Cell::D + a);
#pragma unroll 1
  for (int l = 0; l < levels; ++l) {
    Level level = level_at(layout, l);
    const Entry* rows = table + (size_t)level.first * F;
    Cell cell;
    cell.find(x, level);
    float dots[Cell::VERTICES] = {};
#pragma unroll
    for (int c = 0; c < F; c += CHUNK) {
      float g[CHUNK], part[CHUNK];
      load_entries<CHUNK>(gradient + i * width + l * F + c, g);
#pragma unroll
      for (int v = 0; v < Cell::VERTICES; ++v) {
        load_entries<CHUNK>(rows + (size_t)cell.row[v] * F + c, part);
#pragma unroll
        for (int f = 0; f < CHUNK; ++f) dots[v] += g[f] * part[f];
      }
    }
    cell.slope(dots, level.scale, sum);
  }
#pragma unroll
  for (int a = 0; a < Cell::D; ++a) result[i * Cell::D + a] = sum[a];
}

}  // namespace scenekit
