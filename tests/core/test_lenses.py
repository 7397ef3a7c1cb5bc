"""Every lens: pixels to rays and back, against pycolmap's models."""

from __future__ import annotations

import math

import numpy as np
import pycolmap
import pytest
import torch

from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.lenses import Lens, seen_at, sight, undistorted
from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.kernels.rays import rays_of

SIZE = (64, 48)
SIDES = torch.tensor([64.0, 48.0], dtype=torch.float64)
INTRINSICS = torch.tensor([40.0, 41.0, 31.0, 25.0], dtype=torch.float64)
PANORAMA = torch.tensor([64 / (2 * math.pi), 48 / math.pi, 32, 24], dtype=torch.float64)
LENSES = {
    "opencv": Lens.of("perspective", k1=-0.12, k2=0.03, p1=0.002, p2=-0.001),
    "full": Lens.of("perspective", k1=0.2, k2=0.1, k3=0.01, d1=0.15, d2=0.03, d3=0.001, p1=0.001, p2=0.002),
    "fisheye": Lens.of("equidistant", k1=0.05, k2=-0.01, k3=0.002, k4=-0.0004),
    "thin prism": Lens.of("equidistant", k1=0.03, k2=-0.01, p1=0.002, p2=-0.003, s1=0.004, s2=-0.002),
    "panorama": Lens.of("equirectangular"),
    "orthographic": Lens.of("orthographic"),
}


def intrinsics_of(name: str) -> torch.Tensor:
    return PANORAMA if name == "panorama" else INTRINSICS


@pytest.mark.parametrize("name", LENSES)
def test_a_point_on_a_pixels_ray_is_seen_at_that_pixel(name: str) -> None:
    positions = every_pixel(Cameras(torch.eye(4)[None, :3].double(), INTRINSICS[None], (SIZE,))).positions
    origins, directions, along = sight(LENSES[name], intrinsics_of(name), SIDES, positions)
    points = origins + 2.5 * directions
    torch.testing.assert_close(seen_at(LENSES[name], intrinsics_of(name), SIDES, points), positions)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(len(positions), dtype=torch.float64))
    if name != "panorama":
        torch.testing.assert_close(along * 2.5, points[:, 2])


COLMAP = {
    "opencv": ("OPENCV", [-0.12, 0.03, 0.002, -0.001]),
    "full": ("FULL_OPENCV", [0.2, 0.1, 0.001, 0.002, 0.01, 0.15, 0.03, 0.001]),
    "fisheye": ("OPENCV_FISHEYE", [0.05, -0.01, 0.002, -0.0004]),
    "thin prism": ("THIN_PRISM_FISHEYE", [0.03, -0.01, 0.002, -0.003, 0.0, 0.0, 0.004, -0.002]),
}


@pytest.mark.parametrize("name", COLMAP)
def test_it_is_the_lens_that_colmap_means(name: str) -> None:
    model, parameters = COLMAP[name]
    camera = pycolmap.Camera(model=model, width=SIZE[0], height=SIZE[1], params=[*INTRINSICS.tolist(), *parameters])
    generator = np.random.default_rng(0)
    points = np.concatenate([generator.uniform(-0.8, 0.8, (50, 2)), np.ones((50, 1))], 1)
    try:
        expected = np.asarray(camera.img_from_cam(points))
    except TypeError:
        expected = np.asarray(camera.img_from_cam(points[:, :2]))
    found = seen_at(LENSES[name], INTRINSICS, SIDES, torch.from_numpy(points))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_a_fisheye_sees_behind_itself() -> None:
    lens = LENSES["fisheye"]
    behind = torch.tensor([[1.0, 0.2, -0.3]], dtype=torch.float64)
    position = seen_at(lens, INTRINSICS, SIDES, behind)
    _, direction, along = sight(lens, INTRINSICS, SIDES, position)
    torch.testing.assert_close(direction, torch.nn.functional.normalize(behind, dim=-1))
    assert float(along) < 0


def test_a_panoramas_middle_looks_ahead_its_right_to_the_right_and_its_top_up() -> None:
    positions = torch.tensor([[32.0, 24.0], [48.0, 24.0], [32.0, 0.0]], dtype=torch.float64)
    _, directions, _ = sight(LENSES["panorama"], PANORAMA, SIDES, positions)
    expected = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]], dtype=torch.float64)
    torch.testing.assert_close(directions, expected, atol=1e-12, rtol=0)


def test_orthographic_rays_are_parallel_and_start_in_the_image_plane() -> None:
    pose = torch.eye(4)[None, :3].clone()
    pose[..., 3] = torch.tensor([1.0, 2.0, 3.0])
    camera = Cameras(pose, INTRINSICS.float()[None], (SIZE,), lenses=(LENSES["orthographic"],))
    rays = rays_of(camera, Pixels(torch.zeros(2, dtype=torch.int64), torch.tensor([[31.0, 25.0], [71.0, 25.0]])))
    torch.testing.assert_close(rays.origins, torch.tensor([[1.0, 2, 3], [2.0, 2, 3]]))
    torch.testing.assert_close(rays.directions, torch.tensor([[0.0, 0, 1], [0.0, 0, 1]]))


@pytest.mark.parametrize("name", LENSES)
def test_rays_of_moved_cameras_are_the_rays_moved(name: str) -> None:
    turn = matrix_from_quaternion(torch.tensor([0.8, 0.1, -0.5, 0.3], dtype=torch.float64))
    moved = Similarity.of(0.66, torch.tensor([1.0, -2.0, 0.5]), turn)
    poses = torch.eye(4, dtype=torch.float64)[None, :3].repeat(2, 1, 1)
    cameras = Cameras(poses.float(), intrinsics_of(name).float().expand(2, 4), (SIZE,) * 2, lenses=(None, LENSES[name]))
    pixels = Pixels(torch.tensor([0, 1, 1]), torch.tensor([[12.5, 30.5], [12.5, 30.5], [50.5, 8.5]]))
    before, after = rays_of(cameras, pixels), rays_of(cameras.moved(moved), pixels)
    torch.testing.assert_close(after.origins.double(), moved.points(before.origins.double()), atol=1e-6, rtol=0)
    torch.testing.assert_close(after.directions.double(), before.directions.double() @ turn.T, atol=1e-6, rtol=0)


def test_lenses_mix_in_one_batch_and_a_pinhole_among_them_stays_one() -> None:
    poses = torch.eye(4)[None, :3].expand(3, 3, 4)
    intrinsics = INTRINSICS.float().expand(3, 4)
    mixed = Cameras(poses, intrinsics, (SIZE,) * 3, lenses=(None, LENSES["fisheye"], LENSES["opencv"]))
    positions = torch.rand(30, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(SIZE)
    pixels = Pixels(torch.arange(30) % 3, positions)
    rays = rays_of(mixed, pixels)
    plain = rays_of(Cameras(poses, intrinsics, (SIZE,) * 3), pixels)
    pinhole = pixels.cameras == 0
    torch.testing.assert_close(rays.directions[pinhole], plain.directions[pinhole])
    torch.testing.assert_close(rays.z_per_distance[pinhole], plain.z_per_distance[pinhole])
    fisheye = sight(LENSES["fisheye"], intrinsics[0], SIDES.float(), positions[1::3])[1]
    torch.testing.assert_close(rays.directions[1::3], fisheye)
    assert mixed[[1]].lenses == (LENSES["fisheye"],)


def test_a_distorted_ray_has_the_gradient_of_its_focal_length() -> None:
    positions = torch.tensor([[50.0, 40.0]], dtype=torch.float64)

    def direction(intrinsics: torch.Tensor) -> torch.Tensor:
        return sight(LENSES["opencv"], intrinsics, SIDES, positions)[1]

    assert torch.autograd.gradcheck(direction, INTRINSICS.clone().requires_grad_())


def test_newtons_method_undoes_strong_distortion() -> None:
    strong = torch.tensor([-0.3, 0.1, 0, 0, 0, 0, 0, 0.01, 0.01, 0, 0], dtype=torch.float64)
    from scenekit.core.lenses import distorted

    plane = torch.rand(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    torch.testing.assert_close(undistorted(distorted(plane, strong), strong), plane)


@pytest.mark.bad_input
def test_an_unknown_lens_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted one of"):
        Lens.of("periscope")
    with pytest.raises(ValueError, match="k9"):
        Lens.of("perspective", k9=1.0)
