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
  const float *image_gradient, *transmittance_gradient, *transmittances;
  const int* stops;
  long long width, height, channels;
};

// Where sums over pixels go: added to row `gaussian` of `sums`, or alone in row 8 place + warp of `slots`, place being
// that of the intersection.
struct Totals {
  float *sums, *slots;
};

// The splat that a lane adds up for.
struct Own {
  float x, y;
  long long row;
};

__device__ __forceinline__ Pixel pixel_at(const Saved& saved, const Patch& patch, float (&shared)[GRADIENT]) {
  Pixel pixel = {{}, (float)patch.x + 0.5f, (float)patch.y + 0.5f, 0.0f, 0.0f, 0};
  if (patch.x < saved.width && patch.y < saved.height) {
    const long long at = patch.y * saved.width + patch.x;
    pixel.transmittance = saved.transmittances[at];
    pixel.behind = pixel.transmittance * saved.transmittance_gradient[at];
    pixel.stop = saved.stops[at];
#pragma unroll
    for (int k = 0; k < CHANNELS; ++k)
      if (k < saved.channels) pixel.gradient[k] = saved.image_gradient[at * saved.channels + k];
  }
#pragma unroll
  for (int k = 0; k < GRADIENT; ++k) shared[k] = k < CHANNELS ? pixel.gradient[k < CHANNELS ? k : 0] : 0.0f;
  return pixel;
}

// Undoes splat i of the list: alpha dL/dalpha and the weight.
__device__ __forceinline__ float2 unpaint(Pixel& pixel, const Paint& p, int i) {
  const float exponent = exponent_at(p, pixel.x - p.x, pixel.y - p.y);
  if (!(exponent >= LEAST_EXPONENT) || i >= pixel.stop) return make_float2(0.0f, 0.0f);
  const float raw = exp2_approximate(exponent);
  float value = 0.0f, weight;
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k) value += pixel.gradient[k] * p.features[k];
  const float gradient = unblend(scenekit::min(raw, MOST_ALPHA), value, pixel.transmittance, pixel.behind, weight);
  return make_float2(raw <= MOST_ALPHA ? gradient : 0.0f, weight);
}

// Adds up, over the pixels of half a patch, what they left for one splat: six moments, then features.
__device__ __forceinline__ void add_up(const float2 (&left)[33], const float (&gradients)[32][GRADIENT], int half,
                                       float dx, float dy, float (&total)[4 * VECTORS]) {
#pragma unroll
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
      for (int k = 0; k < CHANNELS; ++k) total[6 + k] += of.y * gradients[pixel][k];
    }
    total[0] += g;
    total[1] += gx;
    total[2] += g * along;
    total[3] += gxx;
    total[4] += gx * along;
    total[5] += g * along * along;
  }
}

// The lanes become splats: CHUNK of them in each half of the warp, of which `count` are there.
__device__ __forceinline__ void conclude_chunk(const Block& block, const Patch& patch, const Own& own, int count,
                                               const Totals& to) {
  __syncwarp();
  const int half = patch.lane / CHUNK, j = patch.lane % CHUNK;
  const int first_x = patch.x - patch.lane % PATCH_WIDTH, first_y = patch.y - patch.lane / PATCH_WIDTH;
  float total[4 * VECTORS] = {};
  if (j < count)
    add_up(block.left[patch.warp][j], block.gradients[patch.warp], half, (float)first_x + 0.5f - own.x,
           (float)(first_y + half * (PATCH_HEIGHT / 2)) + 0.5f - own.y, total);
#pragma unroll
  for (int k = 0; k < 6 + CHANNELS; ++k) total[k] += __shfl_xor_sync(WARP, total[k], CHUNK);
  if (j < count) {
#pragma unroll
    for (int v = 0; v < VECTORS; ++v) {
      const float* t = total + 4 * v;
      if (v % 2 != half) continue;
      if (to.slots)
        ((float4*)to.slots)[own.row * VECTORS + v] = make_float4(t[0], t[1], t[2], t[3]);
      else
        reduce_add4(to.sums + (own.row * VECTORS + v) * 4, t[0], t[1], t[2], t[3]);
    }
  }
  __syncwarp();
}

// From the sums over pixels of alpha dL/dalpha times 1, dx, dy, dx^2, dx dy, dy^2 to the splat's parameters.
__device__ __forceinline__ void conclude(const float* conic, float opacity, const float (&sum)[4 * VECTORS],
                                         long long i, float* means2d, float* conics, float* opacities) {
  ((float2*)means2d)[i] = make_float2(conic[0] * sum[1] + conic[1] * sum[2], conic[1] * sum[1] + conic[2] * sum[2]);
  conics[3 * i] = -0.5f * sum[3];
  conics[3 * i + 1] = -sum[4];
  conics[3 * i + 2] = -0.5f * sum[5];
  opacities[i] = opacity > 0.0f ? sum[0] / opacity : 0.0f;
}

}  // namespace

// Either `sums` [count, 4 VECTORS] or `slots` [8 intersections, 4 VECTORS], zeros before, is given.
extern "C" __global__ void __launch_bounds__(256, 4) rasterize_backward(
    const float4* packed, const int* gaussians, const long long* offsets, long long width, long long height,
    long long channels, const float* image_gradient, const float* transmittance_gradient,
    const float* transmittances, const int* stops, float* sums, float* slots) {
  __shared__ Block block;
  const TileOf tile = tile_of(offsets, width);
  const Patch patch = patch_of(tile);
  const Saved saved = {image_gradient, transmittance_gradient, transmittances, stops, width, height, channels};
  const Totals to = {sums, slots};
  Pixel pixel = pixel_at(saved, patch, block.gradients[patch.warp][patch.lane]);
  if (threadIdx.x == 0) block.deepest = 0;
  __syncthreads();
  int deepest = pixel.stop;  // of the patch
#pragma unroll
  for (int step = 16; step > 0; step /= 2) deepest = max(deepest, __shfl_xor_sync(WARP, deepest, step));
  if (patch.lane == 0) atomicMax(&block.deepest, deepest);
  __syncthreads();
  Own own = {0.0f, 0.0f, 0};
  int waiting = 0;  // splats that the pixels have left something for
  for (int end = block.deepest; end > 0; end -= BATCH) {
    const int start = max(end - BATCH, 0);
    __syncthreads();
    fetch(block.batch, packed, gaussians, tile.begin + start + threadIdx.x, start + (int)threadIdx.x < end, tile);
    __syncthreads();
    for (int group = (end - start - 1) / 32 * 32; group >= 0; group -= 32) {
      unsigned reached = reaching(block.batch, group, patch);
      const int seen = deepest - start - group;  // what lies behind all stops is left out
      if (seen < 32) reached &= seen > 0 ? (1u << seen) - 1 : 0u;
      while (reached) {
        const int bit = 31 - __clz((int)reached), j = group + bit;
        reached ^= 1u << bit;
        const Paint p = paint_of(block.batch.splats[j]);
        block.left[patch.warp][waiting][patch.lane] = unpaint(pixel, p, start + j);
        if (patch.lane % CHUNK == waiting)
          own = {p.x, p.y, slots ? (tile.begin + start + j) * WARPS + patch.warp : block.batch.gaussians[j]};
        if (++waiting < CHUNK) continue;
        conclude_chunk(block, patch, own, waiting, to);
        waiting = 0;
      }
    }
  }
  if (waiting) conclude_chunk(block, patch, own, waiting, to);
}

// Gradients of each Gaussian from its row of `sums`, or from the rows of its intersections in `slots`: those at
// order[starts[i]] up to order[starts[i + 1]], in that order.
extern "C" __global__ void rasterize_conclude(const float* conics, const float* opacities, long long count,
                                              long long channels, const float4* sums, const float4* slots,
                                              const long long* order, const long long* starts, float* for_means2d,
                                              float* for_conics, float* for_opacities, float* for_features) {
  const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float sum[4 * VECTORS] = {};
  auto add = [&sum](const float4* row) {
#pragma unroll
    for (int v = 0; v < VECTORS; ++v) {
      const float4 four = row[v];
      sum[4 * v] += four.x, sum[4 * v + 1] += four.y, sum[4 * v + 2] += four.z, sum[4 * v + 3] += four.w;
    }
  };
  if (slots) {
    for (long long at = starts[i]; at < starts[i + 1]; ++at)
      for (int warp = 0; warp < WARPS; ++warp) add(slots + (order[at] * WARPS + warp) * VECTORS);
  } else {
    add(sums + i * VECTORS);
  }
  conclude(conics + 3 * i, opacities[i], sum, i, for_means2d, for_conics, for_opacities);
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k)
    if (k < channels) for_features[channels * i + k] = sum[6 + k];
}
