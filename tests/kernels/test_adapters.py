"""Kernels of other libraries: how they are chosen, and how our parameters become theirs. No GPU is needed."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from scenekit.cli import main
from scenekit.core.checks import BadInput
from scenekit.kernels import OPS, GridLayout, adapters, choice, simplex_layout
from scenekit.kernels import op as registration
from scenekit.kernels.adapters import tinycudann
from scenekit.kernels.gpu import launch
from scenekit.representations import HashGrid

Choose = Callable[[str], None]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Choose]:
    """Sets the variable, on a machine that seems to have a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def choose(names: str) -> None:
        monkeypatch.setenv(choice.VARIABLE, names)
        adapters.adapted.cache_clear()

    yield choose
    adapters.adapted.cache_clear()


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of them, installed as it seems, that both serve compositing."""
    for name, version, ops in (("gsplat", "1.5.3", ("rasterize", "composite")), ("nerfacc", "0.5.3", ("composite",))):
        module = ModuleType(name)
        module.BODIES = {op: lambda *_, name=name: name for op in ops}  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"scenekit.kernels.adapters.{name}", module)
        monkeypatch.setattr(metadata, "version", {"gsplat": "1.5.3", "nerfacc": version}.__getitem__)


def test_nothing_is_loaded_where_nothing_is_named(choose: Choose):
    choose("")
    assert adapters.adapted() == {}
    assert choice.ours_serve()
    choose("reference")
    assert adapters.adapted() == {}
    assert not choice.ours_serve()


@pytest.mark.usefixtures("libraries")
def test_the_library_that_is_named_first_is_preferred(choose: Choose):
    choose(" gsplat , NERFACC")
    assert {op: found.server for op, found in adapters.adapted().items()} == {
        "rasterize": "gsplat 1.5.3",
        "composite": "gsplat 1.5.3",
    }
    choose("nerfacc,gsplat,reference")
    assert adapters.adapted()["composite"].server == "nerfacc 0.5.3"
    assert not choice.ours_serve()


@pytest.mark.bad_input
def test_names_that_are_none_and_libraries_that_are_absent_are_one_sentence(
    choose: Choose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    choose("gsplat,gspalt")
    assert main(["doctor"]) == 2
    assert "wanted gsplat, nerfacc, tinycudann or reference, separated by commas, found 'gspalt'" in _said(capsys)
    choose("tinycudann")
    monkeypatch.setattr(metadata, "version", _not_installed)
    assert main(["doctor"]) == 2
    assert "wanted an installed tinycudann, found none; pip install git+https://github.com/NVlabs" in _said(capsys)
    monkeypatch.setattr(metadata, "version", lambda _: "1.4.0")
    choose("gsplat")
    with pytest.raises(BadInput, match=r"wanted gsplat 1\.5\.3, found 1\.4\.0; pip install gsplat==1\.5\.3"):
        adapters.adapted()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match="wanted an NVIDIA GPU for gsplat"):
        adapters.adapted()


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def _not_installed(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


@pytest.mark.usefixtures("libraries")
def test_doctor_names_what_serves(choose: Choose, monkeypatch: pytest.MonkeyPatch):
    from scenekit.cli import doctor

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    monkeypatch.setattr(launch, "available", lambda: True)
    monkeypatch.setattr(doctor, "compiler_missing", list)
    choose("gsplat")
    found = doctor.examine()["gpu_operators"]
    assert found["rasterize"] == "gsplat 1.5.3"
    assert found["ssim"] == "CUDA, float32"


def test_ours_serves_where_theirs_has_nothing(choose: Choose, monkeypatch: pytest.MonkeyPatch):
    choose("")
    monkeypatch.setattr(launch, "available", lambda: True)
    body = registration._where_served("ssim", lambda *_: "ours", lambda *_: "reference", (torch.float32,))
    theirs = adapters.Adapted("theirs", lambda x, _: "theirs" if x.shape[0] > 1 else NotImplemented)
    monkeypatch.setattr(registration, "adapted", lambda: {"ssim": theirs})
    large, small = torch.zeros(2, 2, 3), torch.zeros(1, 2, 3)
    assert body(large, large) == "theirs"
    assert body(small, small) == "ours"
    assert body(large.double(), large.double()) == "reference"


@pytest.mark.parametrize("config", [HashGrid(), HashGrid(levels=16, features=2), HashGrid(log2_table=15, finest=256)])
@pytest.mark.parametrize(("dimensions", "finest"), [(3, 2048.0), (3, 8192.0), (2, 1024.0)])
def test_our_grids_are_theirs(config: HashGrid, dimensions: int, finest: float):
    layout = config.encoding(dimensions, finest).layout
    settings = tinycudann.grid_settings(dimensions, config.features, _parts(layout))
    assert settings is not None
    assert settings["n_levels"] == config.levels
    assert settings["base_resolution"] == config.coarsest
    assert settings["log2_hashmap_size"] <= config.log2_table


def _parts(layout: GridLayout) -> tinycudann.Layout:
    return layout.scales, layout.resolutions, layout.offsets


def test_grids_that_it_does_not_have_are_left_to_ours():
    usual = GridLayout.of(3, levels=4, log2_table=12, base_resolution=8, growth=1.7)
    assert tinycudann.grid_settings(3, 2, _parts(usual)) is not None
    assert tinycudann.grid_settings(3, 5, _parts(usual)) is None
    assert tinycudann.grid_settings(1, 2, _parts(usual)) is None
    others = (GridLayout.dense(3, (16, 32)), GridLayout.dense(3, (64,)), _uneven(usual),
              simplex_layout(3, levels=4, log2_table=12, base_resolution=8, growth=1.7))  # fmt: skip
    for layout in others:
        assert tinycudann.grid_settings(3, 2, _parts(layout)) is None


def _uneven(layout: GridLayout) -> GridLayout:
    """Scales that no growth gives."""
    scales = (*layout.scales[:-2], layout.scales[-2] * 1.01, layout.scales[-1])
    return GridLayout(layout.dimensions, scales, layout.resolutions, layout.offsets)


@pytest.mark.parametrize("widths", [(32, 64, 16), (5, 16, 16, 16, 3), (48, 128, 128, 1)])
def test_padded_weights_are_the_same_network(widths: tuple[int, ...]):
    g = torch.Generator().manual_seed(0)
    weights = torch.randn(sum(a * b for a, b in itertools.pairwise(widths)), generator=g, dtype=torch.float64)
    inputs = torch.randn(7, widths[0], generator=g, dtype=torch.float64)
    packed, padded = tinycudann.packed_weights(weights, widths), tinycudann._padded(widths)
    assert all(width % 16 == 0 for width in padded)
    # What it pads inputs with are ones.
    filled = torch.nn.functional.pad(inputs, (0, padded[0] - widths[0]), value=1.0)
    found, wanted = OPS["mlp"].reference(filled, packed, padded), OPS["mlp"].reference(inputs, weights, widths)
    torch.testing.assert_close(found[:, : widths[-1]], wanted)
    assert not found[:, widths[-1] :].any()
    assert torch.equal(tinycudann.unpacked_weights(packed, widths), weights)


def test_networks_that_it_does_not_have_are_left_to_ours():
    assert tinycudann.network_settings((32, 64, 64, 3)) == {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": 64,
        "n_hidden_layers": 2,
    }
    for widths in ((32, 16), (32, 64, 32, 3), (32, 48, 3), (32, 256, 3)):
        assert tinycudann.network_settings(widths) is None


class _Native:
    """A native module that computes with our references, on what it is given."""

    def __init__(self, run: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.run = run
        self.asked: list[tuple[int, bool, bool]] = []

    def param_precision(self) -> torch.dtype:
        return torch.float32

    def fwd(self, inputs: Tensor, parameters: Tensor) -> tuple[None, Tensor]:
        assert inputs.shape[0] % 256 == 0
        self.asked.append((inputs.shape[0], inputs.requires_grad, parameters.requires_grad))
        return None, self.run(inputs.detach(), parameters.detach())

    def bwd(self, _: None, inputs: Tensor, parameters: Tensor, __: Tensor, gradient: Tensor) -> list[Tensor | None]:
        with torch.enable_grad():
            leaves = [inputs.detach().requires_grad_(), parameters.detach().requires_grad_()]
            found = torch.autograd.grad(self.run(*leaves), leaves, gradient)
        return [x if y.requires_grad else None for x, y in zip(found, (inputs, parameters), strict=True)]


@pytest.fixture
def scaled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tinycudann, "_native", lambda: SimpleNamespace(default_loss_scale=lambda _: 128.0))


@pytest.mark.usefixtures("scaled_up")
def test_a_grid_of_theirs_answers_as_ours(monkeypatch: pytest.MonkeyPatch):
    g = torch.Generator().manual_seed(1)
    layout = GridLayout.of(3, levels=3, log2_table=9, base_resolution=4, growth=1.7)
    points, table = torch.rand(301, 3, generator=g), torch.randn(layout.rows, 2, generator=g)
    parts = _parts(layout)
    native = _Native(lambda x, flat: OPS["hash_grid"].reference(x, flat.view(-1, 2), *parts))
    monkeypatch.setattr(tinycudann, "_encoding", lambda *_: native)
    torch.testing.assert_close(tinycudann.hash_grid(points, table, *parts), OPS["hash_grid"](points, table, *parts))
    gradient = torch.randn(301, 6, generator=g)
    wanted = OPS["hash_grid_backward"](gradient, points, table, *parts, [True, True])
    found = tinycudann.hash_grid_backward(gradient, points, table, *parts, [True, True])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)
    for_points, for_table = tinycudann.hash_grid_backward(gradient, points, table, *parts, [False, True])
    assert for_points.numel() == 0
    torch.testing.assert_close(for_table, wanted[1])
    assert native.asked == [(512, False, False), (512, True, True), (512, False, True)]
    assert tinycudann.hash_grid(points[:0], table, *parts) is NotImplemented
    assert tinycudann.hash_grid(points, table.bfloat16(), *parts) is NotImplemented


@pytest.mark.usefixtures("scaled_up")
def test_a_network_of_theirs_answers_as_ours(monkeypatch: pytest.MonkeyPatch):
    g = torch.Generator().manual_seed(2)
    widths = [5, 16, 16, 3]
    weights = (torch.randn(sum(a * b for a, b in itertools.pairwise(widths)), generator=g) / 4).half().float()
    inputs, gradient = torch.randn(300, 5, generator=g), torch.randn(300, 3, generator=g)

    def run(x: Tensor, packed: Tensor) -> Tensor:
        filled = torch.nn.functional.pad(x, (0, 11), value=1.0)
        return OPS["mlp"].reference(filled, packed.float(), [16, 16, 16, 16])

    native = _Native(run)
    monkeypatch.setattr(tinycudann, "_network", lambda *_: native)
    close: dict[str, Any] = {"rtol": 0.02, "atol": 0.02}  # its gradients are of half precision
    torch.testing.assert_close(tinycudann.mlp(inputs, weights, widths), OPS["mlp"](inputs, weights, widths), **close)
    wanted = OPS["mlp_backward"](gradient, inputs, weights, widths, True)
    found = tinycudann.mlp_backward(gradient, inputs, weights, widths, True)
    torch.testing.assert_close(found[0], wanted[0], **close)
    torch.testing.assert_close(found[1], wanted[1], rtol=0.02, atol=0.02 * float(wanted[1].abs().max()))
    assert tinycudann.mlp_backward(gradient, inputs, weights, widths, False)[0].numel() == 0
