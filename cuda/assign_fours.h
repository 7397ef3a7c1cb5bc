// Leaves of the parallel sort into a grid (PLAS): of the 24 ways to put four rows on four cells, the one whose rows
// are nearest to what the cells want. Squared distances differ between the ways by dot products alone.
#pragma once

#include "lanes.h"

namespace scenekit {

constexpr int WAYS = 24;
// Row put on each of the four cells. The first way leaves everything where it is and wins ties.
constexpr int WAY[WAYS][4] = {{0, 1, 2, 3}, {0, 1, 3, 2}, {0, 2, 1, 3}, {0, 2, 3, 1}, {0, 3, 1, 2}, {0, 3, 2, 1},
                              {1, 0, 2, 3}, {1, 0, 3, 2}, {1, 2, 0, 3}, {1, 2, 3, 0}, {1, 3, 0, 2}, {1, 3, 2, 0},
                              {2, 0, 1, 3}, {2, 0, 3, 1}, {2, 1, 0, 3}, {2, 1, 3, 0}, {2, 3, 0, 1}, {2, 3, 1, 0},
                              {3, 0, 1, 2}, {3, 0, 2, 1}, {3, 1, 0, 2}, {3, 1, 2, 0}, {3, 2, 0, 1}, {3, 2, 1, 0}};

// `dots[r][c]`: row r times what cell c wants. Returns the number of the best way, as a lane, and by how much its
// sum of dot products exceeds that of leaving everything.
template <class T> SK_LEAF T best_way(const T (&dots)[4][4], T& excess) {
  T stay = (dots[0][0] + dots[1][1]) + (dots[2][2] + dots[3][3]);
  T best = stay, way = splat<T>(0.0f);
  for (int i = 1; i < WAYS; ++i) {
    T sum = (dots[WAY[i][0]][0] + dots[WAY[i][1]][1]) + (dots[WAY[i][2]][2] + dots[WAY[i][3]][3]);
    way = select(sum > best, splat<T>((float)i), way);
    best = max(best, sum);
  }
  excess = best - stay;
  return way;
}

}  // namespace scenekit
