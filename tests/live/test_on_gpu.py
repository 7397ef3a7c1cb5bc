"""A live view of scenes on a pretended GPU, and of some that are not."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from scenekit.live.look import CHANNELS, Layer, Look
from scenekit.live.measuring import picked
from scenekit.live.photographs import Photographs
from scenekit.live.studio import Studio
from scenekit.live.turns import Turns
from scenekit.renderers.background import SphereBackground
from scenekit.renderers.scene import Scene
from scenekit.representations.sphere import Sphere
from tests.assets.splat_scenes import sample_scene
from tests.distill.teachers import ball_scene


def looked(scene: Scene, **changes: object) -> Look:
    return Look(scene.cameras.world_from_camera[0], field_of_view=0.8, aspect=1.5, height=24, **changes)  # type: ignore[arg-type]


def shown(studio: Studio, look: Look, part: float | None) -> object:
    *_, picture = studio.pictures(look, look.size(), nullcontext, part)
    assert picture is not None
    return picture.image


@pytest.mark.parametrize("kind", ["field", "splats"])
def test_every_channel_is_shown_of_one_scene_and_of_several(kind: str, pretended_gpu: torch.device) -> None:
    scene = (ball_scene() if kind == "field" else sample_scene()).to(pretended_gpu)
    scene.background = SphereBackground(Sphere(degree=2, width=8).build(None)).to(pretended_gpu)
    beside = ball_scene()  # in main memory
    photographs = [torch.zeros(height, width, 3, dtype=torch.uint8) for width, height in scene.cameras.sizes]
    names = [str(index) for index in range(len(photographs))]
    studio = Studio([scene, beside], lambda: Photographs(scene.cameras, photographs, names))
    for channel in CHANNELS:
        for layers in ((Layer(0),), (Layer(0), Layer(1)), (Layer(1), Layer(0)), ()):
            look = looked(scene, channel=channel, layers=layers, beside=(Layer(1),))
            assert shown(studio, look, 1.0) is not None
    box = torch.eye(3, 4, dtype=torch.float64)
    cropped = looked(scene, crop=box, backdrop=(1.0, 0.0, 0.0))
    assert shown(studio, cropped, None) is not None


def test_points_are_picked_there(pretended_gpu: torch.device) -> None:
    scene = ball_scene().to(pretended_gpu)
    look = looked(replace(scene))
    pose = look.world_from_camera
    *_, point = picked(Studio([scene]), Turns(), look, pose[:, 3], pose[:, 2])
    assert point is not None
    assert float(point.norm()) == pytest.approx(0.5, abs=0.05)
