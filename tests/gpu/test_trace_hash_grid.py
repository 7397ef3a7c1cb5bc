"""Tracing on a GPU by every number of lanes to a ray, networks in half precision and in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conformance.test_ops import _assert_near
from kernels.gpu.test_trace_hash_grid import FIELDS, NEURONS_ON, TABLE, arguments_of, with_neurons
from torch.utils._pytree import tree_map

from scenekit.kernels import OPS


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("precision", ["highest", "high"])
@pytest.mark.parametrize("simplices", [False, True])
@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_rays_see_what_the_reference_sees(
    field: Any, simplices: bool, precision: str, lanes: int, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
):
    *shape, dtype = field
    arguments = arguments_of(5000, *shape, simplices=simplices)
    arguments[TABLE] = arguments[TABLE].to(dtype)
    _compare(arguments, precision, lanes, gpu, monkeypatch)


@pytest.mark.parametrize("lanes", [1, 8, 32])
@pytest.mark.parametrize("precision", ["highest", "high"])
@pytest.mark.parametrize("simplices", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("of", NEURONS_ON, ids=str)
def test_rays_see_neurons_as_the_reference_does(
    of: Any,
    dtype: torch.dtype,
    simplices: bool,
    precision: str,
    lanes: int,
    gpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
):
    features, *neurons = of
    arguments = with_neurons(arguments_of(5000, features, simplices=simplices), *neurons)
    arguments[TABLE] = arguments[TABLE].to(dtype)
    _compare(arguments, precision, lanes, gpu, monkeypatch)


def _compare(
    arguments: list[Any], precision: str, lanes: int, gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenekit.kernels.gpu.trace_hash_grid.lanes_of", lambda _: lanes)
    wanted = OPS["trace_hash_grid"].reference(*arguments)
    torch.set_float32_matmul_precision(precision)
    try:
        found = OPS["trace_hash_grid"](*tree_map(lambda x: x.to(gpu) if isinstance(x, torch.Tensor) else x, arguments))
    finally:
        torch.set_float32_matmul_precision("highest")
    _assert_near([x.cpu() for x in found[:3]], list(wanted[:3]), 2e-4 if precision == "highest" else 1e-2, "output")
    assert (found[3].cpu() != wanted[3]).float().mean() < (1e-3 if precision == "highest" else 0.05)
