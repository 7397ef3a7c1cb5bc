// The ray marcher: a group of neighbouring lanes takes a ray and looks at as many steps of it at once; where the last of
// them stands in empty space the group goes on behind that. A sample is the same here as on a CPU, bit by bit: the same
// leaves, rounded one by one.
#include "march.cuh"
#include "tail.cuh"
#include "warp.cuh"

using namespace scenekit;

namespace {

constexpr int THREADS = 128;
constexpr int BOX = 64;  // words of 4^3 cells that one word of words stands for

struct Rays {
  const float *origins, *directions, *near, *far, *jitter;

  __device__ bool enter(const StepRule& rule, int cascades, long long r, RayMarch& march) const {
    return enter_march(rule, cascades, origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r], march);
  }
};

// Calls take(place, distance, delta) for the first `most` samples of the group's ray, if it has one; returns how many
// there are. All lanes of the warp come along.
template <class Take>
__device__ int walk(const Group& group, const StepRule& rule, const CellBits& bits, RayMarch& march, bool going,
                    int most, const Take& take) {
  int taken = 0;
  going &= most > 0;
  while (__any_sync(ALL, going)) {
    Probe probe;
    const unsigned found = probe_together(group, rule, bits, march, going, probe);
    const int place = taken + group.before_own(found);
    if (group.has_own(found) && place < most) take(place, probe.middle, probe.length);
    taken += __popc(found);
    going &= march.next >= 0 && taken < most;
  }
  return taken < most ? taken : most;
}

__device__ int at_most(long long count) { return count < 1 << 30 ? (int)count : 1 << 30; }

// The last of `ends`, which climb, that lies within `room`.
__device__ long long end_within(const long long* ends, long long rays, long long room) {
  long long low = rays > 0 && ends[rays - 1] <= room ? rays : 0, high = rays;
  while (low < high) {
    const long long middle = (low + high) / 2;
    if (ends[middle] <= room) low = middle + 1;
    else high = middle;
  }
  return low && ends[low - 1] > 0 ? ends[low - 1] : 0;
}

}  // namespace

// A thread packs 4^3 cells of one cascade, the threads of two warps those that share a word of words.
extern "C" __global__ void __launch_bounds__(THREADS)
    pack_cells(const unsigned char* cells, long long cascades, long long grid, Word* words) {
  const CellBits o = cell_bits(words, cascades, grid);
  const long long all = (long long)o.boxes * o.boxes * o.boxes;
  const long long box = (long long)blockIdx.x * (THREADS / BOX) + threadIdx.x / BOX;
  const int cascade = (int)(box / all), i = (int)(box % all), inner = threadIdx.x % BOX;
  const int bx = 4 * (i / (o.boxes * o.boxes)) + inner / 16;
  const int by = 4 * (i / o.boxes % o.boxes) + inner / 4 % 4, bz = 4 * (i % o.boxes) + inner % 4;
  const bool there = box < cascades * all && bx < o.blocks && by < o.blocks && bz < o.blocks;
  Word word = 0;
  if (there) {
    const unsigned char* from = cells + cascade * grid * grid * grid;
    const bool fours = grid % 4 == 0 && (size_t)from % 4 == 0;
    for (int x = 4 * bx; x < 4 * bx + 4 && x < o.grid; ++x)
      for (int y = 4 * by; y < 4 * by + 4 && y < o.grid; ++y) {
        const unsigned char* row = from + cell_at(x, y, 4 * bz, o.grid);
        if (fours) {  // the lowest bits of four bytes come together in the highest byte
          word |= (Word)(*(const unsigned*)row * 0x01020408u >> 24 & 15u) << bit_of(x, y, 0);
        } else {
          for (int z = 4 * bz; z < 4 * bz + 4 && z < o.grid; ++z) word |= (Word)(row[z & 3] != 0) << bit_of(x, y, z);
        }
      }
    words[word_at(cascade, bx, by, bz, o.blocks)] = word;
  }
  const unsigned half = __ballot_sync(ALL, word != 0);
  if (lane_index() == 0 && box < cascades * all) ((unsigned*)o.coarse)[2 * box + inner / 32] = half;
}

// How many samples each ray has.
extern "C" __global__ void __launch_bounds__(THREADS)
    march_count(const float* origins, const float* directions, const float* near, const float* far,
                const float* jitter, long long rays, const Word* words, long long cascades, long long grid,
                const float* rule_numbers, long long rule_size, long long max_samples, long long lanes,
                long long* counts) {
  const Rays all{origins, directions, near, far, jitter};
  const Group group((int)lanes);
  const long long r = group.index();
  const StepRule rule = step_rule(rule_numbers, rule_size);
  const CellBits bits = cell_bits(words, cascades, grid);
  RayMarch march = {};
  const bool enters = r < rays && all.enter(rule, bits.cascades, r, march);
  const int count = walk(group, rule, bits, march, enters, at_most(max_samples), [](int, float, float) {});
  if (r < rays && group.own == 0) counts[r] = count;
}

// Writes the samples of every ray between the end of the ray before and its own, `ends`[ray]; zeros where it has fewer,
// and where no ray ends within `room`: those rows are the last ray's. A ray that ends beyond that has none, and
// `left_out`[ray]. That and `owners`, of every row, may be null pointers.
extern "C" __global__ void __launch_bounds__(THREADS)
    march(const float* origins, const float* directions, const float* near, const float* far, const float* jitter,
          long long rays, const Word* words, long long cascades, long long grid, const float* rule_numbers,
          long long rule_size, long long max_samples, long long lanes, const long long* ends, long long room,
          float* distances, float* deltas, long long* offsets, long long* needed, bool* left_out,
          long long* owners) {
  const Rays all{origins, directions, near, far, jitter};
  const Group group((int)lanes);
  const long long r = group.index();
  const StepRule rule = step_rule(rule_numbers, rule_size);
  const CellBits bits = cell_bits(words, cascades, grid);
  const long long used = end_within(ends, rays, room);
  fill_rows(distances, 0.0f, used, room);
  fill_rows(deltas, 0.0f, used, room);
  if (owners) fill_rows(owners, rays > 0 ? rays - 1 : 0, used, room);
  const long long end = r < rays ? ends[r] : 0, begin = r > 0 && r < rays ? ends[r - 1] : 0;
  // Counts that are negative give wrong samples, but no access outside of what there is room for.
  const bool fits = r < rays && end <= room, has_room = fits && 0 <= begin && begin < end;
  RayMarch march = {};
  const bool enters = has_room && all.enter(rule, bits.cascades, r, march);
  const int most = at_most(has_room ? end - begin : 0), exist = at_most(max_samples);
  const auto take = [=](int place, float distance, float delta) {
    distances[begin + place] = distance;
    deltas[begin + place] = delta;
  };
  const int found = walk(group, rule, bits, march, enters, most < exist ? most : exist, take);
  for (int i = found + group.own; i < most; i += group.lanes) distances[begin + i] = deltas[begin + i] = 0.0f;
  if (owners)
    for (int i = group.own; i < most; i += group.lanes) owners[begin + i] = r;
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    offsets[0] = 0;
    *needed = rays > 0 ? ends[rays - 1] : 0;
  }
  if (r >= rays || group.own != 0) return;
  offsets[r + 1] = fits ? end : used;
  if (left_out) left_out[r] = !fits;
}
