from __future__ import annotations

import pytest
import torch

from scenekit.core.cameras import Cameras, Pixels
from scenekit.kernels import pinhole_rays
from scenekit.kernels.rays import rays_of


def _cameras(count: int) -> Cameras:
    generator = torch.Generator().manual_seed(0)
    turns = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator)).Q
    poses = torch.cat([turns, torch.randn(count, 3, 1, generator=generator)], -1)
    intrinsics = torch.tensor([[20.0, 21.0, 8.0, 6.0]]) * (1 + torch.arange(count)[:, None])
    return Cameras(poses, intrinsics, ((16, 12),) * count, torch.rand(count), torch.arange(count) + 5)


def test_rays_know_their_cameras() -> None:
    cameras, owners = _cameras(4), torch.tensor([3, 0, 0, 2])
    rays = rays_of(cameras, Pixels(owners, torch.rand(4, 2)))
    assert torch.equal(rays.origins, cameras.centres[owners])
    assert rays.view_ids is not None
    assert rays.times is not None
    assert rays.view_ids.tolist() == [8, 5, 5, 7]
    assert torch.equal(rays.times, torch.as_tensor(cameras.times)[owners])


def test_gradients_of_a_camera_are_those_of_all_of_its_rays() -> None:
    cameras, owners, positions = _cameras(2), torch.zeros(50, dtype=torch.int64), 16 * torch.rand(50, 2)
    poses, intrinsics = (x.clone().requires_grad_() for x in (cameras.world_from_camera, cameras.intrinsics))
    found = pinhole_rays(poses, intrinsics, owners, positions)
    (found.origins.sum() + (found.directions * torch.rand(50, 3)).sum()).backward()
    assert poses.grad is not None
    assert intrinsics.grad is not None
    torch.testing.assert_close(poses.grad[0, :, 3], torch.full((3,), 50.0))
    assert not poses.grad[1].any()
    assert not intrinsics.grad[1].any()
    assert intrinsics.grad[0].all()


@pytest.mark.bad_input
def test_wrong_types_are_refused_by_name() -> None:
    cameras = _cameras(2)
    given = cameras.world_from_camera, cameras.intrinsics
    with pytest.raises(ValueError, match="cameras: wanted int64"):
        pinhole_rays(*given, torch.zeros(3, dtype=torch.int32), torch.rand(3, 2))
    with pytest.raises(ValueError, match="positions: wanted shape"):
        pinhole_rays(*given, torch.zeros(3, dtype=torch.int64), torch.rand(4, 2))
    with pytest.raises(TypeError, match=r"positions: wanted torch\.float32"):
        pinhole_rays(*given, torch.zeros(3, dtype=torch.int64), torch.rand(3, 2).double())
