from dataclasses import replace

import torch

from scenekit.core.cameras import Cameras, Pixels, every_pixel, look_at
from scenekit.core.lenses import Lens
from scenekit.core.transforms import Similarity
from scenekit.kernels.rays import rays_of


def one_camera(width: int = 8, height: int = 6) -> Cameras:
    pose = look_at(torch.tensor([0.0, -3.0, 1.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    return Cameras(pose[None], torch.tensor([[10.0, 11.0, width / 2, height / 2]]), ((width, height),))


def test_the_middle_of_the_image_looks_along_the_optical_axis() -> None:
    camera = one_camera()
    rays = rays_of(camera, Pixels(torch.tensor([0]), torch.tensor([[4.0, 3.0]])))
    torch.testing.assert_close(rays.directions, camera.forward)
    torch.testing.assert_close(rays.z_per_distance, torch.ones(1))


def test_a_look_at_camera_is_right_handed_with_y_down() -> None:
    pose = one_camera().world_from_camera[0]
    torch.testing.assert_close(torch.linalg.det(pose[:, :3]), torch.tensor(1.0))
    assert pose[2, 1] < 0  # the image's y points down in a world whose z is up


def test_looking_straight_up_still_gives_a_rotation() -> None:
    pose = look_at(torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(pose[:, :3] @ pose[:, :3].T, torch.eye(3))


def test_every_ray_projects_back_to_its_pixel() -> None:
    camera = one_camera()
    pixels = every_pixel(camera)
    rays = rays_of(camera, pixels)
    points = rays.origins + 2.5 * rays.directions
    local = points @ camera.camera_from_world[0, :, :3].T + camera.camera_from_world[0, :, 3]
    fx, fy, cx, cy = camera.intrinsics[0]
    projected = torch.stack([fx * local[:, 0] / local[:, 2] + cx, fy * local[:, 1] / local[:, 2] + cy], -1)
    torch.testing.assert_close(projected, pixels.positions, rtol=0, atol=1e-4)
    torch.testing.assert_close(local[:, 2], 2.5 * rays.z_per_distance)


def test_a_resized_camera_sees_the_same_through_its_corners() -> None:
    camera = one_camera()
    small = camera.resized([(4, 2)])
    corners = torch.tensor([[0.0, 0.0], [8.0, 6.0]])
    small_corners = torch.tensor([[0.0, 0.0], [4.0, 2.0]])
    owner = torch.zeros(2, dtype=torch.int64)
    torch.testing.assert_close(
        rays_of(camera, Pixels(owner, corners)).directions,
        rays_of(small, Pixels(owner, small_corners)).directions,
    )


def test_a_list_of_indices_picks_cameras_in_its_order() -> None:
    camera = one_camera()
    other = camera.moved(Similarity.of(2.0))
    both = Cameras(
        torch.cat([camera.world_from_camera, other.world_from_camera]),
        camera.intrinsics.repeat(2, 1),
        camera.sizes * 2,
        view_ids=torch.tensor([7, 9]),
    )
    swapped = both[[1, 0]]
    assert swapped.view_ids is not None
    assert swapped.view_ids.tolist() == [9, 7]
    torch.testing.assert_close(swapped.centres[0], 2 * camera.centres[0])


def test_no_cameras_have_no_pixels() -> None:
    none = one_camera()[0:0]
    assert len(none) == 0
    assert len(every_pixel(none)) == 0


def test_batches_of_cameras_become_one_with_what_all_of_them_have() -> None:
    one, other = one_camera(), one_camera(4, 5)
    lens = Lens.of("equidistant", k1=0.1)
    numbered = [replace(camera, view_ids=torch.tensor([index])) for index, camera in enumerate((one, other))]
    both = Cameras.joined([replace(numbered[0], times=torch.zeros(1)), replace(numbered[1], lenses=(lens,))])
    assert both.sizes == ((8, 6), (4, 5))
    assert both.lenses == (None, lens)
    assert both.times is None
    assert both.view_ids is not None
    assert both.view_ids.tolist() == [0, 1]
    assert torch.equal(both[1].intrinsics, other.intrinsics)
    assert Cameras.joined([one, other]).are_pinholes
    assert Cameras.joined([one, other]).lenses is None
