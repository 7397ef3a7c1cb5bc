// Leaves of the parallel sort into a grid (PLAS): of the 24 ways to put four rows on four cells, the one whose rows
// are nearest to what the cells want. Squared distances differ between the ways by dot products alone.
#pragma once

#include "lanes.h"

namespace scenekit {

constexpr int WAYS = 24;

// Row that a way puts on a cell; ways in the order of their rows. The first leaves everything where it is.
SK_LEAF constexpr int row_of(int way, int cell) {
  const int first = way / 6, of_three = way % 6 / 2, second = of_three + (of_three >= first);
  const int low = first < second ? first : second, high = first < second ? second : first;
  const int past_low = way % 2 + (way % 2 >= low), third = past_low + (past_low >= high);
  return cell == 0 ? first : cell == 1 ? second : cell == 2 ? third : 6 - first - second - third;
}

// The best of the ways from WAY on, where it is better than `best`.
template <int WAY, class T> SK_LEAF void try_ways(const T (&dots)[4][4], T& best, T& way) {
  if constexpr (WAY < WAYS) {
    constexpr int a = row_of(WAY, 0), b = row_of(WAY, 1), c = row_of(WAY, 2), d = row_of(WAY, 3);
    T sum = (dots[a][0] + dots[b][1]) + (dots[c][2] + dots[d][3]);
    way = select(sum > best, splat<T>((float)WAY), way);
    best = max(best, sum);
    try_ways<WAY + 1, T>(dots, best, way);
  }
}

// `dots[r][c]`: row r times what cell c wants. Returns the number of the best way, as a lane, and by how much its
// sum of dot products exceeds that of leaving everything, which wins ties.
template <class T> SK_LEAF T best_way(const T (&dots)[4][4], T& excess) {
  T stay = (dots[0][0] + dots[1][1]) + (dots[2][2] + dots[3][3]);
  T best = stay, way = splat<T>(0.0f);
  try_ways<1, T>(dots, best, way);
  excess = best - stay;
  return way;
}

}  // namespace scenekit
