// Painting: a block owns a tile, a warp a patch of it, a thread a pixel. Splats that miss a patch cost its warp a bit.
#include "rasterize.cuh"

using namespace scenekit;

constexpr int BATCH = THREADS;

namespace {

struct Pixel {
  float color[CHANNELS];
  float transmittance, closed;  // 0 once closed, and what it was then
  int stop;
};

// Blends splat i of the list into a pixel.
__device__ __forceinline__ void paint(Pixel& pixel, const Paint& p, float x, float y, int i) {
  const float exponent = exponent_at(p, x - p.x, y - p.y);
  if (!(exponent >= LEAST_EXPONENT)) return;
  const float alpha = scenekit::min(exp2_approximate(exponent), MOST_ALPHA), before = pixel.transmittance;
  float weight = blend(alpha, pixel.transmittance);
  if (must_close(pixel.transmittance)) {
    pixel.closed = before;
    pixel.stop = i;
    pixel.transmittance = weight = 0.0f;
  }
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k) pixel.color[k] += weight * p.features[k];
}

// Blends a batch whose first splat is the list's `start`-th.
__device__ __forceinline__ void paint_batch(Pixel& pixel, const Batch<BATCH>& batch, const Patch& patch, int start,
                                            int count) {
  const float x = (float)patch.x + 0.5f, y = (float)patch.y + 0.5f;
  for (int group = 0; group < count; group += 32) {
    if (!__any_sync(WARP, pixel.transmittance > 0.0f)) return;
    for (unsigned left = reaching(batch, group, patch); left; left &= left - 1) {
      const int j = group + __ffs((int)left) - 1;
      paint(pixel, paint_of(batch.splats[j]), x, y, start + j);
    }
  }
}

}  // namespace

// `rows` are `stride` float4 apart.
extern "C" __global__ void __launch_bounds__(256)
    rasterize(const float4* rows, long long stride, const int* gaussians, const long long* offsets, long long width,
              long long height, long long channels, float* image, float* opacities, float* transmittances, int* stops) {
  __shared__ Batch<BATCH> batch;
  const TileOf tile = tile_of(offsets, width);
  const Patch patch = patch_of(tile);
  const bool inside = patch.x < width && patch.y < height;
  const int count = (int)(tile.end - tile.begin);
  Pixel pixel = {{}, inside ? 1.0f : 0.0f, 0.0f, count};
  for (int start = 0; start < count; start += BATCH) {
    // A barrier too: all have done with the batch before.
    if (!__syncthreads_or(pixel.transmittance > 0.0f)) break;
    const int place = start + (int)threadIdx.x;
    fetch(batch, {rows, stride}, gaussians, tile.begin + place, place < count, tile);
    __syncthreads();
    paint_batch(pixel, batch, patch, start, min(count - start, BATCH));
  }
  if (!inside) return;
  const long long at = patch.y * width + patch.x;
  const float transmittance = pixel.transmittance + pixel.closed;
  opacities[at] = 1.0f - transmittance;
  transmittances[at] = transmittance;
  stops[at] = pixel.stop;
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k)
    if (k < channels) image[at * channels + k] = pixel.color[k];
}
