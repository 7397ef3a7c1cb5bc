// Spherical harmonics: a thread owns a direction. DEGREE is a macro, so that the polynomials unroll.
#include "rows.cuh"
#include "spherical_harmonics.h"

using namespace scenekit;

constexpr int THREADS = 128, WARPS = THREADS / 32;
constexpr int USED = (DEGREE + 1) * (DEGREE + 1);
constexpr int ROW = 3 * USED;  // floats of a colour's coefficients

namespace {

struct Given { float x, y, z; };

__device__ Given direction_at(const float* directions, long long i) {
  return {directions[3 * i], directions[3 * i + 1], directions[3 * i + 2]};
}

}  // namespace

extern "C" __global__ void spherical_harmonics(const float* directions, long long count, float* basis) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  Given d = direction_at(directions, i);
  sh_basis<float>(d.x, d.y, d.z, DEGREE, [=](int k, float value) { basis[USED * i + k] = value; });
}

extern "C" __global__ void spherical_harmonics_backward(const float* gradient, const float* directions,
                                                        long long count, float* result) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  Given d = direction_at(directions, i);
  const float* g = gradient + USED * i;
  float dx, dy, dz;
  sh_basis_gradient<float>(d.x, d.y, d.z, DEGREE, [=](int k) { return g[k]; }, dx, dy, dz);
  result[3 * i] = dx;
  result[3 * i + 1] = dy;
  result[3 * i + 2] = dz;
}

// Coefficients are [count, USED, 3], and begin at a multiple of 16 bytes, as all gradients and results do.
extern "C" __global__ void __launch_bounds__(THREADS)
    harmonic_colors(const float* coefficients, const float* directions, long long count, float* colors) {
  __shared__ float4 memory[WARPS][8 * ROW];
  float* stage = (float*)memory[threadIdx.x / 32];
  const WarpRows here = rows_of_warp(count);
  fetch_rows<ROW>(coefficients, here, here.all(), stage);
  fetched();
  float sum[3] = {};
  if (lane_index() < here.count) {
    const Given d = direction_at(directions, here.first + lane_index());
    const float* from = stage + lane_index() * ROW;
    sh_basis<float>(d.x, d.y, d.z, DEGREE, [&](int k, float value) {
      for (int c = 0; c < 3; ++c) sum[c] += value * from[3 * k + c];
    });
  }
  put_rows<3>(sum, here, stage, colors);
}

// Either result may be null.
extern "C" __global__ void __launch_bounds__(THREADS)
    harmonic_colors_backward(const float* gradient, const float* coefficients, const float* directions,
                             long long count, float* for_coefficients, float* for_directions) {
  __shared__ float4 memory[WARPS][8 * ROW];
  float *stage = (float*)memory[threadIdx.x / 32], *own = stage + lane_index() * ROW;
  const WarpRows here = rows_of_warp(count);
  const bool some = lane_index() < here.count;
  Given d{};
  float g[3] = {}, by[3] = {};
  if (some) {
    d = direction_at(directions, here.first + lane_index());
    for (int c = 0; c < 3; ++c) g[c] = gradient[3 * (here.first + lane_index()) + c];
  }
  if (for_directions) {
    fetch_rows<ROW>(coefficients, here, here.all(), stage);
    fetched();
    auto weighted = [=](int k) { return own[3 * k] * g[0] + own[3 * k + 1] * g[1] + own[3 * k + 2] * g[2]; };
    if (some) sh_basis_gradient<float>(d.x, d.y, d.z, DEGREE, weighted, by[0], by[1], by[2]);
  }
  if (for_coefficients) {
    sh_basis<float>(d.x, d.y, d.z, DEGREE, [=](int k, float value) {
      for (int c = 0; c < 3; ++c) own[3 * k + c] = value * g[c];
    });
    __syncwarp();
    store_rows<ROW>(stage, here, for_coefficients);
  }
  if (for_directions) put_rows<3>(by, here, stage, for_directions);
}
