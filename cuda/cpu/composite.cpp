// Loops of compositing: one pass along each ray; the backward pass walks it forth for the transmittances and
// back for the gradients.
#include "../composite.h"

#include <vector>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int64_t GRAIN = 512;  // rays

struct Samples {
  const float *alphas, *colors, *distances;
  const int64_t* offsets;
  int64_t count, channels;

  int64_t begin(int64_t ray) const { return within(offsets[ray], count); }
  int64_t end(int64_t ray) const { return within(offsets[ray + 1], count); }
};

// C is the number of channels where it is known when this is compiled, else 0.
template <int C> int64_t channels_of(const Samples& samples) { return C ? C : samples.channels; }

struct Pixels {
  float *colors, *opacities, *distances, *weights;
};

template <int C> void composite_ray(const Samples& in, int64_t ray, const Pixels& out) {
  const int64_t channels = channels_of<C>(in), end = in.end(ray);
  float* color = out.colors + channels * ray;
  float sums[C ? C : 1] = {}, opacity = 0.0f, distance = 0.0f, t = 1.0f;
  if (!C)
    for (int64_t c = 0; c < channels; ++c) color[c] = 0.0f;
  int64_t i = in.begin(ray);
  for (; i < end && t >= STOP; ++i) {
    float weight = blend_sample(in.alphas[i], t);
    const float* from = in.colors + channels * i;
    if (C)
      for (int c = 0; c < C; ++c) sums[c] += weight * from[c];
    else
      for (int64_t c = 0; c < channels; ++c) color[c] += weight * from[c];
    opacity += weight;
    distance += weight * in.distances[i];
    out.weights[i] = weight;
  }
  for (; i < end; ++i) out.weights[i] = 0.0f;
  for (int c = 0; c < C; ++c) color[c] = sums[c];
  out.opacities[ray] = opacity;
  out.distances[ray] = distance;
}

template <int C> void composite(const Samples& in, int64_t rays, const Pixels& out) {
  parallel(rays, GRAIN, [=](int64_t begin, int64_t end, int) {
    for (int64_t ray = begin; ray < end; ++ray) composite_ray<C>(in, ray, out);
  });
}

struct Gradients {
  const float *colors, *opacities, *distances, *weights;
  float *for_alphas, *for_colors;
};

template <int C>
void composite_ray_backward(const Samples& in, int64_t ray, const Gradients& g, std::vector<float>& before) {
  const int64_t channels = channels_of<C>(in), begin = in.begin(ray), end = in.end(ray);
  const float* color = g.colors + channels * ray;
  const float opacity = g.opacities[ray], distance = g.distances[ray];
  before.clear();
  float t = 1.0f, behind = 0.0f;
  int64_t stop = begin;
  for (; stop < end && t >= STOP; ++stop) {
    before.push_back(t);
    blend_sample(in.alphas[stop], t);
  }
  for (int64_t i = stop; i < end; ++i) {
    g.for_alphas[i] = 0.0f;
    for (int64_t c = 0; c < channels; ++c) g.for_colors[channels * i + c] = 0.0f;
  }
  for (int64_t i = stop - 1; i >= begin; --i) {
    const float* from = in.colors + channels * i;
    float* to = g.for_colors + channels * i;
    float alpha = in.alphas[i], passed = before[i - begin], weight = passed * alpha;
    float value = g.weights[i] + opacity + distance * in.distances[i];
    for (int64_t c = 0; c < channels; ++c) {
      value += color[c] * from[c];
      to[c] = weight * color[c];
    }
    g.for_alphas[i] = blend_sample_gradient(alpha, value, passed, behind);
  }
}

template <int C> void composite_backward(const Samples& in, int64_t rays, const Gradients& g) {
  parallel(rays, GRAIN, [=](int64_t begin, int64_t end, int) {
    std::vector<float> before;
    for (int64_t ray = begin; ray < end; ++ray) composite_ray_backward<C>(in, ray, g, before);
  });
}

}  // namespace

SCENEKIT_EXPORT void scenekit_composite(const float* alphas, const float* colors, const float* distances,
                                        const int64_t* offsets, int64_t rays, int64_t count, int64_t channels,
                                        float* out_colors, float* out_opacities, float* out_distances,
                                        float* out_weights) {
  Samples in{alphas, colors, distances, offsets, count, channels};
  Pixels out{out_colors, out_opacities, out_distances, out_weights};
  if (channels == 3) composite<3>(in, rays, out);
  else composite<0>(in, rays, out);
}

SCENEKIT_EXPORT void scenekit_composite_backward(const float* color_gradients, const float* opacity_gradients,
                                                 const float* distance_gradients, const float* weight_gradients,
                                                 const float* alphas, const float* colors, const float* distances,
                                                 const int64_t* offsets, int64_t rays, int64_t count,
                                                 int64_t channels, float* for_alphas, float* for_colors) {
  Samples in{alphas, colors, distances, offsets, count, channels};
  Gradients g{color_gradients, opacity_gradients, distance_gradients, weight_gradients, for_alphas, for_colors};
  if (channels == 3) composite_backward<3>(in, rays, g);
  else composite_backward<0>(in, rays, g);
}
