// Nearest points by buckets: points are sorted into the cells of a grid with about two each; a query looks at its
// own cell, then at the shell of cells around it, and so on until no unseen point can be nearer.
#include "../nearest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "pool.h"

using namespace scenekit;

namespace {

constexpr int64_t PIECE = 256;  // queries per piece

template <int D> class Buckets {
 public:
  Buckets(const float* points, int64_t count) {
    cells_ = std::max(1, std::min(D == 2 ? 2048 : 128, (int)std::pow(0.5 * (double)count, 1.0 / D)));
    for (int axis = 0; axis < D; ++axis) {
      float low = points[axis], high = points[axis];
      for (int64_t i = 1; i < count; ++i) {
        low = std::min(low, points[i * D + axis]);
        high = std::max(high, points[i * D + axis]);
      }
      low_[axis] = low;
      width_[axis] = std::max(high - low, 1e-20f) / (float)cells_;
      per_unit_[axis] = 1.0f / width_[axis];
    }
    int64_t total = 1;
    for (int axis = 0; axis < D; ++axis) total *= cells_;
    begins_.assign(total + 1, 0);
    std::vector<int64_t> cell(count);
    for (int64_t i = 0; i < count; ++i) {
      int at[D];
      locate(points + i * D, at);
      cell[i] = index(at);
      ++begins_[cell[i] + 1];
    }
    for (int64_t c = 0; c < total; ++c) begins_[c + 1] += begins_[c];
    std::vector<int64_t> next(begins_.begin(), begins_.end() - 1);
    places_.resize(count * D);
    names_.resize(count);
    for (int64_t i = 0; i < count; ++i) {
      int64_t to = next[cell[i]]++;
      std::copy_n(points + i * D, D, places_.data() + to * D);
      names_[to] = i;
    }
  }

  // The `k` nearest, nearest first; of equally near ones the first.
  void find(const float* query, int64_t k, float* distances, int64_t* found) const {
    for (int64_t i = 0; i < k; ++i) {
      distances[i] = std::numeric_limits<float>::infinity();
      found[i] = i;
    }
    int at[D];
    locate(query, at);
    for (int ring = 0; ring < cells_; ++ring) {
      shell(query, at, ring, k, distances, found);
      float safe = clearance(query, at, ring);
      if (distances[k - 1] < safe * safe) return;
    }
  }

 private:
  void locate(const float* x, int* at) const {
    for (int axis = 0; axis < D; ++axis) at[axis] = cell_of(x[axis], low_[axis], per_unit_[axis], cells_);
  }

  int64_t index(const int* at) const {
    int64_t cell = 0;
    for (int axis = 0; axis < D; ++axis) cell = cell * cells_ + at[axis];
    return cell;
  }

  // How far the query is from whatever lies beyond the cells at most `ring` away. A little less: cells round.
  float clearance(const float* query, const int* at, int ring) const {
    float nearest = std::numeric_limits<float>::infinity();
    for (int axis = 0; axis < D; ++axis) {
      int first = at[axis] - ring, last = at[axis] + ring;
      float slack = 1e-3f * width_[axis];
      if (first > 0) nearest = std::min(nearest, query[axis] - low_[axis] - width_[axis] * (float)first - slack);
      if (last < cells_ - 1) {
        nearest = std::min(nearest, low_[axis] + width_[axis] * (float)(last + 1) - query[axis] - slack);
      }
    }
    return std::max(nearest, 0.0f);
  }

  void shell(const float* query, const int* at, int ring, int64_t k, float* distances, int64_t* found) const {
    int first[D], last[D], cell[D];
    for (int axis = 0; axis < D; ++axis) {
      first[axis] = std::max(at[axis] - ring, 0);
      last[axis] = std::min(at[axis] + ring, cells_ - 1);
      cell[axis] = first[axis];
    }
    for (;;) {
      bool within = true;  // in all axes but the last: then only the two ends of the row are new
      for (int axis = 0; axis < D - 1; ++axis) within &= std::abs(cell[axis] - at[axis]) < ring;
      if (within) {
        cell[D - 1] = at[D - 1] - ring;
        if (cell[D - 1] >= 0) scan(index(cell), 1, query, k, distances, found);
        cell[D - 1] = at[D - 1] + ring;
        if (ring > 0 && cell[D - 1] < cells_) scan(index(cell), 1, query, k, distances, found);
      } else {
        cell[D - 1] = first[D - 1];
        scan(index(cell), last[D - 1] - first[D - 1] + 1, query, k, distances, found);
      }
      int axis = D - 2;
      while (axis >= 0 && cell[axis] == last[axis]) {
        cell[axis] = first[axis];
        --axis;
      }
      if (axis < 0) return;
      ++cell[axis];
    }
  }

  void scan(int64_t cell, int64_t cells, const float* query, int64_t k, float* distances, int64_t* found) const {
    for (int64_t i = begins_[cell]; i < begins_[cell + cells]; ++i) {
      float distance = squared_distance<D, float>(query, places_.data() + i * D);
      if (!(distance < distances[k - 1] || (distance == distances[k - 1] && names_[i] < found[k - 1]))) continue;
      int64_t to = k - 1;
      for (; to > 0 && (distance < distances[to - 1] || (distance == distances[to - 1] && names_[i] < found[to - 1]));
           --to) {
        distances[to] = distances[to - 1];
        found[to] = found[to - 1];
      }
      distances[to] = distance;
      found[to] = names_[i];
    }
  }

  int cells_;
  float low_[D], width_[D], per_unit_[D];
  std::vector<int64_t> begins_, names_;
  std::vector<float> places_;
};

template <int D> void search(const float* queries, int64_t count, const float* points, int64_t total, int64_t k,
                             int64_t* found) {
  Buckets<D> buckets(points, total);
  parallel(count, PIECE, [&](int64_t begin, int64_t end, int) {
    std::vector<float> distances(k);
    for (int64_t i = begin; i < end; ++i) buckets.find(queries + i * D, k, distances.data(), found + i * k);
  });
}

}  // namespace

SCENEKIT_EXPORT void scenekit_nearest(const float* queries, int64_t count, int64_t dimensions, const float* points,
                                      int64_t total, int64_t k, int64_t* found) {
  (dimensions == 2 ? search<2> : search<3>)(queries, count, points, total, k, found);
}
