from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Rendering
from scenekit.core.transforms import Similarity
from scenekit.live.compose import composed
from scenekit.live.cropping import box_of
from scenekit.live.look import Layer, Look
from scenekit.live.measuring import picked
from scenekit.live.photographs import Photographs
from scenekit.live.placing import angles_of, rotation_of
from scenekit.live.studio import Studio, placed_crop
from scenekit.live.turns import Turns

from .fakes import BACKGROUND, BallRenderer, ball_scene

SIZE = (90, 60)


def look_of(scene, index=0, **changes):
    return Look(scene.cameras.world_from_camera[index], field_of_view=0.8, aspect=1.5, height=60, **changes)


def picture_of(studio, look):
    *_, picture = studio.pictures(look, SIZE, nullcontext, 1.0)
    assert picture is not None
    return picture


def image_of(studio, look):
    return picture_of(studio, look).image / 255


def is_sky(color):
    return np.abs(color - BACKGROUND).max() < 0.01


def sky(image):
    return np.abs(image - BACKGROUND).max(-1) < 0.01


@pytest.mark.parametrize("batching", ["pixels", "images"])
def test_two_scenes_are_one_picture_and_the_nearer_hides_the_farther(batching):
    scenes = [ball_scene(BallRenderer(batching)), ball_scene()]
    studio = Studio(scenes)
    look = look_of(scenes[0])
    alone = sky(image_of(studio, look))
    aside = Similarity(1.0, torch.eye(3, dtype=torch.float64), 3 * look.world_from_camera[:, 0])
    both = image_of(studio, replace(look, layers=(Layer(0), Layer(1, aside))))
    assert sky(both).sum() < alone.sum() - 100
    nearer = Similarity(1.0, torch.eye(3, dtype=torch.float64), -3.0 * look.world_from_camera[:, 2])
    before = image_of(studio, replace(look, layers=(Layer(0), Layer(1, nearer))))
    alone_nearer = image_of(studio, replace(look, layers=(Layer(1, nearer),)))
    np.testing.assert_allclose(before, alone_nearer, atol=0.01)


def test_hiding_everything_leaves_black_and_a_chosen_background_stands_behind():
    scene = ball_scene()
    studio = Studio([scene])
    assert image_of(studio, look_of(scene, layers=())).max() == 0
    assert image_of(studio, look_of(scene, backdrop=(0.0, 1.0, 0.0)))[0, 0].tolist() == [0, 1, 0]


def test_a_scene_made_smaller_and_turned_is_seen_so():
    scene = ball_scene()
    studio = Studio([scene])
    centre = scene.scene_from_world.inverse().translation
    look = look_of(scene)
    small = Similarity.of(0.5, centre)
    small = replace(small, translation=small.translation + centre)
    whole, half = (~sky(image_of(studio, replace(look, layers=(Layer(0, s),)))) for s in (Similarity.identity(), small))
    assert half.sum() == pytest.approx(whole.sum() / 4, rel=0.15)


def test_the_second_half_of_a_comparison_is_the_other_scene():
    scene, other = ball_scene(), ball_scene()
    studio = Studio([scene, other])
    far = Similarity(1.0, torch.eye(3, dtype=torch.float64), torch.tensor([0.0, 0.0, 500.0], dtype=torch.float64))
    image = image_of(studio, look_of(scene, beside=(Layer(1, far),), split=0.5))
    assert not is_sky(image[30, 40])
    assert is_sky(image[30, 50])
    assert image[30, 45].tolist() == [1, 1, 1]


def test_normals_face_the_camera_and_are_those_of_the_ball():
    scene = ball_scene()
    look = look_of(scene)
    image = image_of(Studio([scene]), replace(look, channel="normals"))
    towards = -look.world_from_camera[:, 2].numpy()
    np.testing.assert_allclose(2 * image[30, 45] - 1, towards, atol=0.08)
    assert image[0, 0].tolist() == [0, 0, 0]


def test_an_error_is_shown_against_the_nearest_photograph_in_its_own_frame():
    scene = ball_scene()
    shots = [(255 * scene.render(scene.cameras[i]).color[0]).round().to(torch.uint8) for i in range(4)]
    shots[2] = 255 - shots[2]
    names = [f"{index}.png" for index in range(4)]
    studio = Studio([scene], lambda: Photographs(scene.cameras, shots, names))
    right = picture_of(studio, look_of(scene, 1, channel="error"))
    wrong = picture_of(studio, look_of(scene, 2, channel="error"))
    assert right.note.startswith("1.png ")
    assert float(right.note.split()[1]) > 25  # area-filtered edges are not sampled ones
    assert wrong.note.startswith("2.png ")
    assert float(wrong.note.split()[1]) < 15
    assert wrong.image.mean() > 2 * right.image.mean()
    assert right.image.shape[1] / right.image.shape[0] == pytest.approx(1.5, rel=0.02)


def test_without_photographs_an_error_is_one_sentence_and_a_failed_reading_is_raised():
    scene = ball_scene()
    with pytest.raises(ValueError, match="wanted photographs"):
        picture_of(Studio([scene]), look_of(scene, channel="error"))

    def read():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        picture_of(Studio([scene], read), look_of(scene, channel="error"))


def test_a_picked_point_lies_on_the_ball_in_world_units_and_none_in_the_sky():
    scene = ball_scene()
    studio, look = Studio([scene]), look_of(scene)
    centre = scene.scene_from_world.inverse().translation
    eye, ahead = look.world_from_camera[:, 3], look.world_from_camera[:, 2]
    *_, point = picked(studio, Turns(), look, eye, ahead)
    torch.testing.assert_close((point - centre).norm(), torch.tensor(2.0, dtype=torch.float64), atol=1e-3, rtol=0)
    assert float((point - eye).norm()) == pytest.approx(float((centre - eye).norm()) - 2, abs=1e-3)
    *_, nothing = picked(studio, Turns(), look, eye, -ahead)
    assert nothing is None


def test_blending_is_front_to_back_at_every_pixel():
    def part(opacity, depth, red):
        return Rendering(
            torch.tensor([[[[red, 0.0, 0.0]]]]) * opacity, torch.tensor([[[opacity]]]), torch.tensor([[[depth]]])
        )

    for parts in ([part(0.5, 1.0, 1.0), part(1.0, 3.0, 0.2)], [part(1.0, 3.0, 0.2), part(0.5, 1.0, 1.0)]):
        blended = composed(parts)
        assert blended.color[0, 0, 0, 0].item() == pytest.approx(0.5 + 0.5 * 0.2)
        assert blended.opacity.item() == pytest.approx(1.0)
        assert blended.depth is not None
        assert blended.depth.item() == pytest.approx(2.0)


def test_turns_in_numbers_come_back_and_a_box_is_where_it_was_put():
    angles = torch.tensor([0.4, -0.9, 2.0], dtype=torch.float64)
    torch.testing.assert_close(angles_of(rotation_of(angles)), angles)
    upright = torch.tensor([0.3, torch.pi / 2, 0.0], dtype=torch.float64)
    torch.testing.assert_close(rotation_of(angles_of(rotation_of(upright))), rotation_of(upright))
    placed = Similarity(1.0, rotation_of(angles), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    page_from_world = Similarity.of(0.1, torch.tensor([50.0, 0.0, 0.0], dtype=torch.float64))
    half = torch.tensor([0.5, 0.25, 2.0], dtype=torch.float64)
    box = box_of(placed.inverse().after(page_from_world), half)
    corner = page_from_world.inverse().points(placed.points(half))
    torch.testing.assert_close(box[:, :3] @ corner + box[:, 3], torch.ones(3, dtype=torch.float64))
    inside = placed_crop(box, page_from_world.inverse())
    torch.testing.assert_close(inside[:, :3] @ placed.points(half) + inside[:, 3], torch.ones(3, dtype=torch.float64))


def test_the_nearest_photograph_looks_where_the_pose_looks():
    cameras = ball_scene().cameras
    photographs = Photographs(cameras, [torch.zeros(80, 120, 3, dtype=torch.uint8)] * 4, "abcd")
    for index in range(4):
        assert photographs.nearest(cameras.world_from_camera[index]) == index
    assert isinstance(photographs.within(0, (60, 60)), Cameras)
    assert photographs.within(0, (60, 60)).sizes == ((60, 40),)
    clear = torch.zeros(80, 120, 4, dtype=torch.uint8)
    photographs = Photographs(cameras, [clear] * 4, "abcd")
    assert photographs.image(0, (60, 40), (1.0, 0.5, 0.0)).mean((0, 1)).tolist() == [1.0, 0.5, 0.0]
