// Loops of the search for nearest points: points are put into buckets, queries come in pieces.
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
    const int along = std::max(1, std::min(D == 2 ? 2048 : 128, (int)std::pow(0.5 * (double)count, 1.0 / D)));
    float low[D], high[D];
    std::copy_n(points, D, low);
    std::copy_n(points, D, high);
    for (int64_t i = 1; i < count; ++i)
      for (int axis = 0; axis < D; ++axis) {
        low[axis] = std::min(low[axis], points[i * D + axis]);
        high[axis] = std::max(high[axis], points[i * D + axis]);
      }
    cells.span(along, low, high);
    int64_t total = 1;
    for (int axis = 0; axis < D; ++axis) total *= along;
    begins_.assign(total + 1, 0);
    std::vector<int> cell(count);
    for (int64_t i = 0; i < count; ++i) {
      int at[D];
      cells.locate(points + i * D, at);
      cell[i] = cells.index(at);
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

  int64_t begin(int cell) const { return begins_[cell]; }

  int64_t take(int64_t i, float* place) const {
    for (int axis = 0; axis < D; ++axis) place[axis] = places_[i * D + axis];
    return names_[i];
  }

  Cells<D> cells;

 private:
  std::vector<int64_t> begins_, names_;
  std::vector<float> places_;
};

// The `k` nearest so far, nearest first.
struct Found {
  int64_t k;
  float* distances;
  int64_t* names;

  void clear() {
    for (int64_t i = 0; i < k; ++i) {
      distances[i] = std::numeric_limits<float>::infinity();
      names[i] = i;
    }
  }

  float farthest() const { return distances[k - 1]; }

  void offer(float distance, int64_t name) {
    if (!comes_before(distance, name, distances[k - 1], names[k - 1])) return;
    int64_t to = k - 1;
    for (; to > 0 && comes_before(distance, name, distances[to - 1], names[to - 1]); --to) {
      distances[to] = distances[to - 1];
      names[to] = names[to - 1];
    }
    distances[to] = distance;
    names[to] = name;
  }
};

template <int D> void search(const float* queries, int64_t count, const float* points, int64_t total, int64_t k,
                             int64_t* names) {
  Buckets<D> buckets(points, total);
  parallel(count, PIECE, [&](int64_t begin, int64_t end, int) {
    std::vector<float> distances(k);
    for (int64_t i = begin; i < end; ++i) {
      Found found{k, distances.data(), names + i * k};
      found.clear();
      find_nearest<D>(buckets.cells, buckets, queries + i * D, found);
    }
  });
}

}  // namespace

SCENEKIT_EXPORT void scenekit_nearest(const float* queries, int64_t count, int64_t dimensions, const float* points,
                                      int64_t total, int64_t k, int64_t* found) {
  (dimensions == 2 ? search<2> : search<3>)(queries, count, points, total, k, found);
}
