import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenekit.live.look import Layer, Look
from scenekit.live.render_loop import Client, RenderLoop, plain
from scenekit.live.studio import Studio
from scenekit.live.turns import Turns
from scenekit.renderers.background import WHITE

from .fakes import BACKGROUND, BallRenderer, ball_scene


class Browser:
    """Keeps what it was sent."""

    def __init__(self, look):
        self.pictures = []
        self.words = []
        self.news = threading.Condition()
        self.client = Client(self._take(self.pictures), self._take(self.words), look)

    def _take(self, received):
        def take(item):
            with self.news:
                received.append(item)
                self.news.notify_all()

        return take

    def wait(self, condition, seconds=5.0):
        ends = time.monotonic() + seconds
        while not condition() and time.monotonic() < ends:
            with self.news:
                self.news.wait(0.01)
        return condition()

    def has_finished(self, count=1):
        return sum(picture.finished for picture in self.pictures) >= count


def look_of(seen, index=0, height=60, **changes):
    pose = seen.cameras.world_from_camera[index]
    return replace(Look(pose, field_of_view=0.8, aspect=1.5, height=height), **changes)


@pytest.fixture
def start():
    loops = []

    def begin(*scenes, turns=None):
        loops.append(RenderLoop(Studio(scenes), turns or Turns()))
        return loops[-1]

    yield begin
    for loop in loops:
        loop.close()


@pytest.mark.parametrize("batching", ["pixels", "images"])
def test_a_still_browser_gets_one_finished_picture_of_the_scene(start, batching):
    scene = ball_scene(BallRenderer(batching))
    loop, browser = start(scene), Browser(look_of(scene))
    loop.join(0, browser.client)
    assert browser.wait(browser.has_finished)
    image = browser.pictures[-1].image
    assert image.shape == (60, 90, 3)
    np.testing.assert_allclose(image[0, 0] / 255, BACKGROUND, atol=0.01)
    assert np.abs(image[30, 45] / 255 - BACKGROUND).max() > 0.2
    time.sleep(0.3)
    assert browser.has_finished(1)
    assert not browser.has_finished(2)


def test_a_slow_scene_is_coarse_at_once_and_whole_when_still(start):
    scene = ball_scene(BallRenderer(seconds_per_pixel=2e-5))
    loop, browser = start(scene), Browser(look_of(scene, height=80))
    loop.join(0, browser.client)
    assert browser.wait(browser.has_finished)
    for index in (1, 2, 3):
        loop.look(0, look_of(scene, index, height=80))
        assert browser.wait(lambda index=index: browser.client.coarse == index)
    assert browser.wait(lambda: browser.has_finished(2))
    coarse = [picture.image.shape for picture in browser.pictures if not picture.finished]
    assert max(height * width for height, width, _ in coarse) < 80 * 120 / 2
    assert browser.pictures[-1].image.shape == (80, 120, 3)


def test_a_new_pose_interrupts_a_refinement_between_parts(start):
    renderer = BallRenderer(seconds_per_pixel=1e-4)  # 2.4 s for the finished picture
    scene = ball_scene(renderer)
    loop, browser = start(scene), Browser(look_of(scene, height=126))
    loop.join(0, browser.client)
    assert browser.wait(lambda: len(renderer.rendered) >= 4)
    begun = time.monotonic()
    seen = len(browser.pictures)
    loop.look(0, look_of(scene, 1, height=126))
    assert browser.wait(lambda: len(browser.pictures) > seen)
    assert time.monotonic() - begun < 1.2  # uninterrupted it would take twice that
    assert not browser.has_finished()


def test_only_the_latest_pose_is_drawn(start):
    renderer = BallRenderer(seconds_per_pixel=1e-5)
    scene = ball_scene(renderer)
    loop, browser = start(scene), Browser(look_of(scene))
    loop.join(0, browser.client)
    assert browser.wait(browser.has_finished)
    drawn = len(renderer.rendered)
    for step in range(200):
        loop.look(0, look_of(scene, step % 4, height=61))
    assert browser.wait(lambda: browser.has_finished(2))
    assert len(renderer.rendered) - drawn < 20


def test_an_exception_is_told_to_the_page_and_stops_nothing(start):
    renderer = BallRenderer()
    scene = ball_scene(renderer)
    loop, browser = start(scene), Browser(look_of(scene))
    loop.join(0, browser.client)
    assert browser.wait(browser.has_finished)
    renderer.failure = RuntimeError("it \x1b[31mbroke\n<script>alert(1)</script>")
    loop.look(0, look_of(scene, 1))
    assert browser.wait(lambda: any(browser.words))
    told = next(word for word in browser.words if word)
    assert told == "RuntimeError: it [31mbroke <script>alert(1)</script>"
    renderer.failure = None
    loop.look(0, look_of(scene, 2))
    assert browser.wait(lambda: browser.has_finished(2))
    assert browser.words[-1] == ""


def test_a_browser_that_cannot_be_reached_does_not_stop_the_others(start):
    def gone(_):
        raise ConnectionError

    scene = ball_scene()
    loop, browser = start(scene), Browser(look_of(scene))
    loop.join(0, Client(gone, gone, look_of(scene)))
    loop.join(1, browser.client)
    assert browser.wait(browser.has_finished)


def test_several_browsers_look_at_several_scenes(start):
    scenes = [ball_scene(), ball_scene(BallRenderer("images"))]
    loop = start(*scenes)
    browsers = [Browser(look_of(scenes[0], i % 4, layers=(Layer(i % 2),), height=50 + i)) for i in range(3)]
    for key, browser in enumerate(browsers):
        loop.join(key, browser.client)
    for key, browser in enumerate(browsers):
        assert browser.wait(browser.has_finished)
        assert browser.pictures[-1].image.shape[0] == 50 + key
    loop.leave(1)
    loop.look(1, look_of(scenes[0]))
    loop.look(2, look_of(scenes[0], height=70))
    assert browsers[2].wait(lambda: browsers[2].has_finished(2))


def test_depth_opacity_and_backdrop_are_shown(start):
    scene = ball_scene()
    loop = start(scene)
    wanted = {
        "opacity": {"channel": "opacity"},
        "depth": {"channel": "depth"},
        "white": {"backdrop": WHITE},
    }
    browsers = {name: Browser(look_of(scene, **changes)) for name, changes in wanted.items()}
    for key, browser in enumerate(browsers.values()):
        loop.join(key, browser.client)
    images = {}
    for name, browser in browsers.items():
        assert browser.wait(browser.has_finished)
        images[name] = browser.pictures[-1].image
    assert images["opacity"][0, 0].tolist() == [0, 0, 0]
    assert images["opacity"][30, 45].tolist() == [255, 255, 255]
    assert images["depth"][0, 0].tolist() == [0, 0, 0]
    assert images["depth"][30, 45].sum() > images["depth"][30, 45 - 12].sum()  # the middle is nearer
    assert images["white"][0, 0].tolist() == [255, 255, 255]


def test_what_no_camera_can_be_is_ignored(start):
    scene = ball_scene()
    loop, browser = start(scene), Browser(look_of(scene))
    loop.join(0, browser.client)
    assert browser.wait(browser.has_finished)
    good = look_of(scene)
    broken = torch.full_like(good.world_from_camera, torch.nan)
    for changes in (
        {"aspect": float("nan")},
        {"height": 0},
        {"field_of_view": 4.0},
        {"world_from_camera": broken},
    ):
        loop.look(0, replace(good, **changes))
    assert browser.client.changes == 0
    assert replace(good, height=10**9).size()[0] * replace(good, height=10**9).size()[1] < 4e6


def test_a_scene_in_training_is_refreshed_while_still(start, monkeypatch):
    monkeypatch.setattr("scenekit.live.render_loop.REFRESH_EVERY", 0.2)
    scene, turns = ball_scene(), Turns()
    loop, browser = start(scene, turns=turns), Browser(look_of(scene))
    loop.join(0, browser.client)
    assert browser.wait(browser.has_finished)
    with turns.training():
        pass
    assert browser.wait(lambda: browser.has_finished(2))


def test_words_are_one_printable_line_of_bounded_length():
    assert plain("a\nb\x00\u202ec\t d") == "a b c d"
    assert len(plain("x" * 1000)) == 300
