"""Every operator with a CUDA body against its reference: the body as it is, its kernels emulated on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conformance.op_samples import SAMPLES
from conformance.test_ops import _arguments, _assert_near, _converted, _spread, _tensors
from torch import Tensor
from torch.utils._pytree import tree_map

from scenekit.kernels import OPS

from .emulator import COMPILER, emulated
from .rows import ROWS

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

NAMES = sorted(name for name, op in OPS.items() if op.cuda is not None)
HALVES = [
    (name, d)
    for name in NAMES
    for d in (torch.float16, torch.bfloat16)
    if d in OPS[name].cuda_dtypes and SAMPLES[name].half is not None
]


def _run(name: str, arguments: Any) -> list[Tensor]:
    body = OPS[name].cuda
    assert body is not None
    return _tensors(body(*arguments))


def _compare(name: str, arguments: Any, monkeypatch: pytest.MonkeyPatch, architecture: str = "sm_90") -> None:
    sample = SAMPLES[name]
    theirs = _converted(arguments, sample.reference_dtype)
    with emulated(monkeypatch, architecture):
        found = _run(name, arguments)
    _assert_near(found, _tensors(OPS[name].reference(*theirs)), sample.tolerance, "output")
    _assert_near(_tensors(arguments), _tensors(theirs), sample.tolerance, "argument after the call")


@pytest.mark.parametrize("rows", ["many", 1, 0])
@pytest.mark.parametrize("name", NAMES)
def test_values_match_the_reference(name: str, rows: str | int, monkeypatch: pytest.MonkeyPatch):
    count = ROWS.get(name, SAMPLES[name].rows) if rows == "many" else int(rows)
    _compare(name, _arguments(name, torch.float32, count), monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_values_match_the_reference_on_the_oldest_gpu(name: str, monkeypatch: pytest.MonkeyPatch):
    _compare(name, _arguments(name, torch.float32, SAMPLES[name].check_rows), monkeypatch, "sm_75")


@pytest.mark.parametrize("name", NAMES)
def test_tensors_with_gaps_in_memory_are_taken(name: str, monkeypatch: pytest.MonkeyPatch):
    arguments = tree_map(_spread, _arguments(name, torch.float32, SAMPLES[name].check_rows))
    _compare(name, arguments, monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_at_odd_addresses_are_taken(name: str, monkeypatch: pytest.MonkeyPatch):
    arguments = tree_map(_shifted, _arguments(name, torch.float32, SAMPLES[name].check_rows))
    _compare(name, arguments, monkeypatch)


@pytest.mark.parametrize(("name", "dtype"), HALVES)
def test_half_precision_is_near_the_reference(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    sample = SAMPLES[name]
    arguments = _converted(_arguments(name, torch.float32, sample.check_rows), dtype)
    wanted = _tensors(OPS[name].reference(*_converted(arguments, torch.float64)))
    with emulated(monkeypatch):
        found = _run(name, arguments)
    _assert_near(found, wanted, sample.half or 0.0, "output")


def _shifted(x: Any) -> Any:
    """The same values, contiguous, one element into a larger piece of memory."""
    if not isinstance(x, Tensor) or x.dim() == 0:
        return x
    memory = torch.cat([x.new_zeros(1), x.detach().flatten()])
    return memory[1:].view(x.shape)
