"""The standalone page at size, in headless Chromium: loading, sorting, memory, and the first picture on a slow line.

    python -m benchmarks.viewer [--splats 1000000] [--degree 3] [--megabits 50]

The splats are random numbers, which nothing compresses. Times are the browser's own, from the opening of the page; the
first picture is one that the graphics device has finished. Beside its time stand the bytes that it needed, page and
script included, and the processor time of all the browser's processes until then, which a busy machine changes less.
Without a graphics card Chromium draws with SwiftShader on the CPU. Memory is what the page's scripts hold (JavaScript
heap and array buffers), what its worker holds and what its textures take. Results go to
``benchmarks/results/viewer.json``.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import keep
from scenekit.assets.web import export_web
from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.transforms import Similarity
from scenekit.renderers.background import GivenBackground
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussian_cloud import GaussianCloud, model_of

FLAGS = (
    "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --mute-audio --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader "
    "--enable-precise-memory-info"
)
RESULTS = "viewer"
SIZE = (160, 100)
FILES = ("index.html", "viewer.js", "viewer.css", "scene.json")  # of a page, beside its chunks
OPENINGS = 3  # of the page, to time its first picture
TURNS = 7  # of the camera, to sort for; each is drawn, which takes a CPU seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splats", type=int, default=1_000_000)
    parser.add_argument("--degree", type=int, default=3)
    parser.add_argument("--megabits", type=float, default=50.0, help="of the line, a second; 0 leaves it as it is")
    parser.add_argument("--seconds", type=float, default=900.0, help="to wait for all of it")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        size = export_web(random_scene(options.splats, options.degree), Path(folder) / "page")
        written = time.perf_counter() - began
        figures = measured(Path(folder) / "page", options.megabits, options.seconds)
    line = f"{options.megabits:g} Mbit/s" if options.megabits else "loopback"
    scope = f"random splats, harmonics of degree {options.degree}, canvas {SIZE[0]}x{SIZE[1]}, {line}, SwiftShader"
    keep(
        RESULTS,
        f"{options.splats}",
        figures
        | {
            "megabytes": round(size / 1e6, 1),
            "export_seconds": round(written, 1),
            "scope": scope,
            "load_before": round(before, 1),
            "load_after": round(os.getloadavg()[0], 1),
        },
    )


def random_scene(count: int, degree: int) -> Scene:
    """Small splats all through a ball."""
    make = torch.Generator().manual_seed(0)
    cloud = GaussianCloud(
        means=torch.randn(count, 3, generator=make) * 0.4,
        log_scales=torch.randn(count, 3, generator=make) * 0.5 - 6,
        quaternions=torch.randn(count, 4, generator=make),
        opacity_logits=torch.randn(count, generator=make),
        harmonics=torch.randn(count, (degree + 1) ** 2, 3, generator=make) * 0.2,
    )
    middle, up = torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    eyes = [torch.tensor([0.3 * i, -0.5, -2.5], dtype=torch.float64) for i in range(3)]
    lens = torch.tensor([[150.0, 150.0, 80.0, 50.0]], dtype=torch.float64).expand(3, 4)
    cameras = Cameras(torch.stack([look_at(eye, middle, up) for eye in eyes]), lens, (SIZE,) * 3)
    return Scene(SplatRenderer(model_of(cloud)), GivenBackground(), Similarity.identity(), cameras, Bounds())


def measured(page: Path, megabits: float, seconds: float) -> dict[str, Any]:
    """Open the page some times, each with nothing in its cache, wait for all of it once, and read its own figures."""
    from playwright.sync_api import sync_playwright

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(page)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    small = sum((page / name).stat().st_size for name in FILES)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
            address = f"http://127.0.0.1:{server.server_port}/index.html"
            first: list[dict[str, float]] = []
            for _ in range(OPENINGS - 1):
                view, _, found = _first_picture(browser, address, megabits, seconds)
                first.append(found)
                view.context.close()
            view, line, found = _first_picture(browser, address, megabits, seconds)
            first.append(found)
            figures = _after(view, "loadedMs", seconds)
            sorts = _sorts(view)
            heap = line.send("Runtime.getHeapUsage")
            browser.close()
    finally:
        server.shutdown()
    held = {
        "heap_megabytes": heap["usedSize"] / 1e6,
        "array_buffer_megabytes": heap.get("backingStorageSize", 0) / 1e6,
        "worker_megabytes": figures["workerBytes"] / 1e6,
        "texture_megabytes": figures["textureBytes"] / 1e6,
    }
    held["memory_megabytes"] = sum(held.values())
    return {
        **_least_and_median("first_picture_ms", [found["firstPictureMs"] for found in first]),
        **_least_and_median("first_picture_cpu_seconds", [found["cpu_seconds"] for found in first]),
        "first_picture_bytes": int(first[0]["firstPictureBytes"]) + small,
        "openings": OPENINGS,
        "loaded_ms": round(figures["loadedMs"]),
        **_least_and_median("sort_ms", sorts),
        "sorts": len(sorts),
        **{name: round(value, 1) for name, value in held.items()},
    }


def _least_and_median(name: str, values: list[float]) -> dict[str, float]:
    """Of a machine that others use as well, the least is nearest to what it does alone."""
    return {f"{name}_least": round(min(values), 2), f"{name}_median": round(statistics.median(values), 2)}


def _first_picture(browser: Any, address: str, megabits: float, seconds: float) -> tuple[Any, Any, dict[str, float]]:
    """A page with nothing in its cache, the session that slows its line, figures once its first picture is there."""
    view = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]}).new_page()
    line = view.context.new_cdp_session(view)
    if megabits:
        speed = megabits * 1e6 / 8
        line.send("Network.enable")
        conditions = {"offline": False, "latency": 20, "downloadThroughput": speed, "uploadThroughput": speed}
        line.send("Network.emulateNetworkConditions", conditions)
    whole = browser.new_browser_cdp_session()
    before = _processor_seconds(whole)
    view.goto(address)
    found = _after(view, "firstPictureMs", seconds)
    return view, line, found | {"cpu_seconds": _processor_seconds(whole) - before}


def _after(view: Any, name: str, seconds: float) -> dict[str, float]:
    """The page's figures once ``name`` is among them."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        figures = view.evaluate("() => window.scenekit?.statistics()")
        if figures and figures[name] > 0:
            return figures
        view.wait_for_timeout(20)
    raise SystemExit(f"viewer: {name} did not come within {seconds:g} s")


def _processor_seconds(browser: Any) -> float:
    """Of all the browser's processes, since it was started."""
    return sum(process["cpuTime"] for process in browser.send("SystemInfo.getProcessInfo")["processInfo"])


def _sorts(view: Any) -> list[float]:
    """Milliseconds of the worker's sorts for some cameras."""
    turn = """async (i) => {
      const size = [16, 10], pose = [1, 0, 0, 0.1 * i, 0, 1, 0, 0, 0, 0, 1, -2 - 0.01 * i];
      await window.scenekit.photograph({ pose, intrinsics: [15, 15, 8, 5], size });
      return window.scenekit.statistics().sortMs;
    }"""
    return [view.evaluate(turn, index) for index in range(TURNS)]


if __name__ == "__main__":
    main()
