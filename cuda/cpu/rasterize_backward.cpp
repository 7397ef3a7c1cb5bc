#include <vector>

#include "rasterize_tiles.h"

using namespace scenekit;

namespace {

constexpr int SLOT = 16;  // floats per intersection: six moments of the pixels' gradients, then the features

#if defined(__AVX512F__)
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

template <int COUNT> SK_LEAF Pixels folded(const Pixels (&v)[COUNT]) {
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

// Adds the sums over lanes of some vectors to an intersection's slot.
template <int COUNT> SK_LEAF void add_sums(const Pixels (&v)[COUNT], float* slot) { *(Pixels*)slot += folded(v); }
#else
constexpr int lane_of_sum(int sum) { return sum; }

template <int COUNT> SK_LEAF void add_sums(const Pixels (&v)[COUNT], float* slot) {
  for (int j = 0; j < COUNT; ++j) {
    float sum = v[j][0];
    for (int i = 1; i < WIDTH; ++i) sum += v[j][i];
    slot[j] += sum;
  }
}
#endif

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
  const float *feature_gradients, *opacity_gradients, *transmittances;
  const int32_t* stops;
};

int greatest_below(PixelsInt stops, int limit) {
  int most = 0;
  for (int x = 0; x < WIDTH; ++x) most = stops[x] <= limit && stops[x] > most ? stops[x] : most;
  return most;
}

template <int K> int start(Negative<K>& n, const Panel& panel, const Image& image, const Saved& saved) {
  int deepest = 0;
  for (int y = 0; y < panel.height; ++y) {
    int64_t pixel = (panel.y + y) * image.width + panel.x;
    n.final[y] = load_row(saved.transmittances + pixel, panel.width);
    n.background[y] = -n.final[y] * load_row(saved.opacity_gradients + pixel, panel.width);
    n.transmittance[y] = n.behind[y] = splat<Pixels>(0.0f);
    n.stop[y] = PixelsInt{};
    std::memcpy(&n.stop[y], saved.stops + pixel, sizeof(int32_t) * panel.width);
    n.deepest[y] = n.next[y] = greatest_below(n.stop[y], INT32_MAX);
    deepest = n.next[y] > deepest ? n.next[y] : deepest;
    const float* in = saved.feature_gradients + pixel * image.channels;
    for (int k = 0; k < K; ++k) n.gradient[y][k] = splat<Pixels>(0.0f);
    for (int x = 0; x < panel.width; ++x)
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

// Undoes splat `i` in the rows given and adds its sums over their pixels to its slot.
template <int K>
SK_LEAF void unpaint(Negative<K>& n, const Panel& panel, const Splat<K>& s, int i, uint32_t rows, float* slot) {
  const Pixels least = splat<Pixels>(LEAST_EXPONENT), zero = splat<Pixels>(0.0f);
  const Pixels dx = panel.centers - s.x;
  const Profile profile(s, dx);
  const Pixels origin = splat<Pixels>(s.y - ((float)panel.y + 0.5f));
  Pixels all[6 + K], *features = all + 6;
  for (Pixels& sum : all) sum = zero;
  do {
    int y = __builtin_ctz(rows);
    rows &= rows - 1;
    if (i >= n.deepest[y]) continue;
    if (__builtin_expect(i < n.next[y], 0)) open(n, y, i);
    Pixels dy = ROWS.of[y] - origin;
    Pixels exponent = profile.at(dy);
    Pixels raw = exp2_bounded(exponent);
    Pixels alpha = select(exponent >= least, min(raw, splat<Pixels>(MOST_ALPHA)), zero);
    Pixels value = n.gradient[y][0] * s.features[0], weight;
    for (int k = 1; k < K; ++k) value += n.gradient[y][k] * s.features[k];
    Pixels g = unblend(alpha, reciprocal(1.0f - alpha), value, n.transmittance[y], n.behind[y], weight);
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
  add_sums(all, slot);
}

template <int K>
void unpaint_panel(const Panel& panel, const Image& image, const Saved& saved, const Splat<K>* splats,
                   const int32_t* slot_of, float* slots) {
  const int32_t* list = image.gaussians + panel.begin;
  Negative<K> negative;
  int deepest = start(negative, panel, image, saved), count = (int)(panel.end - panel.begin);
  uint32_t reached[WIDTH], inside = (1u << panel.height) - 1;
  for (int i = count - 1; i >= 0; --i) {
    float* slot = slots + (int64_t)SLOT * slot_of[panel.begin + i];
    if (panel.part == 0) std::memset(slot, 0, sizeof(float) * SLOT);
    if (i >= deepest) continue;
    if (i % WIDTH == WIDTH - 1 || i == deepest - 1) {
      int first = i / WIDTH * WIDTH;
      reached_rows(splats, list + first, count - first, panel, reached);
    }
    uint32_t rows = inside & reached[i % WIDTH];
    if (rows) unpaint(negative, panel, splats[list[i]], i, rows, slot);
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

// From the sums over pixels of alpha dL/dalpha times 1, dx, dy, dx^2, dx dy, dy^2 to the splat's row.
void conclude(const Inputs& in, int64_t i, const float* total, float* gradient) {
  auto sum = [&](int j) { return total[lane_of_sum(j)]; };
  const float* row = in.row(i);
  const float a = row[2], b = row[3], c = row[4], opacity = row[5];
  float* out = gradient + in.stride * i;
  out[0] = a * sum(1) + b * sum(2);
  out[1] = b * sum(1) + c * sum(2);
  out[2] = -0.5f * sum(3);
  out[3] = -sum(4);
  out[4] = -0.5f * sum(5);
  out[5] = opacity > 0.0f ? sum(0) / opacity : 0.0f;
  for (int k = 0; k < in.channels; ++k) out[FEATURES + k] = sum(FEATURES + k);
  for (int64_t k = FEATURES + in.channels; k < in.stride; ++k) out[k] = 0.0f;
}

template <int K> void backward(const Inputs& in, const Image& image, const Saved& saved, float* gradient) {
  auto splats = pack_all<K>(in);
  std::vector<int32_t> first;
  std::vector<int32_t> slot_of = arrange(image, in.count, first);
  auto slots = allocate<float>(SLOT * (int64_t)slot_of.size());
  const Splat<K>* all = splats.get();
  const int32_t *positions = slot_of.data(), *starts = first.data();
  float* memory = slots.get();
  parallel(image.tiles(), 2, [=](int64_t from, int64_t to, int) {
    for (int64_t index = from; index < to; ++index) {
      for (int part = 0; part < PANELS; ++part) {
        Panel panel(image, index, part);
        if (panel.width > 0) unpaint_panel<K>(panel, image, saved, all, positions, memory);
      }
    }
  });
  parallel(in.count, 2048, [=](int64_t from, int64_t to, int) {
    for (int64_t i = from; i < to; ++i) {
      alignas(64) float total[SLOT] = {};
      for (int64_t slot = starts[i]; slot < starts[i + 1]; ++slot)
        for (int j = 0; j < SLOT; ++j) total[j] += memory[SLOT * slot + j];
      conclude(in, i, total, gradient);
    }
  });
}

}  // namespace

SCENEKIT_EXPORT void scenekit_rasterize_backward(const float* image_gradient, const float* opacity_gradient,
                                                 const float* rows, const int32_t* gaussians, const int64_t* offsets,
                                                 const float* transmittances, const int32_t* stops, int64_t count,
                                                 int64_t stride, int64_t channels, int64_t width, int64_t height,
                                                 float* gradient) {
  Inputs in{rows, count, stride, channels};
  Image from{gaussians, offsets, width, height, channels};
  Saved saved{image_gradient, opacity_gradient, transmittances, stops};
#define arguments (in, from, saved, gradient)
  SPECIALISE(channels, backward);
#undef arguments
}
