#include "rasterize_tiles.h"

using namespace scenekit;

namespace {

struct Picture {
  float *features, *opacities, *transmittances;
  int32_t* stops;
};

template <int K> struct Canvas {
  Pixels color[TILE][K], transmittance[TILE];
  Pixels closed[TILE];  // transmittance of closed pixels
  PixelsInt stop[TILE];
};

template <int K> void start(Canvas<K>& canvas, const Panel& panel) {
  const PixelsInt inside = panel.lanes < splat<Pixels>((float)panel.width);
  for (int y = 0; y < TILE; ++y) {
    for (int k = 0; k < K; ++k) canvas.color[y][k] = splat<Pixels>(0.0f);
    canvas.transmittance[y] = select(inside, splat<Pixels>(1.0f), splat<Pixels>(0.0f));
    canvas.closed[y] = splat<Pixels>(0.0f);
    canvas.stop[y] = PixelsInt{} + (int32_t)(panel.end - panel.begin);
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
template <int K>
SK_LEAF uint32_t paint(Canvas<K>& canvas, const Panel& panel, const Splat<K>& s, int i, uint32_t rows) {
  const Pixels least = splat<Pixels>(LEAST_EXPONENT);
  const Profile profile(s, panel.centers - s.x);
  const Pixels origin = splat<Pixels>(s.y - ((float)panel.y + 0.5f));
  uint32_t full = 0;
  do {
    int y = __builtin_ctz(rows);
    rows &= rows - 1;
    Pixels exponent = profile.at(ROWS.of[y] - origin);
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

template <int K> void paint_panel(Canvas<K>& canvas, const Panel& panel, const Splat<K>* splats, const int32_t* list) {
  uint32_t open = (1u << panel.height) - 1, reached[WIDTH];  // rows with an open pixel
  int count = (int)(panel.end - panel.begin);
  for (int i = 0; i < count && open; ++i) {
    if (i % WIDTH == 0) reached_rows(splats, list + i, count - i, panel, reached);
    uint32_t rows = open & reached[i % WIDTH];
    if (rows) open &= ~paint(canvas, panel, splats[list[i]], i, rows);
  }
}

template <int K>
void develop(const Canvas<K>& canvas, const Panel& panel, const Image& image, const Picture& to) {
  for (int y = 0; y < panel.height; ++y) {
    int64_t pixel = (panel.y + y) * image.width + panel.x;
    Pixels transmittance = canvas.transmittance[y] + canvas.closed[y];
    const Pixels opacity = 1.0f - transmittance;
    std::memcpy(to.opacities + pixel, &opacity, sizeof(float) * panel.width);
    std::memcpy(to.transmittances + pixel, &transmittance, sizeof(float) * panel.width);
    std::memcpy(to.stops + pixel, &canvas.stop[y], sizeof(int32_t) * panel.width);
    float* out = to.features + pixel * image.channels;
    for (int x = 0; x < panel.width; ++x)
      for (int k = 0; k < image.channels; ++k) out[x * image.channels + k] = canvas.color[y][k][x];
  }
}

template <int K> void forward(const Inputs& in, const Image& image, const Picture& to) {
  auto splats = pack_all<K>(in);
  const Splat<K>* all = splats.get();
  parallel(image.tiles(), 2, [=](int64_t first, int64_t last, int) {
    for (int64_t index = first; index < last; ++index) {
      for (int part = 0; part < PANELS; ++part) {
        Panel panel(image, index, part);
        if (panel.width <= 0) break;
        Canvas<K> canvas;
        start(canvas, panel);
        paint_panel(canvas, panel, all, image.gaussians + panel.begin);
        develop(canvas, panel, image, to);
      }
    }
  });
}

}  // namespace

SCENEKIT_EXPORT void scenekit_rasterize(const float* rows, const int32_t* gaussians, const int64_t* offsets,
                                        int64_t count, int64_t stride, int64_t channels, int64_t width,
                                        int64_t height, float* features, float* opacities, float* transmittances,
                                        int32_t* stops) {
  Inputs in{rows, count, stride, channels};
  Image image{gaussians, offsets, width, height, channels};
  Picture to{features, opacities, transmittances, stops};
#define arguments (in, image, to)
  SPECIALISE(channels, forward);
#undef arguments
}
