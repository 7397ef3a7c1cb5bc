"""The synthetic capture is exact, deterministic and hides nothing."""

from __future__ import annotations

import torch

from scenekit.core.cameras import Pixels, every_pixel
from scenekit.data import open_capture, synthetic
from scenekit.data.shading import first_hit
from scenekit.data.synthetic import landscape, still_life
from scenekit.kernels.rays import rays_of


def test_the_same_arguments_give_the_same_bits() -> None:
    first, second = synthetic.make(3, (20, 16), seed=4), synthetic.make(3, (20, 16), seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.images, second.images, strict=True))
    assert first.points is not None
    assert second.points is not None
    assert torch.equal(first.points.positions, second.points.positions)
    assert not torch.equal(first.images[0], synthetic.make(3, (20, 16), seed=5).images[0])


def test_depth_is_that_of_the_surface_along_z() -> None:
    capture = synthetic.make(2, (32, 24))
    assert capture.depths is not None
    camera = capture.cameras[1]
    rays = rays_of(camera, every_pixel(camera))
    distances, owners = first_hit(still_life(), rays.origins, rays.directions)
    wanted = torch.where(owners >= 0, distances * rays.z_per_distance, 0.0).view(24, 32)
    torch.testing.assert_close(capture.depths[1], wanted)


def test_points_reproject_onto_the_depth_of_a_view_that_sees_them() -> None:
    capture = synthetic.make(9, (48, 48), points=300)
    assert capture.points is not None
    closest = torch.full((len(capture.points),), torch.inf, dtype=torch.float64)
    for i in capture.train:
        camera = capture.cameras[i]
        local = capture.points.positions @ camera.camera_from_world[0, :, :3].T + camera.camera_from_world[0, :, 3]
        fx, fy, cx, cy = camera.intrinsics[0]
        u, v = fx * local[:, 0] / local[:, 2] + cx, fy * local[:, 1] / local[:, 2] + cy
        inside = (u > 0) & (u < 48) & (v > 0) & (v < 48)
        assert capture.depths is not None
        depth = capture.depths[i][v.long().clamp(0, 47), u.long().clamp(0, 47)]
        closest = torch.where(inside, torch.minimum(closest, (depth - local[:, 2]).abs()), closest)
    assert float(closest.max()) < 1e-9


def test_every_shape_is_met_where_its_surface_is() -> None:
    """Normals face the viewer, and a ray against the normal meets the same point."""
    for shape in still_life():
        camera = synthetic.hemisphere(2, (40, 40))[1]
        rays = rays_of(camera, every_pixel(camera))
        distances, owners = first_hit([shape], rays.origins, rays.directions)
        seen = owners == 0
        assert int(seen.sum()) > 3
        points = rays.origins[seen] + distances[seen, None] * rays.directions[seen]
        normals = shape.normal(shape.local(points)) @ shape.own_from_world
        torch.testing.assert_close(normals.norm(dim=-1), torch.ones_like(normals[:, 0]))
        assert float((normals * rays.directions[seen]).sum(-1).max()) < 1e-6
        again, _ = first_hit([shape], points + 1e-2 * normals, -normals)
        assert float((again - 1e-2).abs().max()) < 1e-9


def test_the_unbounded_variant_is_opaque_and_reaches_far() -> None:
    capture = synthetic.make(3, (24, 16), unbounded=True)
    assert capture.bounds.contracted
    assert not capture.has_alpha
    assert capture.depths is not None
    assert float(torch.stack(capture.depths).max()) > 20
    camera = capture.cameras[0]
    rays = rays_of(camera, Pixels(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 2).double()))
    assert first_hit(landscape(), rays.origins, rays.directions)[1].min() >= 0


def test_a_shrunk_capture_sees_the_same_rays() -> None:
    whole, half = open_capture("synthetic", downscale=4.0), open_capture("synthetic", downscale=8.0)
    assert half.cameras.sizes[0] == (16, 16)
    torch.testing.assert_close(half.cameras.intrinsics * 2, whole.cameras.intrinsics)
    assert torch.equal(half.cameras.world_from_camera, whole.cameras.world_from_camera)
