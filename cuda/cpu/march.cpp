// Loops of the ray marcher. The occupancy of a call is packed into bits: one word for 4^3 cells, and one word
// for 4^3 of those words, so that a ray crosses 16^3 empty cells in one stride.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "march_loop.h"

#include <cstring>
#include <memory>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int64_t PIECE = 256;  // rays whose samples share a buffer
constexpr int64_t STRETCH = 64;  // samples of a ray found at once

SK_LEAF int64_t at(int x, int y, int z, int side) { return ((int64_t)x * side + y) * side + z; }
SK_LEAF int bit_of(int x, int y, int z) { return ((x & 3) << 4) | ((y & 3) << 2) | (z & 3); }

uint64_t pack_block(const uint8_t* cells, int grid, int bx, int by, int bz) {
  uint64_t word = 0;
  int width = grid - 4 * bz < 4 ? grid - 4 * bz : 4;
  for (int x = 4 * bx; x < 4 * bx + 4 && x < grid; ++x)
    for (int y = 4 * by; y < 4 * by + 4 && y < grid; ++y) {
      uint8_t four[4] = {0, 0, 0, 0};
      const uint8_t* from = cells + at(x, y, 4 * bz, grid);
      if (width == 4) std::memcpy(four, from, 4);
      else std::memcpy(four, from, width);
      uint64_t bits = four[0] | four[1] << 1 | four[2] << 2 | four[3] << 3;
      word |= bits << bit_of(x, y, 0);
    }
  return word;
}

void pack_boxes(Occupancy& o, int cascade, int first, int last) {
  const uint8_t* cells = o.cells + (int64_t)cascade * o.grid * o.grid * o.grid;
  uint64_t* fine = o.fine.data() + (int64_t)cascade * o.blocks * o.blocks * o.blocks;
  uint64_t* coarse = o.coarse.data() + (int64_t)cascade * o.boxes * o.boxes * o.boxes;
  for (int x = 4 * first; x < 4 * last && x < o.blocks; ++x)
    for (int y = 0; y < o.blocks; ++y)
      for (int z = 0; z < o.blocks; ++z) {
        uint64_t word = pack_block(cells, o.grid, x, y, z);
        fine[at(x, y, z, o.blocks)] = word;
        if (word) coarse[at(x >> 2, y >> 2, z >> 2, o.boxes)] |= 1ull << bit_of(x, y, z);
      }
}

// 0 where the cell is occupied, else the side in cells of the largest known empty node about it.
SK_LEAF int empty_side(const Occupancy& o, int cascade, const int cell[3]) {
  int64_t blocks = (int64_t)cascade * o.blocks * o.blocks * o.blocks;
  int64_t boxes = (int64_t)cascade * o.boxes * o.boxes * o.boxes;
  int x = cell[0], y = cell[1], z = cell[2];
  uint64_t box = o.coarse[boxes + at(x >> 4, y >> 4, z >> 4, o.boxes)];
  if (!box) return o.stride_limit;
  if (!(box >> bit_of(x >> 2, y >> 2, z >> 2) & 1)) return o.stride_limit < 4 ? o.stride_limit : 4;
  uint64_t block = o.fine[blocks + at(x >> 2, y >> 2, z >> 2, o.blocks)];
  return block >> bit_of(x, y, z) & 1 ? 0 : 1;
}

// Positions are rounded; this is more than their error, relative to the origin and the cascade.
constexpr float SLACK = 1e-6f;
constexpr float FOREVER = 3.0e38f;

Ray ray_of(const float* origin, const float* direction, float near, float far, float half_side) {
  Ray ray;
  ray.enter = near;
  ray.leave = far;
  for (int a = 0; a < 3; ++a) {
    float o = origin[a], d = direction[a];
    ray.origin[a] = o;
    ray.direction[a] = d;
    ray.inverse[a] = 1.0f / d;
    float reach = half_side + SLACK * ((o < 0 ? -o : o) + half_side);
    if (d == 0.0f) {
      if (!(o >= -reach && o <= reach)) ray.leave = -FOREVER;
      continue;
    }
    float low = (-reach - o) * ray.inverse[a], high = (reach - o) * ray.inverse[a];
    ray.enter = max(ray.enter, min(low, high));
    ray.leave = min(ray.leave, max(low, high));
  }
  return ray;
}

// A distance a little before the ray leaves the node of `side` cells about `cell`.
SK_LEAF float exit_of(const Ray& ray, const int cell[3], int side, float half_side, float cell_side) {
  float exit = FOREVER;
  for (int a = 0; a < 3; ++a) {
    float o = ray.origin[a], d = ray.direction[a];
    float slack = SLACK * ((o < 0 ? -o : o) + half_side);
    int face = cell[a] & -side;
    float border = (float)(d > 0 ? face + side : face) * cell_side - half_side;
    float t = ((d > 0 ? border - slack : border + slack) - o) * ray.inverse[a];
    exit = d != 0.0f && t < exit ? t : exit;
  }
  return exit;
}

}  // namespace

namespace scenekit {

Occupancy::Occupancy(const uint8_t* given, int64_t cascade_count, int64_t side)
    : cells(given), cascades((int)cascade_count), grid((int)side), blocks((grid + 3) / 4), boxes((blocks + 3) / 4),
      stride_limit(16) {
  fine.resize((size_t)cascades * blocks * blocks * blocks);
  coarse.assign((size_t)cascades * boxes * boxes * boxes, 0);
  // The face of cascade k - 1 lies a quarter of the way into cascade k.
  while (cascades > 1 && stride_limit > 1 && grid / 4 % stride_limit) stride_limit /= 4;
  parallel((int64_t)cascades * boxes, 1, [this](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) pack_boxes(*this, (int)(i / boxes), (int)(i % boxes), (int)(i % boxes) + 1);
  });
}

StepRule step_rule(const float* c, const float* powers, int64_t power_count) {
  return {c[0], c[1], c[2], c[3], c[4], 1 / c[0], 1 / c[1], 1 / c[5], powers, (int)power_count};
}

bool begin_march(const StepRule& rule, const Occupancy& occupancy, const float* origin, const float* direction,
                 float near, float far, float jitter, RayMarch& march) {
  march.ray = ray_of(origin, direction, near, far, (float)(1 << (occupancy.cascades - 1)));
  if (!(march.ray.enter < march.ray.leave)) return false;
  march.lattice = lattice_of(rule, near, jitter);
  march.next = seek(rule, march.lattice, march.ray.enter, 0);
  return true;
}

int64_t march_on(const StepRule& rule, const Occupancy& o, RayMarch& march, int64_t most, float* distances,
                 float* deltas) {
  const Ray& ray = march.ray;
  const StepLattice& lattice = march.lattice;
  const float finest = 2.0f / (float)o.grid;
  int64_t taken = 0;
  int n = march.next;
  while (taken < most) {
    float length, p[3], reach = 0.0f;
    float middle = step_middle(rule, lattice, n, length);
    if (!(middle < ray.leave)) break;
    for (int a = 0; a < 3; ++a) {
      p[a] = plus(ray.origin[a], times(ray.direction[a], middle));
      reach = max(reach, p[a] < 0 ? -p[a] : p[a]);
    }
    int cascade = cascade_of(reach, length, finest, o.cascades);
    if (cascade == o.cascades) {
      ++n;
      continue;
    }
    float half_side = (float)(1 << cascade), inverse = 1.0f / half_side;
    int cell[3];
    for (int a = 0; a < 3; ++a) cell[a] = cell_of(p[a], inverse, o.grid);
    int side = empty_side(o, cascade, cell);
    if (side == 0) {
      distances[taken] = middle;
      deltas[taken] = length;
      ++taken;
      ++n;
      continue;
    }
    float target = min(exit_of(ray, cell, side, half_side, finest * half_side), ray.leave);
    // Steps longer than the cell belong to the next cascade, which may be occupied here.
    if (cascade < o.cascades - 1 && rule.cone > 0)
      target = min(target, finest * half_side / rule.cone * (1.0f - SLACK));
    n = seek(rule, lattice, target, n + 1);
  }
  march.next = n;
  return taken;
}

}  // namespace scenekit

namespace {

struct Found {
  std::vector<float> distances, deltas;
};

int64_t march_ray(const StepRule& rule, const Occupancy& occupancy, RayMarch& march, int64_t most, Found& found) {
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

// Marches all rays; `counts[r + 1]` becomes the end of ray r's samples, `handle` owns the samples until they
// are taken.
SCENEKIT_EXPORT void scenekit_march(const float* origins, const float* directions, const float* near,
                                    const float* far, const float* jitter, int64_t rays, const uint8_t* occupancy,
                                    int64_t cascades, int64_t grid, const float* constants, const float* powers,
                                    int64_t power_count, int64_t max_samples, int64_t* offsets, int64_t* handle) {
  StepRule rule = step_rule(constants, powers, power_count);
  Occupancy packed(occupancy, cascades, grid);
  auto result = std::make_unique<Result>();
  result->pieces.resize((size_t)((rays + PIECE - 1) / PIECE));
  Found* pieces = result->pieces.data();
  parallel(rays, PIECE, [&, pieces](int64_t begin, int64_t end, int) {
    // A range may hold several pieces, but never a part of one.
    for (int64_t r = begin; r < end; ++r) {
      RayMarch march;
      bool meets = begin_march(rule, packed, origins + 3 * r, directions + 3 * r, near[r], far[r], jitter[r], march);
      offsets[r + 1] = meets ? march_ray(rule, packed, march, max_samples, pieces[r / PIECE]) : 0;
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
