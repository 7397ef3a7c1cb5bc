"""Pages of the live view in headless Chromium, and what is asked of them."""

import importlib.util
import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from .fakes import BACKGROUND

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --mute-audio --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
)
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]
BALL = (100, 300)  # of the window, clear of the panel and of the notice about software rendering
SKY = (20, 380)


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


def is_finished(page):
    return page.locator("input[value$='finished']").count() > 0
