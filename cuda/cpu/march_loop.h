// The ray marcher as other loops use it: occupancy packed once, then some samples of a ray at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "../march.h"

namespace scenekit {

struct Occupancy {
  const uint8_t* cells;
  int cascades, grid, blocks, boxes;  // cells, words, and words of words along a side
  int stride_limit;                   // cells a side of the largest node that no finer cascade's face cuts
  std::vector<uint64_t> fine, coarse;

  Occupancy(const uint8_t* cells, int64_t cascades, int64_t grid);  // packs it into bits, from all threads
};

struct Ray {
  float origin[3], direction[3], inverse[3];
  float enter, leave;  // of the largest cascade, a little outside of it
};

// A ray and how far along its steps it has come.
struct RayMarch {
  Ray ray;
  StepLattice lattice;
  int next;
};

// `constants`: the first five members of StepRule and log2(1 + cone).
StepRule step_rule(const float* constants, const float* powers, int64_t power_count);

// False where the ray meets no cascade at all.
bool begin_march(const StepRule& rule, const Occupancy& occupancy, const float* origin, const float* direction,
                 float near, float far, float jitter, RayMarch& march);

// Writes up to `most` further samples of the ray; fewer mean that there are no more.
int64_t march_on(const StepRule& rule, const Occupancy& occupancy, RayMarch& march, int64_t most, float* distances,
                 float* deltas);

}  // namespace scenekit
