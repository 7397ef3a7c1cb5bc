// What both directions of the rasterizer walk over: packed splats, the panels of a tile, the rows a splat reaches.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "../rasterize.h"
#include "pool.h"

namespace scenekit {

// A tile is painted in panels as wide as a vector: one where registers hold a whole row of it, else two or four.
using Pixels = Wide;
using PixelsInt = WideInt;
constexpr int PANELS = TILE / WIDTH;

// What a tile reads of one splat, gathered once per call so that an intersection touches one cache line.
template <int K> struct alignas(64) Splat : Brush {
  float features[K];
};

struct Inputs {
  const float* rows;
  int64_t count, stride, channels;

  const float* row(int64_t i) const { return rows + stride * i; }
};

struct Image {
  const int32_t* gaussians;
  const int64_t* offsets;
  int64_t width, height, channels;
  int64_t columns() const { return (width + TILE - 1) / TILE; }
  int64_t tiles() const { return columns() * ((height + TILE - 1) / TILE); }
};

struct Free {
  void operator()(void* p) const { std::free(p); }
};

template <class S> using Aligned = std::unique_ptr<S[], Free>;

// Memory on a cache line's border, uninitialised.
template <class S> Aligned<S> allocate(int64_t count) {
  return Aligned<S>(static_cast<S*>(std::aligned_alloc(64, sizeof(S) * (size_t)(count > 0 ? count : 1))));
}

template <int K> Splat<K> pack(const Inputs& in, int64_t i) {
  const float* row = in.row(i);
  Splat<K> s{brush_of(row), {}};
  for (int k = 0; k < K; ++k) s.features[k] = k < in.channels ? row[FEATURES + k] : 0.0f;
  return s;
}

template <int K> Aligned<Splat<K>> pack_all(const Inputs& in) {
  auto splats = allocate<Splat<K>>(in.count);
  Splat<K>* out = splats.get();
  parallel(in.count, 2048, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) out[i] = pack<K>(in, i);
  });
  return splats;
}

struct Panel {
  int part;            // which of the tile's
  int64_t x, y;        // its first pixel
  int width, height;   // in pixels, less than a panel's at the image's right and lower border
  int64_t begin, end;  // its splats, front to back
  Pixels lanes, centers;  // of the pixels along x: 0, 1, ..., and their centres

  Panel(const Image& image, int64_t tile, int panel) {
    part = panel;
    x = tile % image.columns() * TILE + part * WIDTH;
    y = tile / image.columns() * TILE;
    width = (int)(image.width - x < WIDTH ? image.width - x : WIDTH);
    height = (int)(image.height - y < TILE ? image.height - y : TILE);
    begin = image.offsets[tile];
    end = image.offsets[tile + 1];
    for (int i = 0; i < WIDTH; ++i) lanes[i] = (float)i;
    centers = lanes + ((float)x + 0.5f);
  }
};

// For a vector of splats at once: bit y is set where the splat can reach row y.
template <int K>
SK_LEAF void reached_rows(const Splat<K>* splats, const int32_t* list, int count, const Panel& panel,
                          uint32_t (&reached)[WIDTH]) {
  Pixels x, y, slope, reach, fall, apex;
  for (int i = 0; i < WIDTH; ++i) {
    const Splat<K>& s = splats[list[i < count ? i : 0]];
    x[i] = s.x, y[i] = s.y;
    slope[i] = s.rows.slope, reach[i] = s.rows.reach, fall[i] = s.rows.fall, apex[i] = s.rows.apex;
  }
  Pixels left = ((float)panel.x + 0.5f) - x, origin = ((float)panel.y + 0.5f) - y;
  Interval<Pixels> v = extent(slope, reach, fall, apex, left, left + (WIDTH - 1.0f));
  Pixels first = max(v.low - origin, splat<Pixels>(0.0f)), last = min(v.high - origin, splat<Pixels>(TILE - 1.0f));
  PixelsInt some = first <= last, low = to_int(first), high = to_int(last);
  low -= to_float(low) < first;  // a comparison that holds is -1
  PixelsInt rows = some & (((PixelsInt{} + 2) << high) - ((PixelsInt{} + 1) << low));
  std::memcpy(reached, &rows, sizeof rows);
}

// The exponent along a row is (yy dy + xy dx) dy + (xx dx^2 + level): two steps a row.
struct Profile {
  Pixels quadratic, linear, constant;
  template <int K> SK_LEAF Profile(const Splat<K>& s, Pixels dx)
      : quadratic(splat<Pixels>(s.yy)), linear(dx * s.xy), constant(dx * dx * s.xx + s.level) {}
  SK_LEAF Pixels at(Pixels dy) const { return (quadratic * dy + linear) * dy + constant; }
};

// Each row's distance from the panel's first, in every lane: cheaper to load than to convert and spread.
struct RowOffsets {
  Pixels of[TILE];
  RowOffsets() {
    for (int y = 0; y < TILE; ++y) of[y] = splat<Pixels>((float)y);
  }
};
inline const RowOffsets ROWS;

// Channel counts between these run in the next larger one, padded with zeros.
#define SPECIALISE(channels, call)          \
  if (channels <= 1) call<1> arguments;      \
  else if (channels <= 3) call<3> arguments; \
  else if (channels <= 4) call<4> arguments; \
  else call<8> arguments

}  // namespace scenekit
