// Adam over several tensors in one launch, bound by memory. A block takes a piece of one tensor, a thread four entries
// at a time, in one access each where the arrays allow it. Rates and corrections are read from memory, for a graph that
// captured the launch repeats its arguments.
#include "adam.h"

using namespace scenekit;

namespace {

constexpr int THREADS = 256, TURNS = 4, PIECE = 4 * TURNS * THREADS;  // entries of a block

struct Part {
  float *parameter, *gradient, *moment1, *moment2;
  long long count, row;
  bool sparse, whole;  // `whole`: all arrays begin at a multiple of 16 bytes
};

struct Rule {
  AdamStep step;
  bool sparse, clear;
  int* bad;

  __device__ void update(float gradient, float& parameter, float& m1, float& m2) const {
    if (bad && (__float_as_uint(gradient) & 0x7f800000u) == 0x7f800000u) {
      *bad = 1;
      return;
    }
    if (!sparse || gradient != 0.0f) adam_step<float>(step, gradient, parameter, m1, m2);
  }
};

__device__ void update_four(const Rule& rule, const Part& part, long long first, const float4& g) {
  const bool nothing = g.x == 0.0f && g.y == 0.0f && g.z == 0.0f && g.w == 0.0f;
  if (rule.sparse && nothing) return;
  float4 p = *(float4*)(part.parameter + first);
  float4 a = *(float4*)(part.moment1 + first), b = *(float4*)(part.moment2 + first);
  rule.update(g.x, p.x, a.x, b.x);
  rule.update(g.y, p.y, a.y, b.y);
  rule.update(g.z, p.z, a.z, b.z);
  rule.update(g.w, p.w, a.w, b.w);
  *(float4*)(part.parameter + first) = p;
  *(float4*)(part.moment1 + first) = a;
  *(float4*)(part.moment2 + first) = b;
  if (rule.clear && !nothing) *(float4*)(part.gradient + first) = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
}

__device__ void update_one(const Rule& rule, const Part& part, long long i) {
  rule.update(part.gradient[i], part.parameter[i], part.moment1[i], part.moment2[i]);
  if (rule.clear) part.gradient[i] = 0.0f;
}

__device__ void update_piece(const Rule& rule, const Part& part, long long begin) {
  const long long mine = begin + 4 * threadIdx.x;
  if (part.whole && begin + PIECE <= part.count) {
    float4 g[TURNS];
#pragma unroll
    for (int k = 0; k < TURNS; ++k) g[k] = __ldcs((const float4*)(part.gradient + mine + k * 4 * THREADS));
#pragma unroll
    for (int k = 0; k < TURNS; ++k) update_four(rule, part, mine + k * 4 * THREADS, g[k]);
    return;
  }
  for (long long i = begin + threadIdx.x; i < begin + PIECE && i < part.count; i += THREADS) update_one(rule, part, i);
}

// Whether the block's piece is one of this part's; if not, `piece` counts on from the next one's first.
__device__ __forceinline__ bool holds(const Part& part, long long& piece) {
  const long long pieces = (part.count + PIECE - 1) / PIECE;
  if (piece < pieces) return true;
  piece -= pieces;
  return false;
}

}  // namespace

// A tensor: `how` is four times its row in `numbers` and `bad`, 2 if sparse, 1 if whole.
#define PART(n)                                                                                                \
  float *parameter##n, float *gradient##n, float *moment1_##n, float *moment2_##n, long long count##n, long long how##n
#define THE_PART(n) \
  { parameter##n, gradient##n, moment1_##n, moment2_##n, count##n, how##n >> 2, (how##n & 2) != 0, (how##n & 1) != 0 }

// `numbers`: for each row the members of AdamStep. `bad`, if not null, gets a 1 where a gradient is no number.
extern "C" __global__ void __launch_bounds__(THREADS)
    adam(const float* numbers, long long clear, int* bad, PART(0), PART(1), PART(2), PART(3), PART(4), PART(5),
         PART(6), PART(7)) {
  const Part parts[] = {THE_PART(0), THE_PART(1), THE_PART(2), THE_PART(3),
                        THE_PART(4), THE_PART(5), THE_PART(6), THE_PART(7)};
  long long piece = blockIdx.x;
  Part part{};
  bool found = false;
#pragma unroll
  for (int n = 0; n < 8; ++n) {
    if (found || !holds(parts[n], piece)) continue;
    part = parts[n];
    found = true;
  }
  const float* s = numbers + 6 * part.row;
  const Rule rule{{s[0], s[1], s[2], s[3], s[4], s[5]}, part.sparse, clear != 0, bad ? bad + part.row : nullptr};
  update_piece(rule, part, piece * PIECE);
}
