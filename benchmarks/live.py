"""The live view under browsers that move: how soon a pointer's move is a new picture, and whether memory stays flat.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.live [delay|soak ...] [--run RUN] [--minutes 10]

The scene is that of ``--run``, or Gaussians of fox, trained now. Pages are real ones in headless Chromium on this
machine, over loopback; without a graphics card they are drawn on the same CPU as the scene. For a delay the page rests,
then a pointer drags a little: what counts is the time, by the page's own clock, from the drag's event to the arrival of
the next picture, decoded; nothing else is on its way. For a soak all pages are dragged about in turns all the time;
memory is what this process, which serves and renders, has in RAM. Results go to ``benchmarks/results/live.json``.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.record import call, data, keep
from scenekit.live import LiveView
from scenekit.recipes import load
from scenekit.recipes.device import device_name
from scenekit.renderers.splats import SplatRenderer

FLAGS = (
    "--no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --mute-audio --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
)
RESULTS = "live"
TRAINING = ("--preset", "fox-cpu", "--downscale", "8", "--steps", "2500", "--minutes", "600")
MIB = 2**20
WARM_UP = 0.2  # of a soak, before memory counts
# Pictures come from viser's worker, which unpacks them.
NOTES = """
(() => {
  window.arrivals = []; window.moves = [];
  window.addEventListener("pointermove", () => window.moves.push(performance.now()), {capture: true});
  const Plain = window.Worker;
  window.Worker = function (url, options) {
    const worker = new Plain(url, options);
    worker.addEventListener("message", (event) => {
      for (const message of (event.data && event.data.messages) || [])
        if (message.type === "BackgroundImageMessage") window.arrivals.push(performance.now());
    });
    return worker;
  };
  window.Worker.prototype = Plain.prototype;
})();
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], default=[])
    parser.add_argument("--run", type=Path, help="what is shown")
    parser.add_argument("--size", default="640x360", help="of every page's window")
    parser.add_argument("--moves", type=int, default=25, help="whose delay is measured, in one page")
    parser.add_argument("--clients", type=int, default=3, help="of the soak")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or trained(Path(folder) / "run")
        for row in options.rows or ROWS:
            keep(RESULTS, row, measure(row, run, options))


def trained(run: Path) -> Path:
    """Gaussians of fox, as a small machine makes them."""
    call("train", str(data() / "fox"), "-r", "gaussians", *TRAINING, "-o", str(run), "--json")
    return run


def measure(row: str, run: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One row of figures, with what was shown and the load before and after."""
    width, height = (int(part) for part in options.size.split("x"))
    scene = load(run)
    before = os.getloadavg()[0]
    with LiveView([scene]) as live:
        figures = ROWS[row](live.url, (width, height), options)
    name = scene.recipe.get("representation", {}).get("name", "scene")
    capture = Path(str(scene.recipe.get("capture", {}).get("path", run))).name
    count = len(scene.renderer.primitives.means) if isinstance(scene.renderer, SplatRenderer) else None
    shown = f"{capture} as {name}" if count is None else f"{capture} as {count} Gaussians"
    scope = f"{shown}, pages of {width}x{height} in headless Chromium over loopback, {device_name(scene.device)}"
    return figures | {"scope": scope, "load_before": round(before, 1), "load_after": round(os.getloadavg()[0], 1)}


class Browsers:
    """Pages of one headless Chromium, each in a context of its own, and what they report as errors."""

    def __init__(self, url: str, size: tuple[int, int], count: int) -> None:
        from playwright.sync_api import sync_playwright

        self._size = size
        self.errors: list[str] = []
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
        self.pages = [self._open(url) for _ in range(count)]

    def __enter__(self) -> Browsers:
        return self

    def __exit__(self, *_: object) -> None:
        self._chromium.close()
        self._playwright.stop()

    def _open(self, url: str) -> Any:
        width, height = self._size
        page = self._chromium.new_context(viewport={"width": width, "height": height}).new_page()
        page.add_init_script(NOTES)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        page.goto(url)
        page.locator("input[value*='finished']").first.wait_for(timeout=180_000)
        return page

    def troubles(self) -> int:
        """How many pages show that something went wrong."""
        return sum(page.locator("textarea:not([aria-hidden])").count() for page in self.pages)


def delays(url: str, size: tuple[int, int], options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds from a pointer's move to the next picture in the page."""
    with Browsers(url, size, 1) as browsers:
        (page,) = browsers.pages
        found = []
        x, y = size[0] * 0.2, size[1] * 0.7
        page.mouse.move(x, y)
        page.mouse.down()
        for move in range(options.moves + 1):
            _rest(page)
            page.evaluate("() => { window.moves.length = 0; window.arrivals.length = 0; }")
            page.mouse.move(x + (6 if move % 2 == 0 else 0), y)
            while not page.evaluate("() => window.arrivals.length"):
                page.wait_for_timeout(5)
            found.append(page.evaluate("() => window.arrivals[0] - window.moves[0]"))
        page.mouse.up()
        found = sorted(found[1:])  # the first one finds caches cold
        return {
            "moves": len(found),
            "median_ms": round(statistics.median(found), 1),
            "p90_ms": round(found[math.ceil(0.9 * len(found)) - 1], 1),
            "least_ms": round(found[0], 1),
            "most_ms": round(found[-1], 1),
            "errors": browsers.errors,
            "troubles": browsers.troubles(),
        }


def _rest(page: Any) -> None:
    """Until nothing has come for three quarters of a second."""
    while page.evaluate("() => performance.now() - (window.arrivals.at(-1) ?? window.moves.at(-1) ?? 0)") < 750:
        page.wait_for_timeout(50)
    page.wait_for_timeout(100)


def soak(url: str, size: tuple[int, int], options: argparse.Namespace) -> dict[str, Any]:
    """Drag all pages about for so long."""
    clients, seconds = options.clients, 60 * options.minutes
    memory: list[tuple[float, float]] = []
    with Browsers(url, size, clients) as browsers:
        for page in browsers.pages:
            page.mouse.move(size[0] * 0.3, size[1] * 0.6)
            page.mouse.down()
        began = time.monotonic()
        turn = 0
        while (now := time.monotonic() - began) < seconds:
            for index, page in enumerate(browsers.pages):
                angle = 0.2 * turn + index
                page.mouse.move(size[0] * (0.3 + 0.15 * math.cos(angle)), size[1] * (0.6 + 0.15 * math.sin(angle)))
            if not memory or now - memory[-1][0] > 1:
                memory.append((now, _resident() / MIB))
            browsers.pages[0].wait_for_timeout(30)
            turn += 1
        pictures = [page.evaluate("() => window.arrivals.length") for page in browsers.pages]
        return {
            "clients": clients,
            "minutes": round(seconds / 60, 2),
            "pictures": pictures,
            "pictures_a_second": round(sum(pictures) / seconds, 2),
            "errors": browsers.errors,
            "troubles": browsers.troubles(),
        } | _growth(memory, seconds)


def _growth(memory: list[tuple[float, float]], seconds: float) -> dict[str, Any]:
    """Memory after the warm-up, and at the end, and the slope of the line through it."""
    settled = [(at, used) for at, used in memory if at >= WARM_UP * seconds]
    slope = statistics.linear_regression(*zip(*settled, strict=True)).slope if len(settled) > 1 else 0.0
    tenth = max(1, len(settled) // 10)
    return {
        "mib_settled": round(statistics.mean(used for _, used in settled[:tenth]), 1),
        "mib_at_end": round(statistics.mean(used for _, used in settled[-tenth:]), 1),
        "mib_most": round(max(used for _, used in memory), 1),
        "mib_a_minute": round(60 * slope, 3),
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


ROWS: dict[str, Callable[[str, tuple[int, int], argparse.Namespace], dict[str, Any]]] = {"delay": delays, "soak": soak}


if __name__ == "__main__":
    main()
