"""Tracing with every way of following rays, through both kinds of cells, networks in half and in float32."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from conformance.op_samples import SAMPLES
from conformance.test_ops import _assert_near
from torch import Tensor

from scenekit.kernels import OPS, GridLayout, simplex_layout

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

TABLE, NEURONS, DENSITY, COLOR, SHADED, ROOM = 8, 13, 15, 16, 20, 22  # places among the arguments
FIELDS = [  # features of a row, width of layers, outputs of the density, degree of harmonics, type of the table
    (2, 64, 16, 3, torch.float32),
    (4, 32, 15, 4, torch.float16),
    (1, 20, 1, 0, torch.bfloat16),
    (8, 48, 20, 1, torch.float16),
]
NEURONS_ON = [  # features of a row, neurons, their function, layers of the density
    (1, 21, "gaussian", 1),
    (2, 64, "inverse_quadratic", 2),
    (4, 32, "inverse_multiquadric", 1),
    (8, 16, "wendland_c2", 2),
]


def arguments_of(
    rays: int, features: int = 2, width: int = 20, outputs: int = 5, degree: int = 2, *, simplices: bool = False
) -> list[Any]:
    """The sample of conformance with another field; networks answer gently enough for half precision."""
    arguments = list(SAMPLES["trace_hash_grid"].make(torch.Generator().manual_seed(8), torch.float32, rays))
    generator = torch.Generator().manual_seed(1)
    layout_of = simplex_layout if simplices else GridLayout.of
    layout = layout_of(3, levels=5, log2_table=9, base_resolution=4, growth=1.7)

    def weights(out: int, inputs: int) -> Tensor:
        return torch.randn(out, inputs, generator=generator) / inputs**0.5

    table = torch.randn(layout.rows, features, generator=generator)
    arguments[TABLE:NEURONS] = [table, layout.scales, layout.resolutions, layout.offsets, simplices]
    arguments[DENSITY] = [weights(width, 5 * features), weights(outputs, width)]
    arguments[COLOR] = [weights(width, outputs + (degree + 1) ** 2), weights(width, width), weights(3, width)]
    return arguments


def with_neurons(arguments: list[Any], count: int, kernel: str, layers: int) -> list[Any]:
    """The field of ``arguments_of`` with neurons, and with so many layers of the density network."""
    generator = torch.Generator().manual_seed(2)
    width, encoded = arguments[DENSITY][0].shape
    centers = torch.randn(count, encoded, generator=generator)
    log_precisions = torch.randn(count, encoded, generator=generator) - math.log(4 * encoded)
    outputs = arguments[DENSITY][1].shape[0]
    first = torch.randn(width if layers == 2 else outputs, count, generator=generator) / count**0.5
    neurons = [[centers, log_precisions], kernel, [first, *arguments[DENSITY][1:layers]]]
    return [*arguments[:NEURONS], *neurons, *arguments[COLOR:]]


def _traced(arguments: list[Any], lanes: int, monkeypatch: pytest.MonkeyPatch, architecture: str = "sm_90") -> Any:
    monkeypatch.setattr("scenekit.kernels.gpu.trace_hash_grid.lanes_of", lambda _: lanes)
    monkeypatch.setattr("scenekit.kernels.gpu.trace_hash_grid.MOST_BLOCKS", 2)
    with emulated(monkeypatch, architecture):
        return OPS["trace_hash_grid"].cuda(*arguments)  # type: ignore[reportOptionalCall]


@pytest.fixture
def quick():
    """Products that may be rounded."""
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("lanes", [1, 4, 32])
@pytest.mark.parametrize("simplices", [False, True])
@pytest.mark.parametrize("shaded", [True, False])
def test_rays_take_the_places_of_those_that_are_done(
    simplices: bool, shaded: bool, lanes: int, monkeypatch: pytest.MonkeyPatch
):
    arguments = arguments_of(max(40, 600 // lanes), simplices=simplices)
    arguments[SHADED] = shaded
    found = _traced(arguments, lanes, monkeypatch)
    _assert_near(list(found), list(OPS["trace_hash_grid"].reference(*arguments)), 2e-4, "output")
    assert int(found[3].max()) > 5


@pytest.mark.parametrize("lanes", [4, 16])
def test_rays_are_followed_until_their_samples_fill_the_room(lanes: int, monkeypatch: pytest.MonkeyPatch):
    arguments = arguments_of(600)
    wanted = OPS["trace_hash_grid"].reference(*arguments)[3]
    arguments[ROOM] = room = int(wanted.sum()) // 4
    found = _traced(arguments, lanes, monkeypatch)[3]
    followed = int((found <= room).sum())
    assert torch.equal(found[:followed], wanted[:followed])
    assert torch.equal(found[followed:], torch.full_like(found[followed:], room + 1))
    assert room <= wanted[:followed].sum() < wanted.sum()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_networks_in_half_precision_see_nearly_the_same(
    field: Any, lanes: int, architecture: str, monkeypatch: pytest.MonkeyPatch
):
    *shape, dtype = field
    arguments = arguments_of(100, *shape)
    arguments[TABLE] = arguments[TABLE].to(dtype)
    found = _traced(arguments, lanes, monkeypatch, architecture)
    wanted = OPS["trace_hash_grid"].reference(*arguments)
    assert any(not torch.equal(a, b) for a, b in zip(found, _traced_exactly(arguments, monkeypatch), strict=True))
    _assert_near(list(found[:3]), list(wanted[:3]), 1e-2, "output")
    assert (found[3] - wanted[3]).abs().max() <= 1  # a threshold may fall on a rounding


def _traced_exactly(arguments: list[Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patches:
        patches.setattr(torch, "get_float32_matmul_precision", lambda: "highest")
        return _traced(arguments, 1, monkeypatch)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("features", "width"), [(3, 20), (2, 100)])
def test_networks_that_do_not_fit_halves_are_computed_exactly(
    features: int, width: int, monkeypatch: pytest.MonkeyPatch
):
    arguments = arguments_of(60, features, width)
    found = _traced(arguments, 1, monkeypatch)
    _assert_near(list(found), list(OPS["trace_hash_grid"].reference(*arguments)), 2e-4, "output")


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("simplices", [False, True])
@pytest.mark.parametrize("of", NEURONS_ON, ids=str)
def test_neurons_are_seen(of: Any, simplices: bool, lanes: int, monkeypatch: pytest.MonkeyPatch):
    features, *neurons = of
    arguments = with_neurons(arguments_of(60, features, simplices=simplices), *neurons)
    found = _traced(arguments, lanes, monkeypatch)
    _assert_near(list(found), list(OPS["trace_hash_grid"].reference(*arguments)), 2e-4, "output")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
@pytest.mark.parametrize("of", NEURONS_ON, ids=str)
def test_neurons_before_networks_in_half_precision_see_nearly_the_same(
    of: Any, architecture: str, monkeypatch: pytest.MonkeyPatch
):
    features, *neurons = of
    arguments = with_neurons(arguments_of(60, features), *neurons)
    found = _traced(arguments, 8, monkeypatch, architecture)
    wanted = OPS["trace_hash_grid"].reference(*arguments)
    assert any(not torch.equal(a, b) for a, b in zip(found, _traced_exactly(arguments, monkeypatch), strict=True))
    _assert_near(list(found[:3]), list(wanted[:3]), 1e-2, "output")
    assert (found[3] - wanted[3]).abs().max() <= 1  # a threshold may fall on a rounding


@pytest.mark.usefixtures("quick")
def test_neurons_that_do_not_fit_shared_memory_are_computed_exactly(monkeypatch: pytest.MonkeyPatch):
    arguments = with_neurons(arguments_of(40), 130, "gaussian", 1)
    found = _traced(arguments, 1, monkeypatch)
    _assert_near(list(found), list(OPS["trace_hash_grid"].reference(*arguments)), 2e-4, "output")
