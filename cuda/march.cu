// The ray marcher: a thread takes a ray, once to count its samples and once more to write them. A sample is the same
// here as on a CPU, bit by bit: the same leaves, rounded one by one.
#include "march.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 128;

__device__ long long own_index() { return (long long)blockIdx.x * THREADS + threadIdx.x; }

}  // namespace

// A thread packs 4^3 cells; `coarse` begins as zeros. Word i of all cascades' `blocks`^3.
extern "C" __global__ void __launch_bounds__(THREADS)
    pack_cells(const unsigned char* cells, long long cascades, long long grid, Word* fine, Word* coarse) {
  const CellBits o = cell_bits_of((int)cascades, (int)grid);
  const long long each = (long long)o.blocks * o.blocks * o.blocks;
  if (own_index() >= cascades * each) return;
  const int cascade = (int)(own_index() / each), i = (int)(own_index() % each);
  const int bx = i / (o.blocks * o.blocks), by = i / o.blocks % o.blocks, bz = i % o.blocks;
  const unsigned char* from = cells + cascade * grid * grid * grid;
  Word word = 0;
  for (int x = 4 * bx; x < 4 * bx + 4 && x < o.grid; ++x)
    for (int y = 4 * by; y < 4 * by + 4 && y < o.grid; ++y)
      for (int z = 4 * bz; z < 4 * bz + 4 && z < o.grid; ++z)
        word |= (Word)(from[cell_at(x, y, z, o.grid)] != 0) << bit_of(x, y, z);
  fine[own_index()] = word;
  Word* box = coarse + (long long)cascade * o.boxes * o.boxes * o.boxes;
  if (word) atomicOr(box + cell_at(bx >> 2, by >> 2, bz >> 2, o.boxes), 1ull << bit_of(bx, by, bz));
}

// Where `distances` is null, writes how many samples each ray has to `offsets`[ray]; else the samples from there on.
extern "C" __global__ void __launch_bounds__(THREADS)
    march(const float* origins, const float* directions, const float* near, const float* far, const float* jitter,
          long long rays, const Word* fine, const Word* coarse, long long cascades, long long grid,
          const float* constants, const float* powers, long long power_count, long long max_samples,
          long long* offsets, float* distances, float* deltas) {
  const long long r = own_index();
  if (r >= rays) return;
  const StepRule rule = step_rule(constants, powers, power_count);
  const CellBits bits = cell_bits(fine, coarse, cascades, grid);
  long long taken = 0, first = distances ? offsets[r] : 0;
  RayMarch ray;
  float distance, delta;
  bool more = enter_march(rule, bits.cascades, origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r], ray);
  while (more && taken < max_samples && next_sample(rule, bits, ray, distance, delta)) {
    if (distances) {
      distances[first + taken] = distance;
      deltas[first + taken] = delta;
    }
    ++taken;
  }
  if (!distances) offsets[r] = taken;
}
