"""Where torch asks for deterministic algorithms, the order in which blocks and threads come changes no bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from conformance.op_samples import SAMPLES
from conformance.test_ops import _arguments, _converted, _tensors

from scenekit.kernels import OPS

from .emulator import COMPILER, emulated
from .rows import ROWS

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

NAMES = sorted(name for name, op in OPS.items() if op.cuda is not None)


@pytest.fixture
def fixed_order() -> Iterator[None]:
    """torch's own switch."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("fixed_order")
@pytest.mark.parametrize("name", NAMES)
def test_a_body_gives_the_same_bits_in_every_order(name: str, monkeypatch: pytest.MonkeyPatch):
    given = _arguments(name, torch.float32, ROWS.get(name, SAMPLES[name].rows))
    body = OPS[name].cuda
    assert body is not None
    runs = []
    with emulated(monkeypatch) as gpu:
        for shuffle in (0, 100, 200):
            gpu.launches = shuffle
            arguments = _converted(given, torch.float32)
            runs.append([*_tensors(body(*arguments)), *_tensors(arguments)])
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))
