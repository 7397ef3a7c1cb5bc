"""Layers on tensor cores, piece by piece: small integers are exact in halves, so results are too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scenekit import resources
from scenekit.kernels.gpu import launch
from scenekit.kernels.gpu.compile import Source

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

# One warp takes 32 samples through the layer, back, and through a square of shared memory.
KERNEL = """
#include "CUDA/strip.cuh"
using namespace scenekit;

extern "C" __global__ void layer(const float* x, long long by_feature, long long count, const float* w, float* y,
                                 float* back, float* rows) {
  SK_DYNAMIC_SHARED(unsigned, weights);
  unsigned* values = weights + squares(FAN_OUT) * squares(FAN_IN) * SQUARE;
  const int warp = threadIdx.x / 32;
  load_columns<FAN_OUT, FAN_IN, 0, FAN_IN, true>(w, weights, squares(FAN_IN), 0, warp, blockDim.x / 32);
  __syncthreads();
  if (warp != 0) return;
  const auto a = read_strip<FAN_IN, HEIGHT>(x, by_feature, 0, count, 1.0f);
  Fragments<HEIGHT, squares(FAN_OUT)> b;
  dense<squares(FAN_OUT)>(a, weights, [&](int o, const Sums<HEIGHT>& sums) {
    write_strip<FAN_OUT>(sums, o, 0.5f, y, false, 0, count);
    keep_rectified(sums, b, o);
  });
  dense_back<squares(FAN_IN)>(b, weights, [&](int i, const Sums<HEIGHT>& sums) {
    write_strip<FAN_IN>(sums, i, 1.0f, back, by_feature, 0, count);
  });
  store<squares(FAN_IN), squares(FAN_IN)>(a, values);
  __syncwarp();
  Fragments<HEIGHT, squares(FAN_IN)> same;
  load_activations<squares(FAN_IN), squares(FAN_IN)>(values, same, 0);
  bool whole = true;
  for (int r = 0; r < HEIGHT; ++r)
    for (int c = 0; c < squares(FAN_IN); ++c)
      for (int q = 0; q < 4; ++q) whole = whole && same.of[r][c][q] == a.of[r][c][q];
  for (int i = threadIdx.x; i < 16 * HEIGHT * squares(FAN_IN); i += 32) {
    const int row = i % 16, r = i / 16 % HEIGHT, c = i / 16 / HEIGHT, sample = sample_at<HEIGHT>(r, row);
    float channels[16];
    unsigned* square = values + (r * squares(FAN_IN) + c) * SQUARE;
    get_row(square, row, channels);
    put_row(channels, square, row);
    get_row(square, row, channels);
    for (int k = 0; k < 16; ++k)
      if (whole && sample < count && 16 * c + k < FAN_IN) rows[sample * FAN_IN + 16 * c + k] = channels[k];
  }
}
"""


@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
@pytest.mark.parametrize("by_feature", [False, True])
@pytest.mark.parametrize(
    ("fan_in", "fan_out", "rows", "tall"),
    [(32, 64, 32, 2), (20, 3, 27, 2), (20, 3, 28, 2), (3, 33, 1, 2), (7, 16, 17, 2), (20, 3, 14, 1), (33, 2, 13, 1)],
)
def test_a_layer_is_exact_on_small_integers(
    fan_in: int,
    fan_out: int,
    rows: int,
    tall: int,
    by_feature: bool,
    architecture: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    g = torch.Generator().manual_seed(5)
    x = torch.randint(-3, 4, (rows, fan_in), generator=g).float()
    w = torch.randint(-3, 4, (fan_out, fan_in), generator=g).float()
    (tmp_path / "layer.cu").write_text(KERNEL.replace("CUDA", str(resources.path("cuda"))))
    y, back, again = torch.empty(rows, fan_out), torch.empty_like(x), torch.empty_like(x)
    monkeypatch.setattr(resources, "path", lambda _: tmp_path)
    wide = -(-fan_in // 16)
    shared = 512 * (-(-fan_out // 16) + tall) * wide
    given, stands = (x.t().contiguous(), (fan_in, rows)) if by_feature else (x, (rows, fan_in))
    with emulated(monkeypatch, architecture):
        source = Source.of("layer", FAN_IN=fan_in, FAN_OUT=fan_out, HEIGHT=tall)
        launch.launch(source, "layer", 1, 64, given, by_feature, rows, w, y, back, again, shared=shared)
    assert torch.equal(y, 0.5 * x @ w.T)
    found = back.view(stands)
    assert torch.equal(found.t() if by_feature else found, (x @ w.T).relu() @ w)
    assert torch.equal(again, x)
