#include "../rasterize.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "pool.h"

using namespace scenekit;

namespace {

using Pixels = float_x16;
using PixelsInt = int_x16;

// What a tile reads of one splat, gathered once per call so that an intersection touches one cache line.
// The exponent of alpha, in base 2, is level + xx dx^2 + xy dx dy + yy dy^2.
template <int K> struct alignas(64) Splat {
  float x, y, xx, xy, yy, level;
  Chord rows;
  float features[K];
};

struct Inputs {
  const float *means2d, *conics, *opacities, *features;
  int64_t count, channels;
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
  Splat<K> s;
  s.x = in.means2d[2 * i];
  s.y = in.means2d[2 * i + 1];
  double a = in.conics[3 * i], b = in.conics[3 * i + 1], c = in.conics[3 * i + 2], opacity = in.opacities[i];
  s.xx = (float)(a * (-0.5 * LOG2_E));
  s.xy = (float)(b * -(double)LOG2_E);
  s.yy = (float)(c * (-0.5 * LOG2_E));
  s.level = opacity > 0.0 ? (float)std::log2(opacity) : -1000.0f;
  // sigma <= ln(255 opacity) bounds the visible ellipse; twice that is its squared radius.
  double radius = 2.0 * (s.level - (double)LEAST_EXPONENT) / LOG2_E * SLACK, determinant = a * c - b * b;
  bool ellipse = radius > 0.0 && determinant > 0.0 && c > 0.0;
  s.rows = ellipse ? Chord{(float)(-b / c), (float)(radius / c), (float)(determinant / (c * c)),
                           (float)(-b * std::sqrt(radius / (determinant * a)))}
                   : Chord{0.0f, radius > 0.0 ? 1e12f : -1.0f, 0.0f, 0.0f};  // no ellipse: every row, or none
  for (int k = 0; k < K; ++k) s.features[k] = k < in.channels ? in.features[i * in.channels + k] : 0.0f;
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

constexpr Pixels LANES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

struct Tile {
  int64_t x, y;        // its first pixel
  int width, height;   // in pixels, less than TILE at the image's right and lower border
  int64_t begin, end;  // its splats, front to back
  Pixels centers;         // x of the pixel centres

  Tile(const Image& image, int64_t index) {
    x = index % image.columns() * TILE;
    y = index / image.columns() * TILE;
    width = (int)(image.width - x < TILE ? image.width - x : TILE);
    height = (int)(image.height - y < TILE ? image.height - y : TILE);
    begin = image.offsets[index];
    end = image.offsets[index + 1];
    centers = LANES + ((float)x + 0.5f);
  }
};

// For sixteen splats of a tile at once: bit y is set where the splat can reach row y.
template <int K>
SK_LEAF void reached_rows(const Splat<K>* splats, const int32_t* list, int count, const Tile& tile,
                          uint32_t (&reached)[16]) {
  Pixels x, y, slope, reach, fall, apex;
  for (int i = 0; i < 16; ++i) {
    const Splat<K>& s = splats[list[i < count ? i : 0]];
    x[i] = s.x, y[i] = s.y;
    slope[i] = s.rows.slope, reach[i] = s.rows.reach, fall[i] = s.rows.fall, apex[i] = s.rows.apex;
  }
  Pixels left = ((float)tile.x + 0.5f) - x, origin = ((float)tile.y + 0.5f) - y;
  Interval<Pixels> v = extent(slope, reach, fall, apex, left, left + (TILE - 1.0f));
  Pixels first = max(v.low - origin, splat<Pixels>(0.0f)), last = min(v.high - origin, splat<Pixels>(TILE - 1.0f));
  PixelsInt some = first <= last, low = to_int(first), high = to_int(last);
  low -= to_float(low) < first;  // a comparison that holds is -1
  PixelsInt rows = some & (((PixelsInt{} + 2) << high) - ((PixelsInt{} + 1) << low));
  std::memcpy(reached, &rows, sizeof rows);
}

SK_LEAF PixelsInt lanes_below(int width) { return LANES < splat<Pixels>((float)width); }

// The exponent along a row is (yy dy + xy dx) dy + (xx dx^2 + level): two steps a row.
struct Profile {
  Pixels quadratic, linear, constant;
  template <int K> SK_LEAF Profile(const Splat<K>& s, Pixels dx)
      : quadratic(splat<Pixels>(s.yy)), linear(dx * s.xy), constant(dx * dx * s.xx + s.level) {}
  SK_LEAF Pixels at(Pixels dy) const { return (quadratic * dy + linear) * dy + constant; }
};

// Each row's distance from the tile's first, in every lane: cheaper to load than to convert and spread.
#define ROW(y) {y, y, y, y, y, y, y, y, y, y, y, y, y, y, y, y}
constexpr Pixels ROWS[TILE] = {ROW(0), ROW(1), ROW(2),  ROW(3),  ROW(4),  ROW(5),  ROW(6),  ROW(7),
                               ROW(8), ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15)};
#undef ROW

template <int K> struct Canvas {
  Pixels color[TILE][K], transmittance[TILE];
  Pixels closed[TILE];  // transmittance of closed pixels
  PixelsInt stop[TILE];
};

template <int K> void start(Canvas<K>& canvas, const Tile& tile) {
  for (int y = 0; y < TILE; ++y) {
    for (int k = 0; k < K; ++k) canvas.color[y][k] = splat<Pixels>(0.0f);
    canvas.transmittance[y] = select(lanes_below(tile.width), splat<Pixels>(1.0f), splat<Pixels>(0.0f));
    canvas.closed[y] = splat<Pixels>(0.0f);
    canvas.stop[y] = PixelsInt{} + (int32_t)(tile.end - tile.begin);
  }
}

// Takes splat `i` back from the pixels of row y that must close before it; whether any stays open.
template <int K>
__attribute__((noinline)) bool close(Canvas<K>& canvas, int y, int i, Pixels before, Pixels& weight) {
  Pixels& transmittance = canvas.transmittance[y];
  PixelsInt closing = must_close(transmittance);
  canvas.closed[y] = select(closing, before, canvas.closed[y]);
  canvas.stop[y] = closing ? PixelsInt{} + i : canvas.stop[y];
  weight = select(closing, splat<Pixels>(0.0f), weight);
  transmittance = select(closing, splat<Pixels>(0.0f), transmittance);
  return any_lane(transmittance > splat<Pixels>(0.0f));
}

// Blends splat `i` into the rows given; returns those that have no open pixel left.
template <int K> SK_LEAF uint32_t paint(Canvas<K>& canvas, const Tile& tile, const Splat<K>& s, int i, uint32_t rows) {
  const Pixels least = splat<Pixels>(LEAST_EXPONENT);
  const Profile profile(s, tile.centers - s.x);
  const Pixels origin = splat<Pixels>(s.y - ((float)tile.y + 0.5f));
  uint32_t full = 0;
  do {
    int y = __builtin_ctz(rows);
    rows &= rows - 1;
    Pixels exponent = profile.at(ROWS[y] - origin);
    Pixels alpha = min(exp2_bounded(exponent), splat<Pixels>(MOST_ALPHA));
    alpha = select(exponent >= least, alpha, splat<Pixels>(0.0f));
    Pixels before = canvas.transmittance[y];
    Pixels weight = blend(alpha, canvas.transmittance[y]);
    if (__builtin_expect(any_lane(must_close(canvas.transmittance[y])), 0))
      full |= (uint32_t)!close(canvas, y, i, before, weight) << y;
    for (int k = 0; k < K; ++k) canvas.color[y][k] += weight * s.features[k];
  } while (rows);
  return full;
}

template <int K> void paint_tile(Canvas<K>& canvas, const Tile& tile, const Splat<K>* splats, const int32_t* list) {
  uint32_t open = (1u << tile.height) - 1, reached[16];  // rows with an open pixel
  int count = (int)(tile.end - tile.begin);
  for (int i = 0; i < count && open; ++i) {
    if (i % 16 == 0) reached_rows(splats, list + i, count - i, tile, reached);
    uint32_t rows = open & reached[i % 16];
    if (rows) open &= ~paint(canvas, tile, splats[list[i]], i, rows);
  }
}

template <int K>
void develop(const Canvas<K>& canvas, const Tile& tile, const Image& image, float* features, float* transmittances,
             int32_t* stops) {
  for (int y = 0; y < tile.height; ++y) {
    int64_t pixel = (tile.y + y) * image.width + tile.x;
    Pixels transmittance = canvas.transmittance[y] + canvas.closed[y];
    std::memcpy(transmittances + pixel, &transmittance, sizeof(float) * tile.width);
    std::memcpy(stops + pixel, &canvas.stop[y], sizeof(int32_t) * tile.width);
    float* out = features + pixel * image.channels;
    for (int x = 0; x < tile.width; ++x)
      for (int k = 0; k < image.channels; ++k) out[x * image.channels + k] = canvas.color[y][k][x];
  }
}

template <int K>
void forward(const Inputs& in, const Image& image, float* features, float* transmittances, int32_t* stops) {
  auto splats = pack_all<K>(in);
  const Splat<K>* all = splats.get();
  parallel(image.tiles(), 2, [=](int64_t first, int64_t last, int) {
    for (int64_t index = first; index < last; ++index) {
      Tile tile(image, index);
      Canvas<K> canvas;
      start(canvas, tile);
      paint_tile(canvas, tile, all, image.gaussians + tile.begin);
      develop(canvas, tile, image, features, transmittances, stops);
    }
  });
}

// ---- gradients ----

constexpr int SLOT = 16;  // floats per intersection: six moments of the pixels' gradients, then the features

// Pairs of vectors become one: lanes are added at half the distance each time, so that sixteen vectors end as
// their sixteen sums. Sum 4j + b ends in lane 4b + j.
SK_LEAF Pixels fold8(Pixels u, Pixels v) {
  return __builtin_shuffle(u, v, PixelsInt{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23}) +
         __builtin_shuffle(u, v, PixelsInt{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31});
}
SK_LEAF Pixels fold4(Pixels u, Pixels v) {
  return __builtin_shuffle(u, v, PixelsInt{0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27}) +
         __builtin_shuffle(u, v, PixelsInt{4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31});
}
SK_LEAF Pixels fold2(Pixels u, Pixels v) {
  return __builtin_shuffle(u, v, PixelsInt{0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29}) +
         __builtin_shuffle(u, v, PixelsInt{2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31});
}
SK_LEAF Pixels fold1(Pixels u, Pixels v) {
  return __builtin_shuffle(u, v, PixelsInt{0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30}) +
         __builtin_shuffle(u, v, PixelsInt{1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31});
}
constexpr int lane_of_sum(int sum) { return 4 * (sum % 4) + sum / 4; }

template <int COUNT> SK_LEAF Pixels sums(const Pixels (&v)[COUNT]) {
  const Pixels zero = splat<Pixels>(0.0f);
  auto four = [&](int i) __attribute__((always_inline)) {
    auto at = [&](int j) __attribute__((always_inline)) { return j < COUNT ? v[j < COUNT ? j : 0] : zero; };
    Pixels left = fold8(at(i), at(i + 1));
    return i + 2 < COUNT ? fold4(left, fold8(at(i + 2), at(i + 3))) : fold4(left, zero);
  };
  Pixels low = fold2(four(0), COUNT > 4 ? four(4) : zero);
  if (COUNT <= 8) return fold1(low, zero);
  return fold1(low, fold2(four(8), COUNT > 12 ? four(12) : zero));
}

// A canvas on its way back. Pixels are closed (transmittance and behind 0) until their stop is reached.
template <int K> struct Negative {
  Pixels gradient[TILE][K], transmittance[TILE], behind[TILE];
  Pixels final[TILE], background[TILE];  // what the two are when a pixel opens
  PixelsInt stop[TILE];
  int deepest[TILE], next[TILE];  // the row's greatest stop, and the greatest of those still closed
};

SK_LEAF Pixels load_row(const float* from, int width) {
  Pixels row = splat<Pixels>(0.0f);
  std::memcpy(&row, from, sizeof(float) * width);
  return row;
}

struct Saved {
  const float *feature_gradients, *transmittance_gradients, *transmittances;
  const int32_t* stops;
};

int greatest_below(PixelsInt stops, int limit) {
  int most = 0;
  for (int x = 0; x < TILE; ++x) most = stops[x] <= limit && stops[x] > most ? stops[x] : most;
  return most;
}

template <int K> int start(Negative<K>& n, const Tile& tile, const Image& image, const Saved& saved) {
  int deepest = 0;
  for (int y = 0; y < tile.height; ++y) {
    int64_t pixel = (tile.y + y) * image.width + tile.x;
    n.final[y] = load_row(saved.transmittances + pixel, tile.width);
    n.background[y] = n.final[y] * load_row(saved.transmittance_gradients + pixel, tile.width);
    n.transmittance[y] = n.behind[y] = splat<Pixels>(0.0f);
    n.stop[y] = PixelsInt{};
    std::memcpy(&n.stop[y], saved.stops + pixel, sizeof(int32_t) * tile.width);
    n.deepest[y] = n.next[y] = greatest_below(n.stop[y], INT32_MAX);
    deepest = n.next[y] > deepest ? n.next[y] : deepest;
    const float* in = saved.feature_gradients + pixel * image.channels;
    for (int k = 0; k < K; ++k) n.gradient[y][k] = splat<Pixels>(0.0f);
    for (int x = 0; x < tile.width; ++x)
      for (int k = 0; k < image.channels; ++k) n.gradient[y][k][x] = in[x * image.channels + k];
  }
  return deepest;
}

// Opens the pixels of row y whose stop lies behind splat `i`.
template <int K> __attribute__((noinline)) void open(Negative<K>& n, int y, int i) {
  PixelsInt opening = (n.stop[y] > i) & (n.stop[y] <= n.next[y]);
  n.transmittance[y] = select(opening, n.final[y], n.transmittance[y]);
  n.behind[y] = select(opening, n.background[y], n.behind[y]);
  n.next[y] = greatest_below(n.stop[y], i);
}

// Undoes splat `i` in the rows given and returns its sums over their pixels.
template <int K> SK_LEAF Pixels unpaint(Negative<K>& n, const Tile& tile, const Splat<K>& s, int i, uint32_t rows) {
  const Pixels least = splat<Pixels>(LEAST_EXPONENT), zero = splat<Pixels>(0.0f);
  const Pixels dx = tile.centers - s.x;
  const Profile profile(s, dx);
  const Pixels origin = splat<Pixels>(s.y - ((float)tile.y + 0.5f));
  Pixels all[6 + K], *features = all + 6;
  for (Pixels& sum : all) sum = zero;
  do {
    int y = __builtin_ctz(rows);
    rows &= rows - 1;
    if (i >= n.deepest[y]) continue;
    if (__builtin_expect(i < n.next[y], 0)) open(n, y, i);
    Pixels dy = ROWS[y] - origin;
    Pixels exponent = profile.at(dy);
    Pixels raw = exp2_bounded(exponent);
    Pixels alpha = select(exponent >= least, min(raw, splat<Pixels>(MOST_ALPHA)), zero);
    Pixels value = n.gradient[y][0] * s.features[0], weight;
    for (int k = 1; k < K; ++k) value += n.gradient[y][k] * s.features[k];
    Pixels g = unblend(alpha, value, n.transmittance[y], n.behind[y], weight);
    for (int k = 0; k < K; ++k) features[k] += weight * n.gradient[y][k];
    g = select(raw <= splat<Pixels>(MOST_ALPHA), g, zero);
    all[0] += g;
    g *= dy;
    all[2] += g;
    all[5] += g * dy;
  } while (rows);
  all[1] = all[0] * dx;
  all[3] = all[1] * dx;
  all[4] = all[2] * dx;
  return sums(all);
}

template <int K>
void unpaint_tile(const Tile& tile, const Image& image, const Saved& saved, const Splat<K>* splats,
                  const int32_t* slot_of, float* slots) {
  const int32_t* list = image.gaussians + tile.begin;
  slot_of += tile.begin;
  Negative<K> negative;
  int deepest = start(negative, tile, image, saved), count = (int)(tile.end - tile.begin);
  uint32_t reached[16], inside = (1u << tile.height) - 1;
  for (int i = count - 1; i >= 0; --i) {
    Pixels total = splat<Pixels>(0.0f);
    if (i < deepest) {
      if (i % 16 == 15 || i == deepest - 1)
        reached_rows(splats, list + i / 16 * 16, count - i / 16 * 16, tile, reached);
      uint32_t rows = inside & reached[i % 16];
      if (rows) total = unpaint(negative, tile, splats[list[i]], i, rows);
    }
    *(Pixels*)(slots + (int64_t)SLOT * slot_of[i]) = total;
  }
}

// Where each intersection writes: a Gaussian's slots are neighbours, in the order of the tiles.
std::vector<int32_t> arrange(const Image& image, int64_t count, std::vector<int32_t>& first) {
  int64_t intersections = image.offsets[image.tiles()];
  first.assign((size_t)count + 2, 0);
  int32_t* next = first.data() + 1;
  for (int64_t i = 0; i < intersections; ++i) ++next[image.gaussians[i] + 1];
  for (int64_t g = 0; g < count; ++g) next[g + 1] += next[g];
  std::vector<int32_t> slot((size_t)intersections);
  for (int64_t i = 0; i < intersections; ++i) slot[i] = next[image.gaussians[i]]++;
  return slot;
}

struct Gradients {
  float *means2d, *conics, *opacities, *features;
};

// From the sums over pixels of alpha dL/dalpha times 1, dx, dy, dx^2, dx dy, dy^2 to the splat's parameters.
void conclude(const Inputs& in, int64_t i, const Pixels& total, const Gradients& out) {
  auto sum = [&](int j) { return total[lane_of_sum(j)]; };
  const float* conic = in.conics + 3 * i;
  out.means2d[2 * i] = conic[0] * sum(1) + conic[1] * sum(2);
  out.means2d[2 * i + 1] = conic[1] * sum(1) + conic[2] * sum(2);
  out.conics[3 * i] = -0.5f * sum(3);
  out.conics[3 * i + 1] = -sum(4);
  out.conics[3 * i + 2] = -0.5f * sum(5);
  out.opacities[i] = in.opacities[i] > 0.0f ? sum(0) / in.opacities[i] : 0.0f;
  for (int k = 0; k < in.channels; ++k) out.features[in.channels * i + k] = sum(6 + k);
}

template <int K> void backward(const Inputs& in, const Image& image, const Saved& saved, const Gradients& out) {
  auto splats = pack_all<K>(in);
  std::vector<int32_t> first;
  std::vector<int32_t> slot_of = arrange(image, in.count, first);
  auto slots = allocate<float>(SLOT * (int64_t)slot_of.size());
  const Splat<K>* all = splats.get();
  const int32_t *positions = slot_of.data(), *starts = first.data();
  float* memory = slots.get();
  parallel(image.tiles(), 2, [=](int64_t from, int64_t to, int) {
    for (int64_t index = from; index < to; ++index)
      unpaint_tile<K>(Tile(image, index), image, saved, all, positions, memory);
  });
  parallel(in.count, 2048, [=](int64_t from, int64_t to, int) {
    for (int64_t i = from; i < to; ++i) {
      Pixels total = splat<Pixels>(0.0f);
      for (int64_t slot = starts[i]; slot < starts[i + 1]; ++slot) total += *(const Pixels*)(memory + SLOT * slot);
      conclude(in, i, total, out);
    }
  });
}

}  // namespace

// Channel counts between these run in the next larger one, padded with zeros.
#define SPECIALISE(channels, call)          \
  if (channels <= 1) call<1> arguments;      \
  else if (channels <= 3) call<3> arguments; \
  else if (channels <= 4) call<4> arguments; \
  else call<8> arguments

SCENEKIT_EXPORT void scenekit_rasterize(const float* means2d, const float* conics, const float* opacities,
                                        const float* features, const int32_t* gaussians, const int64_t* offsets,
                                        int64_t count, int64_t channels, int64_t width, int64_t height,
                                        float* image, float* transmittances, int32_t* stops) {
  Inputs in{means2d, conics, opacities, features, count, channels};
  Image to{gaussians, offsets, width, height, channels};
#define arguments (in, to, image, transmittances, stops)
  SPECIALISE(channels, forward);
#undef arguments
}

SCENEKIT_EXPORT void scenekit_rasterize_backward(
    const float* image_gradient, const float* transmittance_gradient, const float* means2d, const float* conics,
    const float* opacities, const float* features, const int32_t* gaussians, const int64_t* offsets,
    const float* transmittances, const int32_t* stops, int64_t count, int64_t channels, int64_t width,
    int64_t height, float* means2d_gradient, float* conics_gradient, float* opacities_gradient,
    float* features_gradient) {
  Inputs in{means2d, conics, opacities, features, count, channels};
  Image from{gaussians, offsets, width, height, channels};
  Saved saved{image_gradient, transmittance_gradient, transmittances, stops};
  Gradients out{means2d_gradient, conics_gradient, opacities_gradient, features_gradient};
#define arguments (in, from, saved, out)
  SPECIALISE(channels, backward);
#undef arguments
}
