"""Every operator with a CUDA body against its reference on the CPU: values, gradients, odd inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conformance.op_samples import SAMPLES
from conformance.test_ops import (
    _arguments,
    _assert_near,
    _converted,
    _gradients,
    _spread,
    _tensors,
)
from torch import Tensor
from torch.utils._pytree import tree_map

from scenekit.kernels import OPS

NAMES = sorted(name for name, op in OPS.items() if op.cuda is not None)
DIFFERENTIABLE = [name for name in NAMES if OPS[name].differentiable]


def _on(device: torch.device, tree: Any) -> Any:
    return tree_map(lambda x: x.detach().to(device) if isinstance(x, Tensor) else x, tree)


def _back(tensors: list[Tensor]) -> list[Tensor]:
    return [x.detach().cpu() for x in tensors]


@pytest.mark.parametrize("rows", ["many", 1, 0])
@pytest.mark.parametrize("name", NAMES)
def test_values_match_the_reference(name: str, rows: str | int, gpu: torch.device):
    sample = SAMPLES[name]
    arguments = _arguments(name, torch.float32, sample.rows if rows == "many" else int(rows))
    mine, theirs = _on(gpu, arguments), _converted(arguments, sample.reference_dtype)
    found, wanted = _tensors(OPS[name](*mine)), _tensors(OPS[name].reference(*theirs))
    _assert_near(_back(found), wanted, sample.tolerance, "output")
    _assert_near(_back(_tensors(mine)), _tensors(theirs), sample.tolerance, "argument after the call")


@pytest.mark.parametrize("rows", ["many", 1, 0])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_match_the_reference(name: str, rows: str | int, gpu: torch.device):
    sample = SAMPLES[name]
    arguments = _arguments(name, torch.float32, sample.rows if rows == "many" else int(rows))
    wanted = _gradients(OPS[name].reference, sample, _converted(arguments, sample.reference_dtype))
    _assert_near(_back(_gradients(OPS[name], sample, _on(gpu, arguments))), wanted, sample.tolerance, "gradient")


@pytest.mark.parametrize("name", NAMES)
def test_tensors_with_gaps_in_memory_are_taken(name: str, gpu: torch.device):
    sample = SAMPLES[name]
    arguments = _arguments(name, torch.float32, sample.check_rows)
    mine, theirs = tree_map(_spread, _on(gpu, arguments)), _converted(arguments, sample.reference_dtype)
    found, wanted = _tensors(OPS[name](*mine)), _tensors(OPS[name].reference(*theirs))
    _assert_near(_back(found), wanted, sample.tolerance, "output")
