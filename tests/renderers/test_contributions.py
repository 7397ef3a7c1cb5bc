import torch

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.protocols import Splats
from scenekit.renderers.contributions import contributions


def _camera() -> Cameras:
    pose = look_at(torch.tensor([0.0, 0.0, -4.0]), torch.zeros(3), torch.tensor([0.0, -1.0, 0.0]))
    return Cameras(pose[None], torch.tensor([[40.0, 40.0, 20.0, 20.0]]), ((40, 40),))


def _splats(means: list[list[float]], opacities: list[float]) -> Splats:
    count = len(means)
    turns = torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1)
    return Splats(
        torch.tensor(means).float(),
        turns,
        torch.full((count, 3), 0.2),
        torch.tensor(opacities),
        torch.zeros(count, 1, 3),
        torch.zeros(count, 0, 3),
        0,
    )


def test_what_is_hidden_or_out_of_view_adds_little():
    splats = _splats([[0, 0, -1], [0, 0, 1], [0, 1, 0], [0, 90, 0]], [0.99, 0.99, 0.99, 0.99])
    front, behind, beside, outside = contributions(splats, _camera()).tolist()
    assert front > 2 * behind
    assert beside > behind
    assert outside == 0


def test_weights_add_up_to_the_opacity_of_the_picture():
    splats = _splats([[0, 0, -1], [0.1, 0, 1]], [0.6, 0.8])
    whole = contributions(splats, _camera())
    # One splat alone: its weights are its own opacity over the picture; with another in front they fall.
    alone = contributions(_splats([[0.1, 0, 1]], [0.8]), _camera())
    assert float(whole[1]) < float(alone[0])
    torch.testing.assert_close(whole[0], contributions(_splats([[0, 0, -1]], [0.6]), _camera())[0])


def test_two_views_add_up():
    splats = _splats([[0, 0, 0]], [0.5])
    one = _camera()
    two = Cameras(one.world_from_camera.repeat(2, 1, 1), one.intrinsics.repeat(2, 1), one.sizes * 2)
    torch.testing.assert_close(contributions(splats, two), 2 * contributions(splats, one))
