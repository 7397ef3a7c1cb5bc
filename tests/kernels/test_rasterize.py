import math

import pytest
import torch
from torch import Tensor

from scenekit.kernels import Tiles, intersect, native, rasterize
from scenekit.kernels.intersect import INTERSECT
from scenekit.kernels.rasterize import RASTERIZE


def _ellipses(count: int, size: tuple[int, int], sigma: float, opacity: float = 0.0, channels: int = 3) -> list[Tensor]:
    """Means, conics, opacities and features of ellipses of about ``sigma`` pixels."""
    g = torch.Generator().manual_seed(count)
    means = (torch.rand(count, 2, generator=g) * 1.2 - 0.1) * torch.tensor(size)
    long = sigma**2 * torch.exp(torch.randn(count, generator=g)) + 0.3
    short = 0.3 + long * torch.exp(-2 * torch.randn(count, generator=g).abs())
    c, s = (f(3.14159 * torch.rand(count, generator=g)) for f in (torch.cos, torch.sin))
    s = torch.sqrt(1 - c * c) * s.sign()
    xy = c * s * (1 / long - 1 / short)
    conics = torch.stack([c * c / long + s * s / short, xy, s * s / long + c * c / short], -1)
    opacities = torch.sigmoid(torch.randn(count, generator=g) + opacity)
    return [means, conics, opacities, torch.rand(count, channels, generator=g)]


def _tiles(splats: list[Tensor], size: tuple[int, int], depths: Tensor | None = None) -> Tiles:
    means, conics, opacities, _ = splats
    if depths is None:
        depths = torch.arange(len(means), dtype=means.dtype).flip(0) + 1
    return intersect(means, torch.ones(len(means), 2, dtype=torch.int32), conics, opacities, depths, size)


def _alphas(splats: list[Tensor], size: tuple[int, int]) -> Tensor:
    """[N H W], without thresholds."""
    means, conics, opacities, _ = (x.double() for x in splats)
    y, x = torch.meshgrid(torch.arange(size[1]) + 0.5, torch.arange(size[0]) + 0.5, indexing="ij")
    dx, dy = x - means[:, 0, None, None], y - means[:, 1, None, None]
    a, b, c = (v[:, None, None] for v in conics.unbind(-1))
    return opacities[:, None, None] * torch.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)


def test_one_gaussian_blends_in_closed_form():
    size = (9, 5)
    splats = [
        torch.tensor([[4.5, 2.5]]),
        torch.tensor([[0.5, 0.1, 0.25]]),
        torch.tensor([0.8]),
        torch.tensor([[1.0, 0.5, 0.25]]),
    ]
    raster = rasterize(*splats, _tiles(splats, size), size)
    alphas = _alphas(splats, size)[0]
    alphas[alphas < 1 / 255] = 0
    torch.testing.assert_close(raster.opacities.double(), alphas, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        raster.features.double(), alphas[..., None] * splats[3][0].double(), rtol=1e-6, atol=1e-6
    )
    assert raster.opacities[2, 4].item() == pytest.approx(0.8, rel=1e-6)


def test_the_nearer_gaussian_hides_the_farther():
    splats = [
        torch.full((2, 2), 0.5),
        torch.tensor([[1.0, 0.0, 1.0]] * 2),
        torch.tensor([0.5, 0.75]),
        torch.eye(2),
    ]
    raster = rasterize(*splats, _tiles(splats, (1, 1), torch.tensor([2.0, 1.0])), (1, 1))
    assert raster.features[0, 0].tolist() == pytest.approx([0.25 * 0.5, 0.75], rel=1e-6)
    assert raster.opacities.item() == pytest.approx(0.875, rel=1e-6)


def test_opacity_is_capped_and_a_full_pixel_takes_no_more():
    splats = [torch.full((5, 2), 0.5), torch.tensor([[1.0, 0.0, 1.0]] * 5), torch.ones(5), torch.eye(5)]
    tiles = Tiles(torch.arange(5, dtype=torch.int32), torch.tensor([0, 5]))
    raster = rasterize(*splats, tiles, (1, 1))
    # 0.01 is left after one, 1e-4 would be (just about) left after two; a third would go below.
    assert raster.features[0, 0, 0].item() == pytest.approx(0.99, rel=1e-6)
    assert not raster.features[0, 0, 2:].any()


@pytest.mark.parametrize(
    ("count", "size", "sigma", "opacity", "channels"),
    [(300, (50, 37), 3.0, 0.0, 3), (150, (33, 16), 2.0, 0.0, 1), (40, (16, 16), 3.0, 0.0, 8),
     (60, (17, 40), 40.0, 1.0, 4), (900, (70, 45), 6.0, 3.0, 3), (50, (1, 1), 2.0, 0.0, 2)],
)  # fmt: skip
def test_values_and_gradients_equal_the_float64_reference(
    count: int, size: tuple[int, int], sigma: float, opacity: float, channels: int
):
    splats = _ellipses(count, size, sigma, opacity, channels)
    tiles = _tiles(splats, size)
    g = torch.Generator().manual_seed(5)
    seeds = [torch.randn(size[1], size[0], channels, generator=g), torch.randn(size[1], size[0], generator=g)]

    def run(dtype: torch.dtype) -> list[Tensor]:
        leaves = [x.to(dtype).requires_grad_() for x in splats]
        image, transmittances, stops = RASTERIZE(*leaves, tiles.gaussians, tiles.offsets, *size)
        grads = torch.autograd.grad([image, transmittances], leaves, [s.to(dtype) for s in seeds])
        return [stops, image, transmittances, *grads]

    found, wanted = run(torch.float32), run(torch.float64)
    assert torch.equal(found[0], wanted[0])  # no threshold fell differently
    for a, b in zip(found[1:], wanted[1:], strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("sigma", [0.5, 3.0, 60.0])
def test_a_tile_lists_exactly_the_gaussians_that_touch_it(sigma: float):
    size = (70, 45)
    splats = _ellipses(200, size, sigma)
    means, conics, opacities, _ = splats
    radii = torch.ones(200, 2, dtype=torch.int32)
    depths = torch.randint(1, 9, (200,), generator=torch.Generator().manual_seed(1)).float()
    found = INTERSECT(means, radii, conics, opacities, depths, *size, -1)
    wanted = INTERSECT.reference(*(x.double() if x.is_floating_point() else x for x in
                                   (means, radii, conics, opacities, depths)), *size, -1)  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    seen = _alphas(splats, size) >= 1 / 255
    for tile in range(15):
        x, y = tile % 5 * 16, tile // 5 * 16
        listed = found[0][found[1][tile] : found[1][tile + 1]]
        assert set(torch.nonzero(seen[:, y : y + 16, x : x + 16].any(-1).any(-1))[:, 0].tolist()) <= set(
            listed.tolist()
        )
        order = [(depths[i].item(), i) for i in listed.tolist()]
        assert order == sorted(order)


@pytest.mark.parametrize("capacity", [0, 1, 137, 5000])
def test_a_capacity_leaves_out_the_farthest(capacity: int):
    size = (70, 45)
    splats = _ellipses(200, size, 3.0)
    listing = (splats[0], torch.ones(200, 2, dtype=torch.int32), *splats[1:3], torch.rand(200))
    every, some = intersect(*listing, size), intersect(*listing, size, capacity=capacity)
    assert every.needed is not None
    assert some.needed is not None
    assert every.needed == some.needed == len(every.gaussians)
    assert len(some.gaussians) == capacity
    assert some.offsets[-1] == min(capacity, len(every.gaussians))
    left = []
    for tile in range(15):
        listed = every.gaussians[every.offsets[tile] : every.offsets[tile + 1]]
        kept = some.gaussians[some.offsets[tile] : some.offsets[tile + 1]]
        assert torch.equal(kept, listed[: len(kept)])
        left += listed[len(kept) :].tolist()
    used = some.gaussians[: some.offsets[-1]].long()
    if left and len(used):
        assert listing[4][left].min() >= listing[4][used].max()


def test_a_capacity_below_0_is_named():
    with pytest.raises(ValueError, match="capacity"):
        intersect(*_no_splats(), (16, 16), capacity=-2)


def _no_splats() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return torch.empty(0, 2), torch.empty(0, 2, dtype=torch.int32), torch.empty(0, 3), torch.empty(0), torch.empty(0)


def test_culled_faint_and_broken_gaussians_are_listed_nowhere():
    means, conics = torch.full((5, 2), 8.0), torch.tensor([[1.0, 0.0, 1.0]]).repeat(5, 1)
    opacities, radii = torch.full((5,), 0.5), torch.ones(5, 2, dtype=torch.int32)
    radii[0], opacities[1], opacities[2], conics[3], means[4] = 0, 0.0, 1 / 300, 0.0, math.nan
    tiles = intersect(means, radii, conics, opacities, torch.ones(5), (16, 16))
    assert tiles.gaussians.numel() == 0
    assert tiles.offsets.tolist() == [0, 0]


def test_a_huge_gaussian_is_in_every_tile():
    means, conics = torch.tensor([[-3000.0, 5000.0]]), torch.tensor([[1e-9, 0.0, 1e-9]])
    ones = torch.ones(1, 2, dtype=torch.int32)
    tiles = intersect(means, ones, conics, torch.ones(1), torch.ones(1), (100, 50))
    assert tiles.offsets.tolist() == list(range(29))
    raster = rasterize(means, conics, torch.ones(1), torch.ones(1, 1), tiles, (100, 50))
    assert (raster.opacities > 0.97).all()


def test_zero_opacity_paints_nothing_and_has_finite_gradients():
    splats = [
        torch.full((2, 2), 4.0),
        torch.tensor([[1.0, 0.0, 1.0]] * 2),
        torch.tensor([0.0, 0.5]),
        torch.ones(2, 3),
    ]
    leaves = [x.requires_grad_() for x in splats]
    tiles = Tiles(torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0, 2]))
    raster = rasterize(*leaves, tiles, (8, 8))
    raster.features.sum().backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
        assert not leaf.grad[0].any()


def test_an_empty_scene_is_an_empty_picture():
    splats = [torch.empty(0, 2), torch.empty(0, 3), torch.empty(0), torch.empty(0, 3)]
    leaves = [x.requires_grad_() for x in splats]
    raster = rasterize(*leaves, _tiles(splats, (20, 18)), (20, 18))
    assert raster.features.shape == (18, 20, 3)
    assert not raster.features.any()
    assert not raster.opacities.any()
    raster.features.sum().backward()
    assert leaves[0].grad is not None


def test_every_number_of_threads_gives_the_same_bits():
    handle = native.library()
    if handle is None:
        pytest.skip("no compiled library")
    size = (120, 90)
    splats = [x.requires_grad_() for x in _ellipses(3000, size, 3.0)]

    def run(threads: int) -> list[Tensor]:
        handle.scenekit_set_threads(threads)
        tiles = _tiles([x.detach() for x in splats], size)
        raster = rasterize(*splats, tiles, size)
        loss = raster.features.square().sum() + raster.opacities.sum()
        return [tiles.gaussians, raster.features, *torch.autograd.grad(loss, splats)]

    try:
        runs = [run(threads) for threads in (1, 2, 2)]
    finally:
        handle.scenekit_set_threads(torch.get_num_threads())
    assert all(torch.equal(a, b) for other in runs[1:] for a, b in zip(runs[0], other, strict=True))


@pytest.mark.bad_input
def test_wrong_shapes_are_named():
    splats = _ellipses(4, (16, 16), 2.0)
    tiles = _tiles(splats, (16, 16))
    with pytest.raises(ValueError, match="channels, found 9"):
        rasterize(*splats[:3], torch.ones(4, 9), tiles, (16, 16))
    with pytest.raises(ValueError, match=r"tiles\.offsets"):
        rasterize(*splats, tiles, (32, 16))
    with pytest.raises(ValueError, match="size"):
        rasterize(*splats, tiles, (0, 16))
    with pytest.raises(TypeError, match="conics"):
        rasterize(splats[0], splats[1].double(), *splats[2:], tiles, (16, 16))
