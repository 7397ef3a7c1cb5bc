"""Our rays and samples as nerfacc has them, with its three functions written out in plain torch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from conformance.op_samples import SAMPLES
from conformance.test_ops import _arguments, _assert_near, _tensors
from torch import Tensor

from scenekit.kernels import OPS, StepRule, march


def _render_weight_from_alpha(alphas: Tensor, packed_info: Tensor) -> tuple[Tensor, Tensor]:
    starts, counts = packed_info.T.tolist()
    assert sum(counts) == len(alphas), "its kernels write what lies in chunks, and nothing else"
    light = [
        torch.cat([alphas.new_ones(1), (1 - alphas[start : start + count])[:-1].cumprod(0)])[:count]
        for start, count in zip(starts, counts, strict=True)
    ]
    return torch.cat(light) * alphas, torch.cat(light)


def _accumulate_along_rays(weights: Tensor, values: Tensor | None, owners: Tensor, rays: int) -> Tensor:
    summands = weights[:, None] if values is None else weights[:, None] * values
    return summands.new_zeros(rays, summands.shape[1]).index_add(0, owners, summands)


def _traverse_grids(origins: Tensor, directions: Tensor, occupancy: Tensor, boxes: Tensor, **options: Any) -> Any:
    """Equal steps through one grid, as that function takes and returns them."""
    assert boxes.shape == (len(occupancy), 6)
    edges, sides, counts = [], [], []
    low, high = boxes[-1, :3], boxes[-1, 3:]
    for origin, direction, near, far in zip(
        origins, directions, options["near_planes"], options["far_planes"], strict=True
    ):
        begins = near + options["step_size"] * torch.arange(10_000)
        middles = begins + options["step_size"] / 2
        cells = ((origin + middles[:, None] * direction - low) / (high - low) * occupancy.shape[-1]).floor().long()
        inside = ((cells >= 0) & (cells < occupancy.shape[-1])).all(-1) & (middles < far)
        kept = inside.clone()
        kept[inside] = occupancy[-1][tuple(cells[inside].T)]
        begins = begins[kept][: options["traverse_steps_limit"]]
        edges += [begins, begins + options["step_size"]]
        sides += [torch.zeros(len(begins)), torch.ones(len(begins))]
        counts.append(len(begins))
    right = torch.cat(sides) > 0
    packed = torch.stack([torch.tensor(counts).cumsum(0) - torch.tensor(counts), torch.tensor(counts)], -1)
    intervals = SimpleNamespace(vals=torch.cat(edges), is_left=~right, is_right=right)
    return intervals, SimpleNamespace(packed_info=packed), None


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    stand_in = ModuleType("nerfacc")
    functions = {"render_weight_from_alpha": _render_weight_from_alpha,
                 "accumulate_along_rays": _accumulate_along_rays, "traverse_grids": _traverse_grids}  # fmt: skip
    vars(stand_in).update(functions)
    monkeypatch.setitem(sys.modules, "nerfacc", stand_in)
    yield importlib.import_module("scenekit.kernels.adapters.nerfacc")
    sys.modules.pop("scenekit.kernels.adapters.nerfacc", None)


@pytest.mark.parametrize("rows", [300, 1])
@pytest.mark.parametrize("name", ["composite", "composite_backward"])
def test_compositing_is_ours(name: str, rows: int, adapter: Any):
    arguments = _arguments(name, torch.float32, rows)
    found, wanted = adapter.BODIES[name](*arguments), OPS[name].reference(*arguments)
    _assert_near(_tensors(found), _tensors(wanted), SAMPLES[name].tolerance, "output")
    assert adapter.BODIES[name](*_arguments(name, torch.float32, 0)) is NotImplemented


def test_equal_steps_are_ours(adapter: Any):
    origins, directions, near, far, _, jitter, *_ = _arguments("march", torch.float32, 40)
    occupancy = torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.4
    rays = (origins, directions, near, far, occupancy, jitter)
    rule = StepRule(0.03, 0.03)
    for capacity, counts in ((None, None), (90, None), (300, torch.arange(40) % 9)):
        wanted = march(*rays, rule, 20, capacity=capacity, counts=counts)
        packed, room = rule.packed(torch.float32, torch.device("cpu")), -1 if capacity is None else capacity
        distances, deltas, offsets, needed, left_out, owners = adapter.march(*rays, packed, 20, room, counts, None)
        assert torch.equal(offsets, wanted.offsets)
        torch.testing.assert_close(distances, wanted.distances)
        torch.testing.assert_close(deltas, wanted.deltas)
        assert needed == wanted.needed
        assert wanted.left_out is None or torch.equal(left_out, wanted.left_out)
        assert wanted.owners is None or torch.equal(owners, wanted.owners)
