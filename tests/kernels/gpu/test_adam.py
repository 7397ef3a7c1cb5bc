"""Adam's one launch over many tensors."""

from __future__ import annotations

import pytest
import torch

from scenekit.kernels import OPS, adam_numbers
from scenekit.kernels.gpu import adam

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

SIZES = (3, adam.PIECE, 0, 2 * adam.PIECE + 5, 1, *range(20, 26))


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("guarded", [False, True])
def test_tensors_of_all_sizes_are_stepped_in_as_few_launches_as_hold_them(
    guarded: bool, clear: bool, monkeypatch: pytest.MonkeyPatch
):
    generator = torch.Generator().manual_seed(2)
    state = [[torch.randn(n, generator=generator) for n in SIZES] for _ in range(4)]
    state[3] = [x.abs() for x in state[3]]
    for gradient in state[1]:
        gradient[torch.rand(len(gradient), generator=generator) < 0.3] = 0
    if guarded:
        state[1][3][7], state[1][4][0] = torch.nan, -torch.inf
    rows, sparse = [n % 5 for n in range(len(SIZES))], [n % 2 == 0 for n in range(len(SIZES))]
    numbers = torch.tensor([adam_numbers(learning_rate=0.1 * n, step=n + 1) for n in range(5)])
    bad = torch.zeros(5, dtype=torch.int32) if guarded else None
    theirs = [[x.clone() for x in part] for part in state]
    their_bad = None if bad is None else bad.clone()
    with emulated(monkeypatch) as gpu:
        OPS["adam_"].cuda(*state, numbers, rows, sparse, clear, bad)  # type: ignore[reportOptionalCall]
        assert gpu.launches == 2
    OPS["adam_"].reference(*theirs, numbers, rows, sparse, clear, their_bad)
    for found, wanted in zip(state, theirs, strict=True):
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)
    if guarded:
        assert bad is not None
        assert their_bad is not None
        assert bad.tolist() == [0, 0, 0, 1, 1]
        assert torch.equal(bad, their_bad)
