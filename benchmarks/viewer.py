"""The standalone page at size, in headless Chromium: loading, sorting, memory, and the first picture on a slow line.

    python benchmarks/viewer.py --splats 1000000 --megabits 50

The splats are random numbers, which nothing compresses. Times are the browser's own, from the opening of the page; the
first picture is one that the graphics device has finished. Beside its time stand the bytes that it needed, page and
script included, and the processor time of all the browser's processes until then, which a busy machine changes less.
Without a graphics card Chromium draws with SwiftShader on the CPU. Memory is what the page's scripts hold (JavaScript
heap and array buffers) and what its textures take.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import platform
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

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
SIZE = (160, 100)
FILES = ("index.html", "viewer.js", "viewer.css", "scene.json")  # of a page, beside its chunks
TURNS = 3  # of the camera, to sort for; each is drawn, which takes a CPU seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splats", type=int, default=1_000_000)
    parser.add_argument("--degree", type=int, default=3)
    parser.add_argument("--megabits", type=float, default=0.0, help="of the line, a second; 0 leaves it as it is")
    parser.add_argument("--seconds", type=float, default=900.0, help="to wait for all of it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        size = export_web(random_scene(options.splats, options.degree), Path(folder) / "page")
        written = time.perf_counter() - began
        figures = measured(Path(folder) / "page", options.megabits, options.seconds)
    scope = {"splats": options.splats, "degree": options.degree, "megabits": options.megabits, "bytes": size}
    machine = {"machine": platform.machine(), "canvas": SIZE, "export_seconds": round(written, 1)}
    print(json.dumps(scope | machine | figures, indent=1))


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
    """Open the page and read its own figures."""
    from playwright.sync_api import sync_playwright

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(page)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
            view = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
            line = view.context.new_cdp_session(view)
            if megabits:
                speed = megabits * 1e6 / 8
                line.send("Network.enable")
                line.send(
                    "Network.emulateNetworkConditions",
                    {"offline": False, "latency": 20, "downloadThroughput": speed, "uploadThroughput": speed},
                )
            whole = browser.new_browser_cdp_session()
            before = _processor_seconds(whole)
            view.goto(f"http://127.0.0.1:{server.server_port}/index.html")
            figures = _after(view, "firstPictureMs", seconds)
            at_first = {
                "first_picture_ms": round(figures["firstPictureMs"]),
                "first_picture_bytes": figures["firstPictureBytes"]
                + sum((page / name).stat().st_size for name in FILES),
                "first_picture_cpu_seconds": round(_processor_seconds(whole) - before, 2),
                "splats_then": figures["splats"],
            }
            figures = _after(view, "loadedMs", seconds)
            sorts = sorted(_sorts(view))
            heap = line.send("Runtime.getHeapUsage")
            browser.close()
    finally:
        server.shutdown()
    return at_first | {
        "loaded_ms": round(figures["loadedMs"]),
        "sort_ms_median": round(sorts[len(sorts) // 2], 1),
        "sort_ms_most": round(sorts[-1], 1),
        "heap_megabytes": round(heap["usedSize"] / 1e6, 1),
        "array_buffer_megabytes": round(heap.get("backingStorageSize", 0) / 1e6, 1),
        "worker_megabytes": round(figures["workerBytes"] / 1e6, 1),
        "texture_megabytes": round(figures["textureBytes"] / 1e6, 1),
    }


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
