import threading

import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.live import LiveView, view
from scenekit.live.stage import MOST_PHOTOGRAPHS, stage_of

from .fakes import ball_scene


def test_the_address_is_announced_and_the_handle_closes():
    lines = []
    live = view(ball_scene(), wait=False, announce=lines.append)
    assert live is not None
    assert lines[0] == f"Open {live.url}"
    assert "ssh -L" in lines[1]
    live.close()
    assert "scenekit-live" not in [thread.name for thread in threading.enumerate()]


def test_followed_steps_come_through_and_hold_the_lock_only_while_they_are_taken():
    with LiveView([ball_scene()]) as live:

        def steps():
            for index in range(3):
                assert live._turns._busy
                yield index

        taken = []
        for step in live.follow(steps()):
            assert not live._turns._busy
            live.update(f"step {step}\n")
            taken.append(step)
        assert taken == [0, 1, 2]
        assert live._progress.line.value == "step 2"
        assert live._turns.steps == 4  # the last turn found the end


def test_scenes_are_named_by_what_they_are_made_of_and_numbered_where_that_is_alike():
    grid, blobs = ball_scene(), ball_scene()
    grid.recipe = {"representation": {"name": "hash_grid", "config": {}}}
    blobs.recipe = {"representation": {"name": "gaussians", "config": {}}}
    with LiveView([grid, blobs]) as live:
        assert live._names == ("hash_grid", "gaussians")
    with LiveView([ball_scene(), ball_scene()]) as live:
        assert live._names == ("1 ball", "2 ball")


def test_without_a_browser_nothing_is_rendered_while_training_goes_on(monkeypatch):
    scene = ball_scene()
    rendered = []
    monkeypatch.setattr(scene.renderer, "render", lambda *arguments, **options: rendered.append(arguments))
    with LiveView([scene]) as live:
        steps = list(live.follow(range(1000)))
    assert steps == list(range(1000))
    assert not rendered


def test_the_page_stands_at_the_focus_however_far_and_large_the_world_is():
    stage = stage_of(ball_scene(offset=(5e5, 4e6, 0.0)).cameras)
    centres = stage.photographs.centres
    torch.testing.assert_close(centres.norm(dim=-1), torch.ones(4, dtype=torch.float64), atol=1e-2, rtol=0)
    world = stage.world_from_camera(stage.photographs.world_from_camera[1])
    torch.testing.assert_close(world, ball_scene(offset=(5e5, 4e6, 0.0)).cameras.world_from_camera[1])


def test_a_stage_holds_a_bounded_number_of_photographs_and_at_least_one():
    cameras = ball_scene().cameras
    assert len(stage_of(cameras[[i % 4 for i in range(500)]]).photographs) == MOST_PHOTOGRAPHS
    assert len(stage_of(cameras[:0]).photographs) == 1


@pytest.mark.bad_input
def test_no_scenes_are_one_sentence():
    with pytest.raises(BadInput, match="at least one scene"):
        LiveView([])
