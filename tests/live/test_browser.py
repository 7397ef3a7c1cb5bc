"""The live view in a real, headless Chromium: the page that viser serves, through the guard."""

import importlib.util
import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from scenekit.live import LiveView

from .fakes import BACKGROUND, BallRenderer, ball_scene

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --mute-audio --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]
BALL = (100, 300)  # of the window, clear of the panel and of the notice about software rendering
SKY = (20, 380)


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens pages; a test fails on anything that one reports as an error."""
    contexts, errors = [], []

    def begin(url):
        contexts.append(chromium.new_context(viewport={"width": 640, "height": 400}))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(url)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert errors == []


def screenshot(page):
    with Image.open(io.BytesIO(page.screenshot())) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64) / 255


def shot_when(page, condition, seconds=40):
    """The first screenshot that satisfies ``condition``, or the last one taken."""
    ends = time.monotonic() + seconds
    while True:
        image = screenshot(page)
        if condition(image) or time.monotonic() > ends:
            return image
        page.wait_for_timeout(200)


def shows_sky(image):
    return np.abs(image[SKY[1], SKY[0]] - BACKGROUND).max() < 0.05


def drag(page, pixels):
    page.mouse.move(*BALL)
    page.mouse.down()
    page.mouse.move(BALL[0] + pixels, BALL[1], steps=4)
    page.mouse.up()


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
        assert shows_sky(shot_when(second, shows_sky))
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


def test_a_page_without_the_token_shows_nothing(chromium):
    with LiveView([ball_scene()]) as live:
        context = chromium.new_context()
        page = context.new_page()
        assert page.goto(live.url.partition("?")[0]).status == 403
        assert "Open the address" in page.content()
        context.close()


def is_finished(page):
    return page.locator("input[value$='finished']").count() > 0
