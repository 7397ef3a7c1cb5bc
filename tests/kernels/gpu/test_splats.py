"""What samples of single operators leave out of splatting on a GPU: odd sizes, long lists, whole frames; emulated."""

from __future__ import annotations

import pytest
import torch
from conformance.splat_samples import ellipses
from conformance.test_ops import _assert_near
from torch import Tensor

from scenekit.kernels.gpu import intersect as gpu_intersect
from scenekit.kernels.gpu import project as gpu_project
from scenekit.kernels.gpu import rasterize as gpu_rasterize
from scenekit.kernels.intersect import INTERSECT
from scenekit.kernels.project import PROJECT, PROJECT_BACKWARD
from scenekit.kernels.rasterize import RASTERIZE, RASTERIZE_BACKWARD

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

Size = tuple[int, int]


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def _splats(count: int, size: Size, sigma: float, channels: int = 3, opacity: float | None = None) -> list[Tensor]:
    """Means, conics, opacities and features."""
    g = _generator()
    means, conics, opacities = ellipses(g, count, size, sigma)
    if opacity is not None:
        opacities.fill_(opacity)
    return [means, conics, opacities, torch.rand(count, channels, generator=g)]


def _listing(splats: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Arguments of intersect, without the size."""
    means, conics, opacities = splats[:3]
    radii = torch.ones(len(means), 2, dtype=torch.int32)
    return means, radii, conics, opacities, torch.rand(len(means), generator=_generator())


def _huge(count: int) -> list[Tensor]:
    """Gaussians that reach everywhere."""
    means = torch.zeros(count, 2)
    return [means, torch.tensor([[1e-9, 0.0, 1e-9]]).repeat(count, 1), torch.full((count,), 0.5), torch.rand(count, 3)]


def _check_lists(
    splats: list[Tensor], size: Size, monkeypatch: pytest.MonkeyPatch, capacity: int = -1
) -> tuple[Tensor, Tensor]:
    wanted = INTERSECT(*_listing(splats), *size, capacity)
    with emulated(monkeypatch):
        found = gpu_intersect.intersect(*_listing(splats), *size, capacity)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    return wanted[0], wanted[1]


def _check_pictures(splats: list[Tensor], size: Size, monkeypatch: pytest.MonkeyPatch, tolerance: float = 1e-5) -> None:
    """Both directions against the loops for the CPU."""
    lists = INTERSECT(*_listing(splats), *size, -1)[:2]
    wanted = RASTERIZE(*splats, *lists, *size)
    g = _generator()
    seeds = [torch.randn(x.shape, generator=g) for x in wanted[:2]]
    backward = (*seeds, *splats, *lists, *wanted[1:])
    gradients = RASTERIZE_BACKWARD(*backward)
    with emulated(monkeypatch):
        found = gpu_rasterize.rasterize(*splats, *lists, *size)
        mine = gpu_rasterize.rasterize_backward(*backward)
    _assert_near(list(found), list(wanted), tolerance, "picture")
    _assert_near(list(mine), list(gradients), tolerance, "gradient")


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 240), (300, 33), (1, 700)])
@pytest.mark.parametrize("sigma", [0.4, 4.0, 60.0])
def test_lists_are_those_of_the_cpu(size: Size, sigma: float, monkeypatch: pytest.MonkeyPatch):
    _check_lists(_splats(80, size, sigma), size, monkeypatch)


def test_needles_and_gaussians_without_an_ellipse_are_listed_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    splats = _splats(60, (200, 160), 5.0)
    splats[1][::3] = torch.tensor([0.5, 0.4999, 0.5])
    splats[1][1::6] = torch.tensor([0.5, 0.6, 0.5])
    splats[0][2] = torch.inf
    splats[1][4] = torch.nan
    _check_lists(splats, (200, 160), monkeypatch)


@pytest.mark.parametrize("capacity", [0, 1, 50, 5000])
@pytest.mark.parametrize("count", [0, 300])
def test_a_capacity_leaves_out_what_it_does_on_the_cpu(count: int, capacity: int, monkeypatch: pytest.MonkeyPatch):
    _check_lists(_splats(count, (70, 200), 5.0), (70, 200), monkeypatch, capacity)
    _check_lists(_huge(count // 50), (70, 200), monkeypatch, capacity)


def test_a_capacity_reads_nothing_back(monkeypatch: pytest.MonkeyPatch):
    def never(_: Tensor) -> int:
        raise AssertionError("waits for the GPU")

    listing = _listing(_splats(50, (40, 40), 3.0))
    with emulated(monkeypatch):
        for name in ("__int__", "__bool__", "__float__", "item", "tolist"):
            monkeypatch.setattr(Tensor, name, never)
        gpu_intersect.intersect(*listing, 40, 40, 100)
        with pytest.raises(AssertionError, match="waits"):
            gpu_intersect.intersect(*listing, 40, 40, -1)


@pytest.mark.parametrize("size", [(48, 16), (96, 130), (16, 700)])
def test_huge_gaussians_are_in_every_tile(size: Size, monkeypatch: pytest.MonkeyPatch):
    _, offsets = _check_lists(_huge(5), size, monkeypatch)
    assert (offsets.diff() == 5).all()


def test_tiles_past_16_bits_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    size = (16 * 182, 16 * 181)
    assert dict(gpu_intersect.source(182 * 181).macros) == {"TILE_INDEX": "int"}
    _, offsets = _check_lists([*_huge(1)], size, monkeypatch)
    assert offsets[-1] == 182 * 181


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_gaussians_make_a_picture(count: int, monkeypatch: pytest.MonkeyPatch):
    splats = _splats(count, (20, 20), 3.0)
    _check_lists(splats, (20, 20), monkeypatch)
    _check_pictures(splats, (20, 20), monkeypatch)


@pytest.mark.parametrize("channels", range(1, 9))
def test_any_number_of_channels_is_painted(channels: int, monkeypatch: pytest.MonkeyPatch):
    _check_pictures(_splats(60, (33, 18), 3.0, channels), (33, 18), monkeypatch)


@pytest.mark.parametrize("opacity", [0.01, 0.3, 0.9999])
@pytest.mark.parametrize("sigma", [0.5, 6.0, 400.0])
def test_long_lists_are_painted_in_batches(sigma: float, opacity: float, monkeypatch: pytest.MonkeyPatch):
    size = (16, 16) if sigma > 1 else (30, 20)
    _check_pictures(_splats(700, size, sigma, opacity=opacity), size, monkeypatch, 5e-5)


def test_gaussians_without_an_ellipse_leave_the_picture_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    splats = _splats(40, (24, 24), 3.0)
    splats[2][::4] = 0.0
    splats[1][1::9] = torch.tensor([1e-12, 0.0, 1e-12])
    _check_pictures(splats, (24, 24), monkeypatch)


def test_sums_in_a_fixed_order_are_the_same_bits(monkeypatch: pytest.MonkeyPatch):
    size = (40, 30)
    splats = _splats(400, size, 6.0, opacity=0.2)
    lists = INTERSECT(*_listing(splats), *size, 9000)[:2]
    image, *saved = RASTERIZE(*splats, *lists, *size)
    arguments = (torch.rand_like(image), torch.rand_like(saved[0]), *splats, *lists, *saved)
    found = []
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    for _ in range(2):
        with emulated(monkeypatch) as emulator:
            emulator.launches = 17 * len(found)  # another order of blocks and threads
            found.append(gpu_rasterize.rasterize_backward(*arguments))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    _assert_near(list(found[0]), list(RASTERIZE_BACKWARD(*arguments)), 1e-5, "gradient")


def test_a_frame_and_its_gradients_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch):
    size, g = (75, 50), _generator()
    means = torch.randn(300, 3, generator=g) + torch.tensor([0.0, 0.0, 7.0])  # near ones are ill-conditioned
    shapes = (means, torch.randn(300, 4, generator=g), torch.exp(torch.randn(300, 3, generator=g) - 3))
    camera = (torch.eye(4)[:3].clone(), torch.tensor([60.0, 60.0, 37.0, 25.0]), *size, 0.01, 0.3)
    opacities, features = torch.rand(300, generator=g), torch.rand(300, 3, generator=g)

    def run(capacity, *ops):
        project, project_backward, intersect, rasterize, rasterize_backward = ops
        means2d, depths, conics, compensations, radii = project(*shapes, *camera)
        alphas = opacities * compensations
        lists = intersect(means2d, radii, conics, alphas, depths, *size, capacity)[:2]
        image, transmittances, stops = rasterize(means2d, conics, alphas, features, *lists, *size)
        splats = (means2d, conics, alphas, features, *lists)
        by_means, by_conics, by_alphas, by_features = rasterize_backward(
            torch.cos(image), torch.sin(transmittances), *splats, transmittances, stops
        )
        given = (by_means, torch.ones_like(depths), by_conics, by_alphas * opacities)
        return [image, transmittances, by_features, *project_backward(*given, *shapes, *camera)]

    wanted = run(-1, PROJECT, PROJECT_BACKWARD, INTERSECT, RASTERIZE, RASTERIZE_BACKWARD)
    with emulated(monkeypatch):
        found = run(
            4000,
            gpu_project.project,
            gpu_project.project_backward,
            gpu_intersect.intersect,
            gpu_rasterize.rasterize,
            gpu_rasterize.rasterize_backward,
        )
    # Gradients to quaternions are ill-conditioned: in float64 they are 3e-4 of the largest from either body's.
    _assert_near(found, wanted, 1e-3, "result")
