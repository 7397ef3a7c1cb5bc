"""Our Gaussians as gsplat has them: its plain torch functions, and our rasterizer behind its functions' arguments."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conformance.op_samples import SAMPLES
from conformance.test_ops import _arguments, _assert_near
from torch import Tensor

from scenekit.kernels import OPS
from scenekit.kernels.intersect import TILE, columns

oracle = pytest.importorskip("gsplat.cuda._torch_impl", reason="gsplat is not installed: pip install gsplat==1.5.3")


def _fully_fused_projection(
    means: Tensor, covars: None, quaternions: Tensor, scales: Tensor, *rest: Any, **options: Any
) -> tuple[Tensor | None, ...]:
    covars, _ = oracle._quat_scale_to_covar_preci(quaternions, scales, True, False)
    radii, *found = oracle._fully_fused_projection(means, covars, *rest, **options)
    culled = (radii <= 0).any(-1)
    # Its kernels leave rows of what is culled as memory was.
    spoilt = [
        None if x is None else x.where(~culled.view(*culled.shape, *[1] * (x.dim() - 2)), torch.nan) for x in found
    ]
    return radii, *spoilt


def _as_ours(means2d: Tensor, conics: Tensor, features: Tensor, opacities: Tensor, lists: tuple[Any, ...]) -> Any:
    """Rows and lists of tiles; the last tile of all ends with the list."""
    width, height, tile, offsets, gaussians = lists
    assert tile == TILE
    assert offsets.dtype == gaussians.dtype == torch.int32
    assert offsets.shape[1] * TILE >= height
    used = columns(width) * columns(height)
    starts = torch.cat([offsets.flatten(), torch.tensor([len(gaussians)])])[: used + 1]
    rows = torch.cat([means2d[0], conics[0], opacities[0, :, None], features[0]], 1)
    return rows, gaussians, starts.long()


def _rasterize(*arguments: Any) -> tuple[Tensor, ...]:
    splats, lists = arguments[:4], arguments[6:]
    assert all(x.is_contiguous() for x in splats)
    rows, gaussians, offsets = _as_ours(*splats, lists)
    picture, opacities, _, stops = OPS["rasterize"](rows, gaussians, offsets, splats[2].shape[-1], *lists[:2])
    return picture[None], opacities[None, ..., None], stops[None]


def _rasterize_backward(*arguments: Any) -> tuple[Any, ...]:
    splats, lists, (alphas, last, for_picture, for_alphas, absolute) = (
        arguments[:4],
        arguments[6:11],
        arguments[11:],
    )
    assert not absolute
    assert all(x.is_contiguous() for x in (*splats, alphas, last, for_picture, for_alphas))
    saved = (1 - alphas[0, ..., 0], last[0])
    gradients = (for_picture[0], for_alphas[0, ..., 0])
    found = OPS["rasterize_backward"](*gradients, *_as_ours(*splats, lists), *saved)
    return None, found[None, :, :2], found[None, :, 2:5], found[None, :, 6:], found[None, :, 5]


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Any:
    from scenekit.kernels.adapters import gsplat

    compiled = {"rasterize_to_pixels_3dgs_fwd": _rasterize, "rasterize_to_pixels_3dgs_bwd": _rasterize_backward}
    theirs = SimpleNamespace(
        fully_fused_projection=_fully_fused_projection,
        spherical_harmonics=oracle._spherical_harmonics,
        isect_tiles=oracle._isect_tiles,
        isect_offset_encode=oracle._isect_offset_encode,
        _make_lazy_cuda_func=compiled.__getitem__,
    )
    monkeypatch.setattr(gsplat, "_theirs", theirs)
    return gsplat


def _of(name: str, rows: int = 300) -> tuple[Any, ...]:
    return _arguments(name, torch.float32, rows)


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("degree", [0, 2])
def test_what_it_projects_is_ours(degree: int, antialiased: bool, adapter: Any):
    *tensors, width, height, near, blur, _, _ = _of("project")
    arguments = (*tensors, width, height, near, blur, degree, antialiased)
    wanted, found = OPS["project"].reference(*arguments), adapter.project(*arguments)
    _assert_near(list(found), list(wanted), 2e-4, "output")
    gradient = torch.randn(wanted[0].shape, generator=torch.Generator().manual_seed(1))
    gradient[:, 10:] = 0
    given = (gradient, *arguments, [degree > 0, False])
    wanted, found = OPS["project_backward"].reference(*given), adapter.project_backward(*given)
    assert [x.shape for x in found] == [x.shape for x in wanted]
    _assert_near(list(found), list(wanted), 1e-3, "gradient")
    assert adapter.project_backward(gradient, *arguments, [True, True]) is NotImplemented


def test_its_lists_hold_ours(adapter: Any):
    rows, depths, width, height, _, order = _of("intersect")
    ours = OPS["intersect"](rows, depths, width, height, -1, None)
    theirs = adapter.intersect(rows, depths, width, height, -1, None)
    assert theirs[2] == len(theirs[0]) >= len(ours[0])
    for tile in range(len(ours[1]) - 1):
        mine, other = (x[0][x[1][tile] : x[1][tile + 1]].tolist() for x in (ours, theirs))
        assert set(mine) <= set(other)
        assert [depths[i] for i in other] == sorted(depths[i] for i in other)
    count = len(theirs[0])
    roomy = adapter.intersect(rows, depths, width, height, count + 5, None)
    assert torch.equal(roomy[0][:count], theirs[0])
    assert torch.equal(roomy[1], theirs[1])
    gaussians, offsets, needed = adapter.intersect(rows, depths, width, height, count - 1, None)
    assert len(gaussians) == count - 1
    assert not offsets.any()
    assert needed == count
    assert adapter.intersect(rows, depths, width, height, -1, order) is NotImplemented  # it has no such order


@pytest.mark.parametrize("spare", [0, 40])
def test_what_it_rasterizes_is_given_as_it_wants_it(spare: int, adapter: Any):
    rows, gaussians, offsets, channels, width, height = _of("rasterize")
    longer = torch.cat([gaussians, gaussians.new_zeros(spare)])
    arguments = (rows, longer, offsets, channels, width, height)
    wanted, found = OPS["rasterize"](*arguments), adapter.rasterize(*arguments)
    _assert_near([*found[:3]], [*wanted[:3]], SAMPLES["rasterize"].tolerance, "output")
    g = torch.Generator().manual_seed(2)
    gradients = [torch.randn(x.shape, generator=g) for x in wanted[:2]]
    found = adapter.rasterize_backward(*gradients, rows, longer, offsets, *found[2:])
    wanted = OPS["rasterize_backward"](*gradients, rows, longer, offsets, *wanted[2:])
    _assert_near([found], [wanted], 3e-4, "gradient")  # it takes opacities where we keep transmittances


def test_what_is_empty_is_left_to_ours(adapter: Any):
    assert adapter.project(*_of("project", 0)) is NotImplemented
    assert adapter.intersect(*_of("intersect", 0)[:-1], None) is NotImplemented
    assert adapter.rasterize(*_of("rasterize", 0)) is NotImplemented
