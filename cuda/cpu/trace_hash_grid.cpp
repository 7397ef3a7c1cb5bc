// Pictures of a grid in one pass, nothing between the stages ever reaching main memory. A thread follows
// some hundred neighbouring rays at once, a few samples of each in a round: marched, encoded, turned into
// densities, composited; only samples that are seen are asked for their colour. A ray that is done makes room
// for the next, so that rounds stay full.
#include "../trace.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "../composite.h"
#include "../spherical_harmonics.h"
#include "hash_grid_loop.h"
#include "march_loop.h"
#include "mlp_loop.h"
#include "pool.h"
#include "rbf_loop.h"

using namespace scenekit;

namespace {

constexpr int64_t SHORTEST = 64, LONGEST = 2048, TASKS = 16;  // fewest and most rays of a task, tasks in between
constexpr int64_t SLOTS = 192;                                // rays followed at once
constexpr int64_t ROUND = 8;                                  // samples of a ray in a round
constexpr int64_t BLOCK = SLOTS * ROUND;
constexpr int MOST = 25;                                      // basis functions of degree 4
static_assert(BLOCK % WIDTH == 0);

struct Rays {
  const float *origins, *directions, *near, *far, *jitter;
  int64_t count, max_samples;
};

struct Field {
  const float* table;
  Grid grid;
  std::optional<Neurons> neurons;
  Network density, color;
  float log_density, per_side;
  int degree;
  bool contracted, shaded, simplices;
};

struct Pixels {
  float *colors, *opacities, *distances;
  int64_t* samples;
};

struct Follower {
  RayMarch march;
  int64_t ray, taken, got;  // samples of all rounds, of this round
  float light, opacity, distance, color[3], basis[MOST];
  int64_t lit;
};

struct Seen {
  int64_t sample, slot;
  float weight;
};

// What one task holds: everything of a round.
class Round {
 public:
  Round(const Rays& rays, const StepRule& rule, const CellBits& occupancy, const Field& field, const Pixels& pixels)
      : rays_(rays), rule_(rule), occupancy_(occupancy), field_(field), pixels_(pixels), work_density_(field.density),
        work_color_(field.color), blended_(field.neurons ? BLOCK * field.grid.levels * field.grid.features : 0),
        encoded_(BLOCK * field.density.widths[0]), features_(BLOCK * feature_count()),
        inputs_(BLOCK * field.color.widths[0]), colors_(BLOCK * 3 + WIDTH) {
    followers_.reserve(SLOTS);
    seen_.reserve(BLOCK);
  }

  void trace(int64_t begin, int64_t end) {
    next_ = begin;
    end_ = end;
    for (;;) {
      fill();
      if (followers_.empty()) return;
      collect();
      encode();
      forward_rows(field_.density, encoded_.data(), count_, features_.data(), work_density_);
      find_alphas();
      blend();
      if (field_.shaded) shade();
      leave();
    }
  }

 private:
  int64_t feature_count() const { return field_.density.widths[field_.density.layers]; }

  void fill() {
    for (; next_ < end_ && (int64_t)followers_.size() < SLOTS; ++next_) {
      int64_t r = next_;
      const float *origin = rays_.origins + 3 * r, *d = rays_.directions + 3 * r;
      Follower f{};
      f.ray = r;
      f.light = 1.0f;
      if (!begin_march(rule_, occupancy_, origin, d, rays_.near[r], rays_.far[r], rays_.jitter[r], f.march)) {
        write(f);
        continue;
      }
      sh_basis<float>(d[0], d[1], d[2], field_.degree, [&f](int k, float value) { f.basis[k] = value; });
      followers_.push_back(f);
    }
  }

  // The next samples of every ray, and where they are in the field.
  void collect() {
    count_ = 0;
    for (Follower& f : followers_) {
      int64_t wanted = std::min(ROUND, rays_.max_samples - f.taken);
      f.got = march_on(rule_, occupancy_, f.march, wanted, distances_ + count_, deltas_ + count_);
      f.taken += f.got;
      for (int64_t i = count_; i < count_ + f.got; ++i) {
        for (int a = 0; a < 3; ++a) {
          points_[a * BLOCK + i] = f.march.ray.origin[a] + f.march.ray.direction[a] * distances_[i];
        }
      }
      count_ += f.got;
    }
    for (int64_t i = 0; i < count_; i += WIDTH) {
      Wide p[3];
      for (int a = 0; a < 3; ++a) p[a] = load<WIDTH>(points_ + a * BLOCK + i);
      field_position<Wide>(p, field_.contracted, field_.per_side);
      for (int a = 0; a < 3; ++a) store(points_ + a * BLOCK + i, p[a]);
    }
  }

  void encode() {
    float* blended = field_.neurons ? blended_.data() : encoded_.data();
    (field_.simplices ? encode_simplices : encode_block)(points_, BLOCK, count_, field_.table, field_.grid, blended);
    if (field_.neurons) field_.neurons->answer(blended, count_, encoded_.data());
  }

  void find_alphas() {
    const int64_t width = feature_count();
    for (int64_t i = 0; i < count_; ++i) alphas_[i] = features_[i * width] + field_.log_density;
    for (int64_t i = 0; i < count_; i += WIDTH) {
      store(alphas_ + i, step_alpha<Wide>(load<WIDTH>(alphas_ + i), load<WIDTH>(deltas_ + i)));
    }
  }

  void blend() {
    seen_.clear();
    int64_t first = 0;
    for (size_t slot = 0; slot < followers_.size(); ++slot) {
      Follower& f = followers_[slot];
      for (int64_t i = first; i < first + f.got && f.light >= STOP; ++i) {
        float weight = blend_sample(alphas_[i], f.light);
        f.opacity += weight;
        f.distance += weight * distances_[i];
        ++f.lit;
        if (weight > INVISIBLE) seen_.push_back({i, (int64_t)slot, weight});
      }
      first += f.got;
    }
  }

  void shade() {
    const int64_t count = (int64_t)seen_.size(), features = feature_count(), width = field_.color.widths[0];
    for (int64_t i = 0; i < count; ++i) {
      float* to = inputs_.data() + i * width;
      std::copy_n(features_.data() + seen_[i].sample * features, features, to);
      std::copy_n(followers_[seen_[i].slot].basis, width - features, to + features);
    }
    forward_rows(field_.color, inputs_.data(), count, colors_.data(), work_color_);
    for (int64_t i = 0; i < 3 * count; i += WIDTH) {
      store(colors_.data() + i, sigmoid<Wide>(load<WIDTH>(colors_.data() + i)));
    }
    for (int64_t i = 0; i < count; ++i) {
      for (int c = 0; c < 3; ++c) followers_[seen_[i].slot].color[c] += seen_[i].weight * colors_[3 * i + c];
    }
  }

  // Rays that are done leave.
  void leave() {
    size_t kept = 0;
    for (size_t slot = 0; slot < followers_.size(); ++slot) {
      const Follower& f = followers_[slot];
      if (f.got == ROUND && f.taken < rays_.max_samples && f.light >= STOP) {
        if (kept != slot) followers_[kept] = f;
        ++kept;
      } else {
        write(f);
      }
    }
    followers_.resize(kept);
  }

  void write(const Follower& f) {
    std::copy_n(f.color, 3, pixels_.colors + 3 * f.ray);
    pixels_.opacities[f.ray] = f.opacity;
    pixels_.distances[f.ray] = f.distance;
    pixels_.samples[f.ray] = f.lit;
  }

  const Rays& rays_;
  const StepRule& rule_;
  const CellBits& occupancy_;
  const Field& field_;
  const Pixels& pixels_;
  Workspace work_density_, work_color_;
  std::vector<float> blended_, encoded_, features_, inputs_, colors_;
  std::vector<Follower> followers_;
  std::vector<Seen> seen_;
  // Lanes beyond the count hold what earlier rounds left; nobody reads what comes of them.
  alignas(64) float points_[3 * BLOCK] = {}, distances_[BLOCK] = {}, deltas_[BLOCK] = {}, alphas_[BLOCK] = {};
  int64_t next_ = 0, end_ = 0, count_ = 0;
};

}  // namespace

// `sizes`: max_samples, cascades, grid, powers, features, levels, layers of density and colour, degree, whether
// contracted, whether colours are wanted, whether cells are simplices, which function neurons are, 0 where there are none;
// their scales and shifts are null then. `numbers`: log of the initial density, half the side of the field.
SCENEKIT_EXPORT void scenekit_trace_hash_grid(
    const float* origins, const float* directions, const float* near, const float* far, const float* jitter,
    int64_t count, const Word* words, const float* constants, const float* powers, const int64_t* sizes,
    const float* numbers, const float* table, const float* scales, const int64_t* resolutions, const int64_t* offsets,
    const float* neuron_scales, const float* neuron_shifts, const float* density_weights,
    const int64_t* density_widths, const float* color_weights, const int64_t* color_widths, float* colors,
    float* opacities, float* distances, int64_t* samples) {
  Rays rays{origins, directions, near, far, jitter, count, sizes[0]};
  const CellBits occupancy = cell_bits(words, sizes[1], sizes[2]);
  StepRule rule = step_rule(constants, powers, sizes[3]);
  std::optional<Neurons> neurons;
  if (sizes[12]) {
    neurons.emplace(neuron_scales, neuron_shifts, density_widths[0], sizes[4] * sizes[5], (Radial)sizes[12]);
  }
  Field field{table,
              {sizes[4], sizes[5], scales, resolutions, offsets},
              std::move(neurons),
              Network(density_weights, density_widths, sizes[6]),
              Network(color_weights, color_widths, sizes[7]),
              numbers[0],
              0.5f / numbers[1],
              (int)sizes[8],
              sizes[9] != 0,
              sizes[10] != 0,
              sizes[11] != 0};
  Pixels pixels{colors, opacities, distances, samples};
  int64_t task = std::clamp((count + TASKS - 1) / TASKS, SHORTEST, LONGEST);
  parallel(count, task, [&](int64_t begin, int64_t end, int) {
    auto round = std::make_unique<Round>(rays, rule, occupancy, field, pixels);
    round->trace(begin, end);
  });
}
