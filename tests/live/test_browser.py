"""The live view in a real, headless Chromium: the page that viser serves, through the guard."""

import time

import numpy as np

from scenekit.live import LiveView
from scenekit.live.picture import Picture

from .fakes import BallRenderer, ball_scene
from .pages import MARKS, drag, is_finished, shot_when, shows_sky

pytestmark = MARKS


def test_the_printed_address_shows_the_scene_and_a_drag_turns_it(open_page):
    scene = ball_scene()
    with LiveView([scene]) as live:
        page = open_page(live.url)
        first = shot_when(page, lambda image: shows_sky(image) and is_finished(page))
        assert shows_sky(first)
        assert first.std(axis=(0, 1)).min() > 0.05
        assert live.url.partition("token=")[2] not in page.url
        drag(page, 80)
        turned = shot_when(page, lambda image: np.abs(image - first).mean() > 0.02)
        assert np.abs(turned - first).mean() > 0.02
        assert shows_sky(turned)


def test_two_pages_look_apart_and_a_failing_scene_says_so_in_the_page(open_page):
    scene, other = ball_scene(), ball_scene(BallRenderer("images"))
    with LiveView([scene, other], names=["first", "second"]) as live:
        page, second = open_page(live.url), open_page(live.url)
        before = shot_when(page, shows_sky)
        assert shows_sky(before)
        assert shows_sky(shot_when(second, lambda image: shows_sky(image) and is_finished(second)))
        scene.renderer.failure = RuntimeError("<b>no such field</b>")
        live.update("step 5, 21.0 dB")
        drag(page, 40)
        trouble = page.locator("textarea:not([aria-hidden])")
        trouble.wait_for(timeout=20_000)
        assert trouble.input_value() == "RuntimeError: <b>no such field</b>"
        page.locator("input[value='step 5, 21.0 dB']").wait_for(timeout=20_000)
        assert second.locator("textarea:not([aria-hidden])").count() == 0
        scene.renderer.failure = None
        page.get_by_text("next", exact=True).click()
        trouble.wait_for(state="detached", timeout=20_000)
        assert shows_sky(shot_when(page, shows_sky))


def test_a_picture_for_a_browser_that_has_gone_is_dropped_without_a_word(open_page, recwarn):
    with LiveView([ball_scene()]) as live:
        page = open_page(live.url)
        shot_when(page, lambda image: is_finished(page))
        (panel,) = live._panels.values()
        page.close()
        ends = time.monotonic() + 20
        while live._panels and time.monotonic() < ends:
            time.sleep(0.05)
        assert not live._panels
        panel.show(Picture(np.zeros((4, 4, 3), np.uint8), finished=True, seconds=0.0))
    assert [str(warning.message) for warning in recwarn] == []


def test_a_page_without_the_token_shows_nothing(chromium):
    with LiveView([ball_scene()]) as live:
        context = chromium.new_context()
        page = context.new_page()
        assert page.goto(live.url.partition("?")[0]).status == 403
        assert "Open the address" in page.content()
        context.close()
