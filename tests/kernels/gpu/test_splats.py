"""What samples of single operators leave out of splatting on a GPU: odd sizes, long lists, whole frames; emulated."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from conformance.op_samples import directions
from conformance.splat_samples import ellipses, gaussians
from conformance.test_ops import _assert_near
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.context import Context
from scenekit.kernels import OPS
from scenekit.kernels.gpu import intersect as gpu_intersect
from scenekit.kernels.gpu import project as gpu_project
from scenekit.kernels.gpu import rasterize as gpu_rasterize
from scenekit.kernels.intersect import INTERSECT
from scenekit.kernels.project import PROJECT, PROJECT_BACKWARD
from scenekit.kernels.rasterize import RASTERIZE, RASTERIZE_BACKWARD
from scenekit.renderers import tile_room
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussians import Gaussians

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

Size = tuple[int, int]


def _cameras(count: int) -> Cameras:
    """About the origin, turned towards it."""
    up, middle = torch.tensor([0.0, -1.0, 0.0]), torch.zeros(3)
    poses = [look_at(torch.tensor([2.0 * x, 0.5, -4.0]), middle, up) for x in range(count)]
    return Cameras(torch.stack(poses), torch.tensor([[40.0, 40.0, 24.0, 16.0]]).repeat(count, 1), ((48, 32),) * count)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def _splats(count: int, size: Size, sigma: float, channels: int = 3, opacity: float | None = None) -> Tensor:
    """Rows."""
    rows = ellipses(_generator(), count, size, sigma, channels)
    if opacity is not None:
        rows[:, 5] = opacity
    return rows


def _listing(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Arguments of intersect, without the size."""
    return rows, torch.rand(len(rows), generator=_generator())


def _huge(count: int) -> Tensor:
    """Gaussians that reach everywhere."""
    rows = torch.tensor([0, 0, 1e-9, 0, 1e-9, 0.5]).repeat(count, 1)
    return torch.cat([rows, torch.rand(count, 3)], 1)


def _check_lists(
    rows: Tensor, size: Size, monkeypatch: pytest.MonkeyPatch, capacity: int = -1
) -> tuple[Tensor, Tensor]:
    wanted = INTERSECT(*_listing(rows), *size, capacity, None)
    with emulated(monkeypatch):
        found = gpu_intersect.intersect(*_listing(rows), *size, capacity, None)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    return wanted[0], wanted[1]


def _check_pictures(rows: Tensor, size: Size, monkeypatch: pytest.MonkeyPatch, tolerance: float = 1e-5) -> None:
    """Both directions against the loops for the CPU."""
    lists = INTERSECT(*_listing(rows), *size, -1, None)[:2]
    channels = rows.shape[1] - 6
    wanted = RASTERIZE(rows, *lists, channels, *size)
    g = _generator()
    seeds = [torch.randn(x.shape, generator=g) for x in wanted[:2]]
    backward = (*seeds, rows, *lists, *wanted[2:])
    gradient = RASTERIZE_BACKWARD(*backward)
    with emulated(monkeypatch):
        found = gpu_rasterize.rasterize(rows, *lists, channels, *size)
        mine = gpu_rasterize.rasterize_backward(*backward)
    _assert_near(list(found), list(wanted), tolerance, "picture")
    parts = (2, 3, 1, channels)
    _assert_near(list(mine.split(parts, 1)), list(gradient.split(parts, 1)), tolerance, "gradient")


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 240), (300, 33), (1, 700)])
@pytest.mark.parametrize("sigma", [0.4, 4.0, 60.0])
def test_lists_are_those_of_the_cpu(size: Size, sigma: float, monkeypatch: pytest.MonkeyPatch):
    _check_lists(_splats(80, size, sigma), size, monkeypatch)


def test_needles_and_gaussians_without_an_ellipse_are_listed_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    rows = _splats(60, (200, 160), 5.0)
    rows[::3, 2:5] = torch.tensor([0.5, 0.4999, 0.5])
    rows[1::6, 2:5] = torch.tensor([0.5, 0.6, 0.5])
    rows[2, :2] = torch.inf
    rows[4, 2:5] = torch.nan
    _check_lists(rows, (200, 160), monkeypatch)


def test_blocks_find_their_place_behind_one_another(monkeypatch: pytest.MonkeyPatch):
    _check_lists(_splats(10_000, (60, 40), 1.0), (60, 40), monkeypatch)


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
        gpu_intersect.intersect(*listing, 40, 40, 100, None)
        with pytest.raises(AssertionError, match="waits"):
            gpu_intersect.intersect(*listing, 40, 40, -1, None)


def test_a_frame_in_training_reads_nothing_back(monkeypatch: pytest.MonkeyPatch):
    cameras, context = _cameras(3), Context(training=True)
    renderer = SplatRenderer(Gaussians(random_count=40).build(None, Bounds(), cameras))
    bodies = {
        "project": gpu_project.project,
        "intersect": gpu_intersect.intersect,
        "rasterize": gpu_rasterize.rasterize,
    }

    def never(_: Tensor) -> int:
        raise AssertionError("waits for the GPU")

    with emulated(monkeypatch), torch.no_grad():
        monkeypatch.setattr(Tensor, "is_cuda", True)
        monkeypatch.setattr(tile_room, "_later", lambda _: lambda: None)
        for name, body in bodies.items():
            monkeypatch.setattr(import_module(f"scenekit.kernels.{name}"), name.upper(), body)
        first = renderer.render(cameras[0], context=context)
        renderer.note(first)
        for name in ("__int__", "__bool__", "__float__", "__index__", "item", "tolist"):
            monkeypatch.setattr(Tensor, name, never)
        second = renderer.render(cameras[0], context=context)
    monkeypatch.undo()
    assert second.trace["splats"] > 0
    assert torch.equal(first.color, second.color)
    assert second.trace["frames"][0].room > first.trace["frames"][0].room


@pytest.mark.parametrize("size", [(48, 16), (96, 130), (16, 700)])
def test_huge_gaussians_are_in_every_tile(size: Size, monkeypatch: pytest.MonkeyPatch):
    _, offsets = _check_lists(_huge(5), size, monkeypatch)
    assert (offsets.diff() == 5).all()


def test_tiles_past_16_bits_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    size = (16 * 257, 16 * 256)
    assert dict(gpu_intersect.source(257 * 256).macros) == {"TILE_INDEX": "int", "BITS": "6"}
    _, offsets = _check_lists(_huge(1), size, monkeypatch)
    assert offsets[-1] == 257 * 256


@pytest.mark.parametrize(("tiles", "passes"), [(1, 1), (2, 1), (256, 1), (257, 2), (2**16, 2), (2**16 + 1, 3)])
def test_passes_tell_all_tiles_apart(tiles: int, passes: int):
    found, bits = gpu_intersect.plan(tiles)
    assert found == passes
    assert bits <= gpu_intersect.MOST_BITS
    assert tiles <= 2 ** (found * bits)


@pytest.mark.parametrize("size", [(40, 30), (400, 300)])
@pytest.mark.parametrize("capacity", [-1, 5000, 9000, 60_000])
def test_pairs_of_many_blocks_are_sorted(size: Size, capacity: int, monkeypatch: pytest.MonkeyPatch):
    _check_lists(_splats(2500, size, 8.0), size, monkeypatch, capacity)


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_gaussians_make_a_picture(count: int, monkeypatch: pytest.MonkeyPatch):
    rows = _splats(count, (20, 20), 3.0)
    _check_lists(rows, (20, 20), monkeypatch)
    _check_pictures(rows, (20, 20), monkeypatch)


@pytest.mark.parametrize("channels", range(1, 9))
def test_any_number_of_channels_is_painted(channels: int, monkeypatch: pytest.MonkeyPatch):
    _check_pictures(_splats(60, (33, 18), 3.0, channels), (33, 18), monkeypatch)


@pytest.mark.parametrize("opacity", [0.01, 0.3, 0.9999])
@pytest.mark.parametrize("sigma", [0.5, 6.0, 400.0])
def test_long_lists_are_painted_in_batches(sigma: float, opacity: float, monkeypatch: pytest.MonkeyPatch):
    size = (16, 16) if sigma > 1 else (30, 20)
    _check_pictures(_splats(700, size, sigma, opacity=opacity), size, monkeypatch, 5e-5)


def test_gaussians_without_an_ellipse_leave_the_picture_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    rows = _splats(40, (24, 24), 3.0)
    rows[::4, 5] = 0.0
    rows[1::9, 2:5] = torch.tensor([1e-12, 0.0, 1e-12])
    _check_pictures(rows, (24, 24), monkeypatch)


def test_sums_in_a_fixed_order_are_the_same_bits(monkeypatch: pytest.MonkeyPatch):
    size = (40, 30)
    rows = _splats(400, size, 6.0, opacity=0.2)
    lists = INTERSECT(*_listing(rows), *size, 9000, None)[:2]
    image, opacities, *saved = RASTERIZE(rows, *lists, 3, *size)
    arguments = (torch.rand_like(image), torch.rand_like(opacities), rows, *lists, *saved)
    found = []
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    for _ in range(2):
        with emulated(monkeypatch) as emulator:
            emulator.launches = 17 * len(found)  # another order of blocks and threads
            found.append(gpu_rasterize.rasterize_backward(*arguments))
    assert torch.equal(*found)
    _assert_near([found[0]], [RASTERIZE_BACKWARD(*arguments)], 1e-5, "gradient")


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize(("degree", "stored"), [(-1, 0), (0, 0), (0, 15), (1, 3), (1, 15), (2, 8), (3, 15), (4, 24)])
def test_any_colours_are_seen_as_on_the_cpu(
    degree: int, stored: int, wanted: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
):
    arguments = list(gaussians(_generator(), torch.float32, 77))
    harmonics = [0.3 * torch.randn(77, k, 3, generator=_generator()) for k in (1, stored)]
    arguments[4:6] = [None, None] if degree < 0 else harmonics
    arguments[12:] = [max(degree, 0), stored > 8]
    gradient = torch.randn(77, 12, generator=_generator())
    gradient[::3] = 0
    backward = (gradient, *arguments, list(wanted))
    with emulated(monkeypatch):
        found = [*gpu_project.project(*arguments), *gpu_project.project_backward(*backward)]
    _assert_near(found, [*PROJECT(*arguments), *PROJECT_BACKWARD(*backward)], 2e-5, "result")


@pytest.mark.parametrize("degree", range(5))
def test_harmonic_colours_of_every_degree(degree: int, monkeypatch: pytest.MonkeyPatch):
    g, op, back = _generator(), OPS["harmonic_colors"], OPS["harmonic_colors_backward"]
    arguments = (torch.randn(77, (degree + 1) ** 2, 3, generator=g), directions(g, torch.float32, 77), degree)
    backward = (torch.randn(77, 3, generator=g), *arguments)
    assert op.cuda is not None
    assert back.cuda is not None
    with emulated(monkeypatch):
        _assert_near([op.cuda(*arguments)], [op.reference(*arguments)], 1e-5, "colours")
        for wanted in ([True, True], [True, False], [False, True]):
            found, theirs = back.cuda(*backward, wanted), back.reference(*backward, wanted)
            _assert_near(list(found), list(theirs), 1e-5, f"gradients {wanted}")


def test_a_frame_and_its_gradients_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch):
    size, g = (75, 50), _generator()
    means = torch.randn(300, 3, generator=g) + torch.tensor([0.0, 0.0, 7.0])  # near ones are ill-conditioned
    shapes = (means, torch.randn(300, 4, generator=g), torch.exp(torch.randn(300, 3, generator=g) - 3))
    harmonics = (torch.randn(300, 1, 3, generator=g), 0.2 * torch.randn(300, 15, 3, generator=g))
    camera = (torch.eye(4)[:3].clone(), torch.tensor([60.0, 60.0, 37.0, 25.0]))
    inputs = (*shapes, torch.rand(300, generator=g), *harmonics, *camera, *size, 0.01, 0.3, 3, True)

    def run(capacity, *ops):
        project, project_backward, intersect, rasterize, rasterize_backward = ops
        rows, depths = project(*inputs)
        lists = intersect(rows, depths, *size, capacity, None)[:2]
        image, opacities, *saved = rasterize(rows, *lists, 4, *size)
        gradient = rasterize_backward(torch.cos(image), torch.sin(opacities), rows, *lists, *saved)
        return [image, opacities, *project_backward(gradient, *inputs, [True, True])]

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
