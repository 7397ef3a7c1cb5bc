import math

import pytest
import torch
from torch import Tensor

from scenekit.kernels import Tiles, intersect, native, rasterize
from scenekit.kernels.intersect import INTERSECT
from scenekit.kernels.rasterize import RASTERIZE

ROUND = [1.0, 0.0, 1.0]  # a conic


def _ellipses(count: int, size: tuple[int, int], sigma: float, opacity: float = 0.0, channels: int = 3) -> Tensor:
    """Rows of ellipses of about ``sigma`` pixels."""
    g = torch.Generator().manual_seed(count)
    means = (torch.rand(count, 2, generator=g) * 1.2 - 0.1) * torch.tensor(size)
    long = sigma**2 * torch.exp(torch.randn(count, generator=g)) + 0.3
    short = 0.3 + long * torch.exp(-2 * torch.randn(count, generator=g).abs())
    c, s = (f(3.14159 * torch.rand(count, generator=g)) for f in (torch.cos, torch.sin))
    s = torch.sqrt(1 - c * c) * s.sign()
    xy = c * s * (1 / long - 1 / short)
    conics = torch.stack([c * c / long + s * s / short, xy, s * s / long + c * c / short], -1)
    opacities = torch.sigmoid(torch.randn(count, generator=g) + opacity)
    return torch.cat([means, conics, opacities[:, None], torch.rand(count, channels, generator=g)], 1)


def _row(mean: float, conic: list[float], opacity: float, features: list[float]) -> Tensor:
    """Of a Gaussian whose mean is as far along x as along y."""
    return torch.tensor([mean, mean, *conic, opacity, *features])


def _tiles(rows: Tensor, size: tuple[int, int], depths: Tensor | None = None) -> Tiles:
    if depths is None:
        depths = torch.arange(len(rows), dtype=rows.dtype).flip(0) + 1
    return intersect(rows, depths, size)


def _alphas(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """[N H W], without thresholds."""
    y, x = torch.meshgrid(torch.arange(size[1]) + 0.5, torch.arange(size[0]) + 0.5, indexing="ij")
    mean_x, mean_y, a, b, c, opacities = rows[:, :6, None, None].double().unbind(1)
    dx, dy = x - mean_x, y - mean_y
    return opacities * torch.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)


def test_one_gaussian_blends_in_closed_form():
    size = (9, 5)
    rows = torch.tensor([[4.5, 2.5, 0.5, 0.1, 0.25, 0.8, 1.0, 0.5, 0.25]])
    raster = rasterize(rows, _tiles(rows, size), size)
    alphas = _alphas(rows, size)[0]
    alphas[alphas < 1 / 255] = 0
    torch.testing.assert_close(raster.opacities.double(), alphas, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(raster.features.double(), alphas[..., None] * rows[0, 6:].double(), rtol=1e-6, atol=1e-6)
    assert raster.opacities[2, 4].item() == pytest.approx(0.8, rel=1e-6)


def test_the_nearer_gaussian_hides_the_farther():
    rows = torch.stack([_row(0.5, ROUND, 0.5, [1.0, 0.0]), _row(0.5, ROUND, 0.75, [0.0, 1.0])])
    raster = rasterize(rows, _tiles(rows, (1, 1), torch.tensor([2.0, 1.0])), (1, 1), 2)
    assert raster.features[0, 0].tolist() == pytest.approx([0.25 * 0.5, 0.75], rel=1e-6)
    assert raster.opacities.item() == pytest.approx(0.875, rel=1e-6)


def test_what_light_is_left_keeps_its_digits_in_every_body():
    rows = torch.stack([_row(0.5, ROUND, 0.7, [1.0])] * 7)
    lists = _tiles(rows, (1, 1))
    for body in (RASTERIZE, RASTERIZE.reference):
        left = body(rows, lists.gaussians, lists.offsets, 1, 1, 1)[2]
        assert left.item() == pytest.approx(0.3**7, rel=5e-6)


def test_opacity_is_capped_and_a_full_pixel_takes_no_more():
    rows = torch.stack([_row(0.5, ROUND, 1.0, shown) for shown in torch.eye(5).tolist()])
    tiles = Tiles(torch.arange(5, dtype=torch.int32), torch.tensor([0, 5]))
    raster = rasterize(rows, tiles, (1, 1), 5)
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
    rows = _ellipses(count, size, sigma, opacity, channels)
    tiles = _tiles(rows, size)
    g = torch.Generator().manual_seed(5)
    seeds = [torch.randn(size[1], size[0], channels, generator=g), torch.randn(size[1], size[0], generator=g)]

    def run(dtype: torch.dtype) -> list[Tensor]:
        leaf = rows.to(dtype).requires_grad_()
        image, opacities, transmittances, stops = RASTERIZE(leaf, tiles.gaussians, tiles.offsets, channels, *size)
        (gradient,) = torch.autograd.grad([image, opacities], leaf, [s.to(dtype) for s in seeds])
        parts = gradient.split([2, 3, 1, channels], 1)
        return [stops, image, opacities, transmittances, *parts]

    found, wanted = run(torch.float32), run(torch.float64)
    assert torch.equal(found[0], wanted[0])  # no threshold fell differently
    for a, b in zip(found[1:], wanted[1:], strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("sigma", [0.5, 3.0, 60.0])
def test_a_tile_lists_exactly_the_gaussians_that_touch_it(sigma: float):
    size = (70, 45)
    rows = _ellipses(200, size, sigma)
    depths = torch.randint(1, 9, (200,), generator=torch.Generator().manual_seed(1)).float()
    found = INTERSECT(rows, depths, *size, -1, None)
    wanted = INTERSECT.reference(rows.double(), depths.double(), *size, -1, None)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    seen = _alphas(rows, size) >= 1 / 255
    for tile in range(15):
        x, y = tile % 5 * 16, tile // 5 * 16
        listed = found[0][found[1][tile] : found[1][tile + 1]]
        assert set(torch.nonzero(seen[:, y : y + 16, x : x + 16].any(-1).any(-1))[:, 0].tolist()) <= set(
            listed.tolist()
        )
        order = [(depths[i].item(), i) for i in listed.tolist()]
        assert order == sorted(order)


@pytest.mark.parametrize("capacity", [None, 137, 5000])
def test_equal_depths_come_in_the_order_that_is_given(capacity: int | None):
    size, rows = (70, 45), _ellipses(200, (70, 45), 3.0)
    depths = torch.randint(1, 4, (200,), generator=torch.Generator().manual_seed(1)).float()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    found = intersect(rows, depths, size, capacity=capacity, order=order)
    wanted = intersect(rows[order], depths[order], size, capacity=capacity)
    used = int(wanted.offsets[-1])
    assert torch.equal(found.offsets, wanted.offsets)
    assert torch.equal(found.gaussians[:used], order[wanted.gaussians[:used]].to(torch.int32))
    assert not torch.equal(found.gaussians, intersect(rows, depths, size, capacity=capacity).gaussians)


@pytest.mark.parametrize("capacity", [0, 1, 137, 5000])
def test_a_capacity_leaves_out_the_farthest(capacity: int):
    size = (70, 45)
    listing = (_ellipses(200, size, 3.0), torch.rand(200))
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
        assert listing[1][left].min() >= listing[1][used].max()


def test_a_capacity_below_0_is_named():
    with pytest.raises(ValueError, match="capacity"):
        intersect(torch.empty(0, 6), torch.empty(0), (16, 16), capacity=-2)


def test_culled_faint_and_broken_gaussians_are_listed_nowhere():
    rows = _row(8.0, ROUND, 0.5, []).repeat(5, 1)
    rows[0], rows[1, 5], rows[2, 5], rows[3, 2:5], rows[4, :2] = 0, 0.0, 1 / 300, 0.0, math.nan
    tiles = intersect(rows, torch.ones(5), (16, 16))
    assert tiles.gaussians.numel() == 0
    assert tiles.offsets.tolist() == [0, 0]


def test_a_huge_gaussian_is_in_every_tile():
    rows = torch.tensor([[-3000.0, 5000.0, 1e-9, 0.0, 1e-9, 1.0, 1.0]])
    tiles = intersect(rows, torch.ones(1), (100, 50))
    assert tiles.offsets.tolist() == list(range(29))
    raster = rasterize(rows, tiles, (100, 50), 1)
    assert (raster.opacities > 0.97).all()


def test_zero_opacity_paints_nothing_and_has_finite_gradients():
    rows = torch.stack([_row(4.0, ROUND, opacity, [1.0, 1.0, 1.0]) for opacity in (0.0, 0.5)]).requires_grad_()
    tiles = Tiles(torch.tensor([0, 1], dtype=torch.int32), torch.tensor([0, 2]))
    rasterize(rows, tiles, (8, 8)).features.sum().backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()
    assert not rows.grad[0].any()


def test_an_empty_scene_is_an_empty_picture():
    rows = torch.empty(0, 9).requires_grad_()
    raster = rasterize(rows, _tiles(rows, (20, 18)), (20, 18))
    assert raster.features.shape == (18, 20, 3)
    assert not raster.features.any()
    assert not raster.opacities.any()
    raster.features.sum().backward()
    assert rows.grad is not None


def test_columns_behind_the_features_are_not_seen_and_have_no_gradient():
    size = (40, 30)
    rows = _ellipses(60, size, 3.0, channels=4)
    tiles, leaf = _tiles(rows, size), rows.clone().requires_grad_()
    raster = rasterize(leaf, tiles, size, 2)
    assert torch.equal(raster.features, rasterize(rows[:, :8], tiles, size, 2).features)
    raster.features.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad[:, :8].any()
    assert not leaf.grad[:, 8:].any()


def test_every_number_of_threads_gives_the_same_bits():
    handle = native.library()
    if handle is None:
        pytest.skip("no compiled library")
    size = (120, 90)
    rows = _ellipses(3000, size, 3.0).requires_grad_()

    def run(threads: int) -> list[Tensor]:
        handle.scenekit_set_threads(threads)
        tiles = _tiles(rows, size)
        raster = rasterize(rows, tiles, size)
        loss = raster.features.square().sum() + raster.opacities.sum()
        return [tiles.gaussians, raster.features, *torch.autograd.grad(loss, rows)]

    try:
        runs = [run(threads) for threads in (1, 2, 2)]
    finally:
        handle.scenekit_set_threads(torch.get_num_threads())
    assert all(torch.equal(a, b) for other in runs[1:] for a, b in zip(runs[0], other, strict=True))


@pytest.mark.bad_input
def test_wrong_shapes_are_named():
    rows = _ellipses(4, (16, 16), 2.0)
    tiles = _tiles(rows, (16, 16))
    with pytest.raises(ValueError, match="channels: wanted 1 to 8, found 9"):
        rasterize(rows, tiles, (16, 16), 9)
    with pytest.raises(ValueError, match="rows: wanted at least 10 columns, found 9"):
        rasterize(rows, tiles, (16, 16), 4)
    with pytest.raises(ValueError, match=r"tiles\.offsets"):
        rasterize(rows, tiles, (32, 16))
    with pytest.raises(ValueError, match="size"):
        rasterize(rows, tiles, (0, 16))
    with pytest.raises(ValueError, match="rows: wanted at least 6 columns, found 5"):
        intersect(rows[:, :5], torch.ones(4), (16, 16))
    with pytest.raises(TypeError, match="depths"):
        intersect(rows, torch.ones(4).double(), (16, 16))
    with pytest.raises(TypeError, match="order: wanted int64"):
        intersect(rows, torch.ones(4), (16, 16), order=torch.arange(4, dtype=torch.int32))
    with pytest.raises(ValueError, match="order"):
        intersect(rows, torch.ones(4), (16, 16), order=torch.arange(3))
