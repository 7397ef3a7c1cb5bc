// Leaves of the search for nearest points. Points are sorted into the cells of a grid with about two each; a query looks
// at its own cell, then at the shell of cells around it, and so on until no unseen point can be nearer.
#pragma once

#include "lanes.h"

namespace scenekit {

template <int D, class T> SK_LEAF T squared_distance(const T* a, const T* b) {
  T sum = (a[0] - b[0]) * (a[0] - b[0]);
  for (int axis = 1; axis < D; ++axis) sum = sum + (a[axis] - b[axis]) * (a[axis] - b[axis]);
  return sum;
}

// Of equally near points the first is taken.
template <class Name> SK_LEAF bool comes_before(float distance, Name name, float other, Name others) {
  return distance < other || (distance == other && name < others);
}

// The cell along one axis of `cells` that start at `low`, `per_unit` of them a unit; the nearest for a coordinate
// outside, the first for none at all.
SK_LEAF int cell_of(float x, float low, float per_unit, int cells) {
  float at = (x - low) * per_unit;
  return !(at > 0.0f) ? 0 : at < (float)(cells - 1) ? to_int(at) : cells - 1;
}

// `along` cells along each axis, the last axis fastest.
template <int D> struct Cells {
  int along;
  float low[D], width[D];

  // Of points between `low` and `high`.
  SK_LEAF void span(int cells, const float* from, const float* to) {
    along = cells;
    for (int axis = 0; axis < D; ++axis) {
      low[axis] = from[axis];
      width[axis] = max(to[axis] - from[axis], 1e-20f) / (float)cells;
    }
  }

  SK_LEAF void locate(const float* x, int* at) const {
    for (int axis = 0; axis < D; ++axis) at[axis] = cell_of(x[axis], low[axis], 1.0f / width[axis], along);
  }

  SK_LEAF int index(const int* at) const {
    int cell = 0;
    for (int axis = 0; axis < D; ++axis) cell = cell * along + at[axis];
    return cell;
  }

  // How far the query is from whatever lies beyond the cells at most `ring` away. A little less: cells round.
  SK_LEAF float clearance(const float* query, const int* at, int ring) const {
    float nearest = 3e38f;
    for (int axis = 0; axis < D; ++axis) {
      int first = at[axis] - ring, last = at[axis] + ring;
      float slack = 1e-3f * width[axis];
      if (first > 0) nearest = min(nearest, query[axis] - low[axis] - width[axis] * (float)first - slack);
      if (last < along - 1) nearest = min(nearest, low[axis] + width[axis] * (float)(last + 1) - query[axis] - slack);
    }
    return max(nearest, 0.0f);
  }
};

// Cells `from` to `to` of the last axis in a row of cells.
template <int D, class Points, class Found>
SK_LEAF void scan(const Points& points, int row, int along, int from, int to, const float* query, Found& found) {
  auto end = points.begin(row * along + to + 1);
  for (auto i = points.begin(row * along + from); i < end; ++i) {
    float place[D];
    auto name = points.take(i, place);
    found.offer(squared_distance<D, float>(query, place), name);
  }
}

// The part of a shell that lies in a row of cells: its two ends where the others have been seen, `within` the shell.
template <int D, class Points, class Found>
SK_LEAF void scan_row(const Points& points, int row, int along, int at, int ring, bool within, const float* query,
                      Found& found) {
  const int first = at - ring, last = at + ring;
  if (!within) {
    scan<D>(points, row, along, first > 0 ? first : 0, last < along ? last : along - 1, query, found);
    return;
  }
  if (first >= 0) scan<D>(points, row, along, first, first, query, found);
  if (ring > 0 && last < along) scan<D>(points, row, along, last, last, query, found);
}

// Offers `found` all points that may be among the nearest. `points` gives the begin() of a cell's, ends where the next
// begins, and take()s one: its place and its name.
template <int D, class Points, class Found>
SK_LEAF void find_nearest(const Cells<D>& cells, const Points& points, const float* query, Found& found) {
  int at[D];
  cells.locate(query, at);
  const int along = cells.along;
  for (int ring = 0; ring < along; ++ring) {
    const int first = at[0] > ring ? at[0] - ring : 0, last = at[0] + ring < along ? at[0] + ring : along - 1;
    for (int a = first; a <= last; ++a) {
      const bool within = a - at[0] < ring && at[0] - a < ring;
      if constexpr (D == 2) {
        scan_row<D>(points, a, along, at[1], ring, within, query, found);
      } else {
        const int left = at[1] > ring ? at[1] - ring : 0, right = at[1] + ring < along ? at[1] + ring : along - 1;
        for (int b = left; b <= right; ++b)
          scan_row<D>(points, a * along + b, along, at[2], ring, within && b - at[1] < ring && at[1] - b < ring, query,
                      found);
      }
    }
    const float safe = cells.clearance(query, at, ring);
    if (found.farthest() < safe * safe) return;
  }
}

}  // namespace scenekit
