// Loops of the sort into a grid. Groups lie all over memory: a register's worth of them is gathered at once, channel
// by channel, and only what moves is written back. No two groups share a cell.
#include "../assign_fours.h"

#include <cstring>
#include <vector>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int64_t PIECE = 512;  // groups
constexpr int CHANNELS = 64;    // more are refused by the caller

struct Grid {
  int64_t height, width, channels;
};

// Blocks of `side` cells a side, beginning at (top, left) and going on beyond the border from the other side.
struct Blocks {
  int64_t side, top, left, across, groups;  // blocks across, groups a block
};

struct Four {
  int64_t cell[4];
};

Four cells_of(const Grid& grid, const Blocks& blocks, const int64_t* groups, int64_t index) {
  int64_t block = index / blocks.groups;
  const int64_t* local = groups + 4 * (index - block * blocks.groups);
  int64_t top = blocks.top + block / blocks.across * blocks.side;
  int64_t left = blocks.left + block % blocks.across * blocks.side;
  Four four;
  for (int k = 0; k < 4; ++k) {
    uint32_t down = (uint32_t)local[k] / (uint32_t)blocks.side, along = (uint32_t)local[k] % (uint32_t)blocks.side;
    int64_t y = top + down, x = left + along;
    y = y >= grid.height ? y - grid.height : y;
    x = x >= grid.width ? x - grid.width : x;
    four.cell[k] = y * grid.width + x;
  }
  return four;
}

void move(const Four& four, int way, int64_t channels, float* values, int64_t* order) {
  float rows[4][CHANNELS];
  int64_t numbers[4];
  for (int k = 0; k < 4; ++k) {
    std::memcpy(rows[k], values + four.cell[k] * channels, channels * sizeof(float));
    numbers[k] = order[four.cell[k]];
  }
  for (int k = 0; k < 4; ++k) {
    std::memcpy(values + four.cell[k] * channels, rows[row_of(way, k)], channels * sizeof(float));
    order[four.cell[k]] = numbers[row_of(way, k)];
  }
}

// `count` groups, at most a register's lanes; the others are computed on zeros.
double assign(const Four* fours, int count, int64_t channels, float* values, int64_t* order, const float* target) {
  Wide dots[4][4] = {};
  for (int64_t c = 0; c < channels; ++c) {
    Wide rows[4] = {}, wants[4] = {};
    for (int lane = 0; lane < count; ++lane)
      for (int k = 0; k < 4; ++k) {
        int64_t at = fours[lane].cell[k] * channels + c;
        rows[k][lane] = values[at];
        wants[k][lane] = target[at];
      }
    for (int r = 0; r < 4; ++r)
      for (int k = 0; k < 4; ++k) dots[r][k] += rows[r] * wants[k];
  }
  Wide excess, way = best_way<Wide>(dots, excess);
  double gain = 0;
  for (int lane = 0; lane < count; ++lane) {
    if (way[lane] == 0.0f) continue;
    move(fours[lane], (int)way[lane], channels, values, order);
    gain += excess[lane];
  }
  return 2 * gain;
}

}  // namespace

// `gain`: by how much the sum of squared distances fell.
SCENEKIT_EXPORT void scenekit_assign_fours(float* values, int64_t* order, const float* target, int64_t height,
                                           int64_t width, int64_t channels, const int64_t* groups, int64_t count,
                                           int64_t side, int64_t top, int64_t left, double* gain) {
  *gain = 0;
  if (side < 2) return;
  const Grid grid{height, width, channels};
  const Blocks blocks{side, top, left, width / side, count};
  const int64_t total = (height / side) * blocks.across * count;
  std::vector<double> gains((size_t)((total + PIECE - 1) / PIECE), 0.0);
  double* sums = gains.data();
  parallel(total, PIECE, [=](int64_t begin, int64_t end, int) {
    double sum = 0;
    for (int64_t i = begin; i < end; i += WIDTH) {
      Four fours[WIDTH];
      int lanes = end - i < WIDTH ? (int)(end - i) : WIDTH;
      for (int lane = 0; lane < lanes; ++lane) fours[lane] = cells_of(grid, blocks, groups, i + lane);
      sum += assign(fours, lanes, channels, values, order, target);
    }
    sums[begin / PIECE] = sum;
  });
  for (double sum : gains) *gain += sum;
}
