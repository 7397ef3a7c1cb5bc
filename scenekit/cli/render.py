"""``scenekit render RUN --path orbit -o OUT.mp4``: a film, a folder of pictures along a camera path, or one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import track

from scenekit.assets.picture import SUFFIXES, check_picture, write_picture
from scenekit.assets.video import Frame, check_target, write_frames
from scenekit.cli.options import parse, say
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.recipes import load
from scenekit.recipes.device import AUTO, device_of
from scenekit.renderers.flat import Pictured
from scenekit.renderers.paths import camera_path
from scenekit.renderers.scene import Scene
from scenekit.training.evaluate import to_bytes

USUAL_SIZE = (640, 360)


@dataclass(frozen=True)
class Render:
    """What to film.

    Attributes:
        run: folder that train or fit wrote, or a splat file.
        output: OUT.mp4, a folder for PNG pictures, or OUT.png for one: what an image or a panorama was fitted to
            (a panorama of linear light also as OUT.hdr), or the first view of the path.
        path: orbit, spiral, or a JSON file of poses.
        frames: how many; those of the file where a file gives the poses, else 120.
        size: WIDTHxHEIGHT in pixels; 640x360, or the size of the picture that was fitted, where not given.
        rate: frames a second.
        device: where it is rendered: auto, cpu, cuda or cuda:NUMBER.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE")]
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    path: str = "orbit"
    frames: int | None = None
    size: str | None = None
    rate: float = 30.0
    device: str = AUTO


def run(arguments: list[str]) -> None:
    """Render every camera of the path and write as they come."""
    options = parse(Render, "render", arguments, "A film or pictures along a camera path, or one picture.")
    single = options.output.suffix.lower() in SUFFIXES
    if not single:
        check_target(options.output)
    scene = load(options.run).to(device_of(options.device))
    if single:
        _still(scene, options)
        return
    size = USUAL_SIZE if options.size is None else _size(options.size)
    cameras = camera_path(options.path, scene.cameras, count=options.frames, size=size)
    count = write_frames(options.output, _pictures(scene, cameras), rate=options.rate)
    say(f"wrote {count} frames of {size[0]}x{size[1]} to {options.output}")


def _still(scene: Scene, options: Render) -> None:
    """One picture: the scene's own where it is one, else its first view."""
    renderer = scene.renderer
    own = isinstance(renderer, Pictured)
    linear = own and renderer.linear
    check_picture(options.output, linear=linear)
    usual = renderer.size if own else USUAL_SIZE
    size = usual if options.size is None else _size(options.size)
    if own:
        bands = (band.cpu() for band in renderer.bands(size))
    else:
        camera = camera_path(options.path, scene.cameras, count=options.frames, size=size)[0]
        bands = iter([scene.render(camera).color[0].cpu()])
    write_picture(options.output, bands, size, linear=linear)
    say(f"wrote a picture of {size[0]}x{size[1]} to {options.output}")


def _pictures(scene: Scene, cameras: Cameras) -> Iterator[Frame]:
    for index in track(range(len(cameras)), "rendering", console=Console(stderr=True)):
        yield to_bytes(scene.render(cameras[index]).color[0])


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        width = height = 0
    if not (0 < width <= 16384 and 0 < height <= 16384):
        raise BadInput.of("--size", wanted="WIDTHxHEIGHT in pixels, such as 640x360", found=text, remedy="correct it")
    return width, height
