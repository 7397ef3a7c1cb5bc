// Loops of the ray marcher, and those that pack cells into the bits that it reads.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "march_loop.h"

#include <cstring>
#include <memory>
#include <vector>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int64_t PIECE = 256;  // rays whose samples share a buffer
constexpr int64_t STRETCH = 64;  // samples of a ray found at once

Word pack_block(const uint8_t* cells, int grid, int bx, int by, int bz) {
  Word word = 0;
  int width = grid - 4 * bz < 4 ? grid - 4 * bz : 4;
  for (int x = 4 * bx; x < 4 * bx + 4 && x < grid; ++x)
    for (int y = 4 * by; y < 4 * by + 4 && y < grid; ++y) {
      uint8_t four[4] = {0, 0, 0, 0};
      const uint8_t* from = cells + cell_at(x, y, 4 * bz, grid);
      if (width == 4) std::memcpy(four, from, 4);
      else std::memcpy(four, from, width);
      Word bits = four[0] | four[1] << 1 | four[2] << 2 | four[3] << 3;
      word |= bits << bit_of(x, y, 0);
    }
  return word;
}

// Of one cascade, the slice of boxes at `box` along x.
void pack_boxes(const CellBits& o, const uint8_t* cells, Word* words, int cascade, int box) {
  const int64_t boxes = (int64_t)o.boxes * o.boxes * o.boxes, slice = (int64_t)o.boxes * o.boxes;
  cells += (int64_t)cascade * o.grid * o.grid * o.grid;
  Word* fine = words + (int64_t)cascade * o.blocks * o.blocks * o.blocks;
  Word* coarse = words + (o.coarse - o.fine) + cascade * boxes;
  std::memset(coarse + box * slice, 0, sizeof(Word) * slice);
  for (int x = 4 * box; x < 4 * box + 4 && x < o.blocks; ++x)
    for (int y = 0; y < o.blocks; ++y)
      for (int z = 0; z < o.blocks; ++z) {
        Word word = pack_block(cells, o.grid, x, y, z);
        fine[cell_at(x, y, z, o.blocks)] = word;
        if (word) coarse[cell_at(x >> 2, y >> 2, z >> 2, o.boxes)] |= 1ull << bit_of(x, y, z);
      }
}

}  // namespace

namespace scenekit {

StepRule step_rule(const float* c, const float* powers, int64_t power_count) {
  return step_rule_of(c, powers, (int)power_count);
}

bool begin_march(const StepRule& rule, const CellBits& occupancy, const float* origin, const float* direction,
                 float near, float far, float jitter, RayMarch& march) {
  return enter_march(rule, occupancy.cascades, origin, direction, near, far, jitter, march);
}

int64_t march_on(const StepRule& rule, const CellBits& o, RayMarch& march, int64_t most, float* distances,
                 float* deltas) {
  int64_t taken = 0;
  while (taken < most && next_sample(rule, o, march, distances[taken], deltas[taken])) ++taken;
  return taken;
}

}  // namespace scenekit

namespace {

struct Found {
  std::vector<float> distances, deltas;
};

int64_t march_ray(const StepRule& rule, const CellBits& occupancy, RayMarch& march, int64_t most, Found& found) {
  float distances[STRETCH], deltas[STRETCH];
  int64_t taken = 0;
  for (;;) {
    int64_t wanted = most - taken < STRETCH ? most - taken : STRETCH;
    int64_t got = march_on(rule, occupancy, march, wanted, distances, deltas);
    found.distances.insert(found.distances.end(), distances, distances + got);
    found.deltas.insert(found.deltas.end(), deltas, deltas + got);
    taken += got;
    if (got < wanted || taken >= most) return taken;
  }
}

struct Result {
  std::vector<Found> pieces;
};

}  // namespace

// `words` gets a word for each 4^3 cells, then one for each 4^3 of those.
SCENEKIT_EXPORT void scenekit_pack_cells(const uint8_t* cells, int64_t cascades, int64_t grid, Word* words) {
  const CellBits bits = cell_bits(words, cascades, grid);
  parallel(cascades * bits.boxes, 1, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) pack_boxes(bits, cells, words, (int)(i / bits.boxes), (int)(i % bits.boxes));
  });
}

// Marches all rays; `counts[r + 1]` becomes the end of ray r's samples, `handle` owns the samples until they
// are taken.
SCENEKIT_EXPORT void scenekit_march(const float* origins, const float* directions, const float* near,
                                    const float* far, const float* jitter, int64_t rays, const Word* words,
                                    int64_t cascades, int64_t grid, const float* constants, const float* powers,
                                    int64_t power_count, int64_t max_samples, int64_t* offsets, int64_t* handle) {
  StepRule rule = step_rule(constants, powers, power_count);
  const CellBits bits = cell_bits(words, cascades, grid);
  auto result = std::make_unique<Result>();
  result->pieces.resize((size_t)((rays + PIECE - 1) / PIECE));
  Found* pieces = result->pieces.data();
  parallel(rays, PIECE, [&, pieces](int64_t begin, int64_t end, int) {
    // A range may hold several pieces, but never a part of one.
    for (int64_t r = begin; r < end; ++r) {
      RayMarch march;
      bool meets = begin_march(rule, bits, origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r], march);
      offsets[r + 1] = meets ? march_ray(rule, bits, march, max_samples, pieces[r / PIECE]) : 0;
    }
  });
  offsets[0] = 0;
  for (int64_t r = 0; r < rays; ++r) offsets[r + 1] += offsets[r];
  *handle = (int64_t)(intptr_t)result.release();
}

SCENEKIT_EXPORT void scenekit_march_take(const int64_t* handle, const int64_t* offsets, int64_t rays,
                                         float* distances, float* deltas) {
  std::unique_ptr<Result> result((Result*)(intptr_t)*handle);
  const Found* pieces = result->pieces.data();
  parallel((int64_t)result->pieces.size(), 4, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      size_t bytes = sizeof(float) * pieces[i].distances.size();
      int64_t first = offsets[i * PIECE < rays ? i * PIECE : rays];
      if (!bytes) continue;
      std::memcpy(distances + first, pieces[i].distances.data(), bytes);
      std::memcpy(deltas + first, pieces[i].deltas.data(), bytes);
    }
  });
}
