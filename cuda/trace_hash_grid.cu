// Pictures of a grid in one pass: march, encode, density, transmittance, colour, nothing written between them. A block
// follows TILE rays at once, one sample of each in a round; all its threads then encode the samples and take them
// through the networks. A ray that is done makes room for the next one that any block has left. What a ray sees does
// not depend on which rays it was followed with.
//
// Macros: SIMPLICES, whether cells are; DEGREE of the harmonics; FEATURES of a row.
#define DIMENSIONS 3
#define ENTRY 0
#include "cell.cuh"
#include "composite.h"
#include "march.cuh"
#include "mlp.cuh"
#include "spherical_harmonics.h"
#include "trace.h"

using namespace scenekit;

namespace {

struct Rays {
  const float *origins, *directions, *near, *far, *jitter;
  long long count, max_samples;
};

struct Pixels {
  float *colors, *opacities, *distances;
  long long* samples;
};

// What a thread knows of the ray that it follows.
struct Follower {
  RayMarch march;
  long long ray = -1, taken = 0, lit = 0;
  float light = 1.0f, opacity = 0.0f, distance = 0.0f, color[3] = {};
};

__device__ void write(const Follower& f, const Pixels& pixels) {
  for (int c = 0; c < 3; ++c) pixels.colors[3 * f.ray + c] = f.color[c];
  pixels.opacities[f.ray] = f.opacity;
  pixels.distances[f.ray] = f.distance;
  pixels.samples[f.ray] = f.lit;
}

// The next sample of this ray or of the first further one that has any; false where no ray is left.
__device__ bool advance(Follower& f, const Rays& rays, const StepRule& rule, const CellBits& bits,
                        unsigned long long* next, const Pixels& pixels, float* shading, int feature_count,
                        float& distance, float& delta) {
  for (;;) {
    if (f.ray >= 0) {
      if (f.light >= STOP && f.taken < rays.max_samples && next_sample(rule, bits, f.march, distance, delta)) {
        ++f.taken;
        return true;
      }
      write(f, pixels);
      f.ray = -1;
    }
    const long long r = (long long)atomicAdd(next, 1ull);
    if (r >= rays.count) return false;
    f = Follower{};
    f.ray = r;
    const float* d = rays.directions + 3 * r;
    if (!enter_march(rule, bits.cascades, rays.origins + 3 * r, d, rays.near[r], rays.far[r], rays.jitter[r],
                     f.march)) {
      f.taken = rays.max_samples;  // written as it is
      continue;
    }
    const int row = threadIdx.x;
    sh_basis<float>(d[0], d[1], d[2], DEGREE, [=](int k, float value) {
      shading[slot(feature_count + k, row)] = value;
    });
  }
}

// Features of the samples at `points` (three channels), by all threads.
__device__ void encode_tile(const float* points, const float* table, int levels, const int* layout, float* to) {
  const int row = threadIdx.x % TILE;
  const float x[3] = {points[slot(0, row)], points[slot(1, row)], points[slot(2, row)]};
  for (int l = threadIdx.x / TILE; l < levels; l += MLP_THREADS / TILE) {
    const Level level = level_at(layout, l);
    float sum[F] = {};
    Cell cell;
    cell.find(x, level);
    blend(cell, table + (size_t)level.first * F, level.first & 1, sum);
    for (int f = 0; f < F; ++f) to[slot(l * F + f, row)] = sum[f];
  }
  __syncthreads();
}

// Through all layers, the last of which goes to `result`; `first` and `second` are free.
__device__ void through(const Network& net, const float* values, float* first, float* second, float* result) {
  const float* weights = net.forward;
  for (int l = 0; l < net.layers; ++l) {
    const int in = net.width(l), out = net.width(l + 1);
    if (l + 1 == net.layers) {
      layer_forward(values, in, weights, out, Plain{}, result);
    } else {
      layer_forward(values, in, weights, out, Rectified{}, first);
      values = first;
      first = second;
      second = (float*)values;
    }
    weights += in * padded(out);
  }
}

}  // namespace

// `next` begins as 0. `room`: channels of each of the two buffers; `shading_room`: of the colour network's inputs.
extern "C" __global__ void __launch_bounds__(MLP_THREADS)
    trace_hash_grid(const float* origins, const float* directions, const float* near, const float* far,
                    const float* jitter, long long count, long long max_samples, const Word* fine, const Word* coarse,
                    long long cascades, long long grid, const float* rule_numbers, long long rule_size, const float* table, long long levels, const int* layout,
                    const long long* density_widths, long long density_layers, const float* density,
                    const long long* color_widths, long long color_layers, const float* color, float log_density,
                    float per_side, long long contracted, long long shaded, long long room, long long shading_room,
                    unsigned long long* next, float* colors, float* opacities, float* distances, long long* samples) {
  SK_DYNAMIC_SHARED(float, memory);
  const Rays rays{origins, directions, near, far, jitter, count, max_samples};
  const Pixels pixels{colors, opacities, distances, samples};
  const StepRule rule = step_rule(rule_numbers, rule_size);
  const CellBits bits = cell_bits(fine, coarse, cascades, grid);
  const Network of_density{(int)density_layers, density_widths, density, nullptr};
  const Network of_color{(int)color_layers, color_widths, color, nullptr};
  float *first = memory, *second = first + room * TILE, *shading = second + room * TILE;
  float* points = shading + shading_room * TILE;
  const bool follows = threadIdx.x < TILE;
  const int row = threadIdx.x % TILE, feature_count = of_density.width(of_density.layers);
  if (follows)
    for (int k = 0; k < shading_room + 4; ++k) shading[slot(k, row)] = 0.0f;  // and points
  __syncthreads();
  Follower f;
  for (;;) {
    float distance = 0.0f, delta = 0.0f;
    bool has = follows && advance(f, rays, rule, bits, next, pixels, shading, feature_count, distance, delta);
    if (has) {
      float p[3];
      for (int a = 0; a < 3; ++a) p[a] = f.march.ray.origin[a] + f.march.ray.direction[a] * distance;
      field_position<float>(p, contracted, per_side);
      for (int a = 0; a < 3; ++a) points[slot(a, row)] = p[a];
    }
    if (!__syncthreads_or(has)) return;
    encode_tile(points, table, (int)levels, layout, first);
    through(of_density, first, second, first, shading);
    float weight = 0.0f;
    if (has) {
      weight = blend_sample(step_alpha<float>(shading[slot(0, row)] + log_density, delta), f.light);
      f.opacity += weight;
      f.distance += weight * distance;
      ++f.lit;
    }
    const bool seen = shaded && weight > INVISIBLE;
    if (!__syncthreads_or(seen)) continue;
    through(of_color, shading, first, second, points);
    if (seen)
      for (int c = 0; c < 3; ++c) f.color[c] += weight * sigmoid<float>(points[slot(c, row)]);
    __syncthreads();  // before the next samples' points go there
  }
}
