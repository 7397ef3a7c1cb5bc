"""A headless Chromium for pages, and a server that can be as slow as a line."""

import base64
import contextlib
import functools
import http.server
import importlib.util
import io
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --mute-audio --hide-scrollbars --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
)
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]
# Bytes as base64: playwright would carry every number of an array by itself.
PHOTOGRAPH = """async (camera) => {
  const pixels = await window.scenekit.photograph(camera);
  let text = '';
  for (let i = 0; i < pixels.length; i += 8192) text += String.fromCharCode(...pixels.subarray(i, i + 8192));
  return btoa(text);
}"""


@contextlib.contextmanager
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def served(folder):
    """The address of a folder on a loopback server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    server.server_close()
    thread.join()


def wait_until_loaded(page, seconds=60):
    """Waits for the page's own promise; raises what it rejects with."""
    for _ in range(10 * seconds):
        if page.evaluate("() => window.scenekit !== undefined"):
            break
        page.wait_for_timeout(100)
    page.evaluate("() => window.scenekit.loaded")


def photograph(page, pose, intrinsics, size):
    """What the page draws for a camera in its own frame: [H W 3] in [0, 1]."""
    camera = {"pose": pose.flatten().tolist(), "intrinsics": intrinsics.tolist(), "size": list(size)}
    pixels = np.frombuffer(base64.b64decode(page.evaluate(PHOTOGRAPH, camera)), np.uint8)
    return pixels.reshape(size[1], size[0], 4)[..., :3].astype(np.float64) / 255


def screenshot(page):
    """What is on the screen once it no longer changes, [H W 3] in [0, 1]."""
    while not page.evaluate("() => window.scenekit.statistics().firstPictureMs > 0"):
        page.wait_for_timeout(100)
    shots = [b"", page.screenshot()]
    while shots[-1] != shots[-2]:
        page.wait_for_timeout(400)
        shots.append(page.screenshot())
    with Image.open(io.BytesIO(shots[-1])) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64) / 255


def psnr(a, b):
    return float(-10 * np.log10(np.mean((a - b) ** 2) + 1e-20))
