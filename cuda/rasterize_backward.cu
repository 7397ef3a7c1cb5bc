// Undoing a picture, back to front: a block owns a tile, a warp a patch of it.
//
// A warp turns its lanes twice. While they are pixels, each undoes the splats that reach the patch and leaves, for
// CHUNK of them, its gradient and weight in shared memory; then they are splats, and each adds up what the pixels left
// for it, in registers. No sum over lanes is taken splat by splat, and one vector reduction per splat and patch goes to
// memory.
#include "rasterize.cuh"

using namespace scenekit;

constexpr int CHUNK = 16;                         // half a warp's lanes: each half adds up half of the pixels
constexpr int BATCH = CHANNELS > 4 ? 64 : 128;    // keeps a block below 48 KiB of shared memory
constexpr int GRADIENT = (CHANNELS + 3) / 4 * 4;  // floats of a pixel's gradient in shared memory

namespace {

struct Block {
  Batch<BATCH> batch;
  float2 left[WARPS][CHUNK][33];        // alpha dL/dalpha and weight, by splat and pixel
  float gradients[WARPS][32][GRADIENT];  // to the colours of the pixels
  int deepest;                          // of all stops
};

// A pixel on its way back.
struct Pixel {
  float gradient[CHANNELS];
  float x, y, transmittance, behind;
  int stop;
};

struct Saved {
  const float *image_gradient, *opacity_gradient, *transmittances;
  const int* stops;
  long long width, height, channels;
};

// Where the gradients of a patch go: added to a Gaussian's row of `sums`, which are as far apart as the rows themselves,
// or alone in row 8 place + warp of `slots`, place being that of the intersection.
struct Totals {
  float4 *sums, *slots;
};

__device__ __forceinline__ Pixel pixel_at(const Saved& saved, const Patch& patch, float (&shared)[GRADIENT]) {
  Pixel pixel = {{}, (float)patch.x + 0.5f, (float)patch.y + 0.5f, 0.0f, 0.0f, 0};
  if (patch.x < saved.width && patch.y < saved.height) {
    const long long at = patch.y * saved.width + patch.x;
    pixel.transmittance = saved.transmittances[at];
    pixel.behind = -pixel.transmittance * saved.opacity_gradient[at];
    pixel.stop = saved.stops[at];
#pragma unroll
    for (int k = 0; k < CHANNELS; ++k)
      if (k < saved.channels) pixel.gradient[k] = saved.image_gradient[at * saved.channels + k];
  }
#pragma unroll
  for (int k = 0; k < GRADIENT; ++k) shared[k] = k < CHANNELS ? pixel.gradient[k < CHANNELS ? k : 0] : 0.0f;
  return pixel;
}

// Undoes a splat with this exponent: alpha dL/dalpha and the weight.
__device__ __forceinline__ float2 unpaint(Pixel& pixel, const Paint& p, float exponent) {
  const float raw = exp2_approximate(exponent);
  float value = 0.0f, weight;
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k) value += pixel.gradient[k] * p.features[k];
  const float alpha = scenekit::min(raw, MOST_ALPHA), inverse = reciprocal_approximate(1.0f - alpha);
  const float gradient = unblend(alpha, inverse, value, pixel.transmittance, pixel.behind, weight);
  return make_float2(raw <= MOST_ALPHA ? gradient : 0.0f, weight);
}

// Adds up, over the pixels of half a patch, what they left for one splat: six moments, then features.
__device__ __forceinline__ void add_up(const float2 (&left)[33], const float (&gradients)[32][GRADIENT], int half,
                                       float dx, float dy, float (&total)[4 * VECTORS]) {
#pragma unroll 1
  for (int r = 0; r < PATCH_HEIGHT / 2; ++r) {
    float g = 0.0f, gx = 0.0f, gxx = 0.0f;
    const float along = dy + (float)r;
#pragma unroll
    for (int c = 0; c < PATCH_WIDTH; ++c) {
      const int pixel = half * 16 + r * PATCH_WIDTH + c;
      const float2 of = left[pixel];
      const float moment = of.x * (dx + (float)c);
      g += of.x;
      gx += moment;
      gxx += moment * (dx + (float)c);
#pragma unroll
      for (int k = 0; k < CHANNELS; ++k) total[FEATURES + k] += of.y * gradients[pixel][k];
    }
    total[0] += g;
    total[1] += gx;
    total[2] += g * along;
    total[3] += gxx;
    total[4] += gx * along;
    total[5] += g * along * along;
  }
}

// From the sums over pixels of alpha dL/dalpha times 1, dx, dy, dx^2, dx dy, dy^2 to the gradient of the splat's row,
// which begins with `first` and `second`.
__device__ __forceinline__ void conclude(const float4& first, const float4& second, float (&sum)[4 * VECTORS]) {
  const float a = first.z, b = first.w, c = second.x, opacity = second.y;
  const float own[FEATURES] = {a * sum[1] + b * sum[2], b * sum[1] + c * sum[2], -0.5f * sum[3], -sum[4],
                               -0.5f * sum[5],          opacity > 0.0f ? sum[0] / opacity : 0.0f};
#pragma unroll
  for (int k = 0; k < FEATURES; ++k) sum[k] = own[k];
}

// The lanes become splats: CHUNK of them in each half of the warp, of which `count` are there. `place` is that of the
// lane's own in the tile's list.
__device__ __forceinline__ void conclude_chunk(const Block& block, const Rows& rows, const int* list,
                                               const TileOf& tile, const Patch& patch, int place, int count,
                                               const Totals& to) {
  __syncwarp();
  const int half = patch.lane / CHUNK, j = patch.lane % CHUNK;
  const int first_x = patch.x - patch.lane % PATCH_WIDTH, first_y = patch.y - patch.lane / PATCH_WIDTH;
  float total[4 * VECTORS] = {};
  float4 first{}, second{};
  int gaussian = 0;
  if (j < count) {
    gaussian = list[tile.begin + place];
    const float4* row = rows.row(gaussian);
    first = row[0], second = row[1];
    add_up(block.left[patch.warp][j], block.gradients[patch.warp], half, (float)first_x + 0.5f - first.x,
           (float)(first_y + half * (PATCH_HEIGHT / 2)) + 0.5f - first.y, total);
  }
#pragma unroll
  for (int k = 0; k < FEATURES + CHANNELS; ++k) total[k] += __shfl_xor_sync(WARP, total[k], CHUNK);
  if (j < count) {
    conclude(first, second, total);
    float4* sums = to.slots ? to.slots + ((tile.begin + place) * WARPS + patch.warp) * rows.stride
                            : to.sums + rows.stride * gaussian;
#pragma unroll
    for (int v = 0; v < VECTORS; ++v) {
      const float* t = total + 4 * v;
      if (v % 2 != half) continue;
      if (to.slots)
        sums[v] = make_float4(t[0], t[1], t[2], t[3]);
      else
        reduce_add4((float*)(sums + v), t[0], t[1], t[2], t[3]);
    }
  }
  __syncwarp();
}

}  // namespace

// Rows are `stride` float4 apart, those of `sums` and `slots` too. Either `sums`, one for each Gaussian, or `slots`, 8
// for each intersection, is given: zeros before.
extern "C" __global__ void __launch_bounds__(256, 4)
    rasterize_backward(const float4* rows, long long stride, const int* gaussians, const long long* offsets,
                       long long width, long long height, long long channels, const float* image_gradient,
                       const float* opacity_gradient, const float* transmittances, const int* stops, float4* sums,
                       float4* slots) {
  __shared__ Block block;
  const TileOf tile = tile_of(offsets, width);
  const Patch patch = patch_of(tile);
  const Rows splats = {rows, stride};
  const Saved saved = {image_gradient, opacity_gradient, transmittances, stops, width, height, channels};
  const Totals to = {sums, slots};
  Pixel pixel = pixel_at(saved, patch, block.gradients[patch.warp][patch.lane]);
  if (threadIdx.x == 0) block.deepest = 0;
  __syncthreads();
  const int deepest = greatest_of_warp(pixel.stop);  // of the patch
  if (patch.lane == 0) atomicMax(&block.deepest, deepest);
  __syncthreads();
  const int left = kept(patch.warp * CHUNK * 33 + patch.lane), turn = kept(patch.lane % CHUNK);
  int place = 0, waiting = 0;  // splats that the pixels have left something for
  for (int end = block.deepest; end > 0; end -= BATCH) {
    const int start = max(end - BATCH, 0);
    __syncthreads();
    fetch(block.batch, splats, gaussians, tile.begin + start + threadIdx.x, start + (int)threadIdx.x < end, tile);
    __syncthreads();
    const int stop = pixel.stop - start;
    for (int group = (end - start - 1) / 32 * 32; group >= 0; group -= 32) {
      unsigned reached = reaching(block.batch, group, patch);
      const int seen = deepest - start - group;  // what lies behind all stops is left out
      if (seen < 32) reached &= seen > 0 ? (1u << seen) - 1 : 0u;
      while (reached) {
        const int bit = 31 - __clz((int)reached), j = group + bit;
        reached ^= 1u << bit;
        const Paint p = paint_of(block.batch.splats[j]);
        const float exponent = exponent_at(p, pixel.x - p.x, pixel.y - p.y);
        const bool painted = exponent >= LEAST_EXPONENT && j < stop;
        if (!__any_sync(WARP, painted)) continue;
        (&block.left[0][0][0])[left + 33 * waiting] =
            painted ? unpaint(pixel, p, exponent) : make_float2(0.0f, 0.0f);
        if (turn == waiting) place = start + j;
        if (++waiting < CHUNK) continue;
        conclude_chunk(block, splats, gaussians, tile, patch, place, waiting, to);
        waiting = 0;
      }
    }
  }
  if (waiting) conclude_chunk(block, splats, gaussians, tile, patch, place, waiting, to);
}

// The gradient of each Gaussian's row from those of its intersections in `slots`: at order[starts[i]] up to
// order[starts[i + 1]], in that order.
extern "C" __global__ void rasterize_gather(long long count, long long stride, const float4* slots,
                                            const long long* order, const long long* starts, float4* sums) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float4 sum[VECTORS] = {};
  for (long long at = starts[i]; at < starts[i + 1]; ++at) {
    for (int warp = 0; warp < WARPS; ++warp) {
      const float4* row = slots + (order[at] * WARPS + warp) * stride;
#pragma unroll
      for (int v = 0; v < VECTORS; ++v)
        sum[v].x += row[v].x, sum[v].y += row[v].y, sum[v].z += row[v].z, sum[v].w += row[v].w;
    }
  }
#pragma unroll
  for (int v = 0; v < VECTORS; ++v) sums[i * stride + v] = sum[v];
}
