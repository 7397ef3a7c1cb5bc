// The multiresolution grids. Macros: SIMPLICES, whether cells are; DIMENSIONS; FEATURES and ENTRY as in grid.cuh.
#include "cell.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 128;

__device__ long long point() { return (long long)blockIdx.x * THREADS + threadIdx.x; }

}  // namespace

extern "C" __global__ void __launch_bounds__(THREADS)
    grid(const float* positions, const Entry* table, long long count, long long levels, const int* layout,
         Entry* out) {
  if (point() < count) encode<Cell>(positions, table, point(), (int)levels, layout, out);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    grid_backward(const Entry* gradient, const float* positions, long long count, long long levels, const int* layout,
                  float* result) {
  scatter<Cell>(gradient, positions, point(), point() < count, (int)levels, layout, result);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    grid_slope(const Entry* gradient, const float* positions, const Entry* table, long long count, long long levels,
               const int* layout, float* result) {
  if (point() < count) slope<Cell>(gradient, positions, table, point(), (int)levels, layout, result);
}
