"""``scenekit evaluate RUN``: held-out PSNR and SSIM."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from PIL import Image

from scenekit.assets.atomic import replacing
from scenekit.cli.options import parse, say
from scenekit.core.checks import BadInput
from scenekit.data import Capture, open_capture
from scenekit.recipes import load
from scenekit.renderers.scene import Scene
from scenekit.training.evaluate import Score, over_white, scores


@dataclass(frozen=True)
class Evaluate:
    """What to judge.

    Attributes:
        run: folder that train wrote.
        capture: where the photographs are now, if they have moved.
        split: which photographs: test (held out) or train.
        pictures: write each rendering beside its photograph into RUN/renders.
        json: print one JSON object.
    """

    run: Annotated[Path, tyro.conf.Positional]
    capture: str | None = None
    split: Literal["test", "train"] = "test"
    pictures: bool = False
    json: bool = False


def run(arguments: list[str]) -> None:
    """Render the photographs' cameras and compare."""
    options = parse(Evaluate, "evaluate", arguments, "Held-out PSNR and SSIM of a run.")
    scene = load(options.run)
    result = evaluate(scene, options.run, options.capture, options.split, options.pictures)
    if options.json:
        print(json.dumps(result))
        return
    for image in result["images"]:
        print(f"{image['name']:40} {image['psnr']:6.2f} dB  SSIM {image['ssim']:.4f}")
    print(
        f"{'mean of ' + str(len(result['images'])) + ' views':40} {result['psnr']:6.2f} dB  SSIM {result['ssim']:.4f}"
    )
    say(f"scope: {result['scope']}")


def evaluate(scene: Scene, folder: Path, path: str | None, split: str, pictures: bool) -> dict[str, Any]:
    """Scores of a run on its own capture (or the same one elsewhere), with their scope in words."""
    source = scene.recipe["capture"]
    capture = open_capture(path or source["path"], downscale=source["downscale"])
    chosen = capture.test if split == "test" else capture.train
    if not chosen:
        raise BadInput.of(capture.name, wanted=f"photographs in the {split} split", found="none",
                          remedy="use --split train, or a capture with more photographs")  # fmt: skip
    views = []
    images = [capture.images[i] for i in chosen]
    names = [capture.names[i] for i in chosen]
    for index, score in zip(chosen, scores(scene, capture.cameras[chosen], images, names), strict=True):
        views.append(score)
        if pictures:
            save_beside(folder / "renders" / f"{Path(score.name).stem}.png", score, capture.images[index])
    return {
        "psnr": sum(view.psnr for view in views) / len(views),
        "ssim": sum(view.ssim for view in views) / len(views),
        "images": [{"name": view.name, "psnr": view.psnr, "ssim": view.ssim} for view in views],
        "scope": scope_of(capture, split, len(chosen)),
    }


def scope_of(capture: Capture, split: str, count: int) -> str:
    """What a figure is about: data, size, split, preparation, device."""
    sizes = sorted(set(capture.cameras.sizes))
    size = "x".join(map(str, sizes[0])) if len(sizes) == 1 else f"{len(sizes)} sizes"
    return (
        f"{capture.name}, {count} {split} views at {size}, undistorted and cropped to valid pixels, then area-filtered "
        f"in memory by {capture.downscale:g}; 8-bit sRGB; mean of per-view values; cpu"
    )


def save_beside(file: Path, score: Score, photograph: torch.Tensor) -> None:
    """The rendering on the left, the photograph on the right."""
    both = torch.cat([score.rendered, over_white(photograph)], 1)
    with replacing(file) as temporary, temporary.open("wb") as stream:
        Image.fromarray(both.numpy()).save(stream, format="PNG")
