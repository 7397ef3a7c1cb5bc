"""``scenekit evaluate RUN``: held-out PSNR and SSIM; of a fitted signal, how near it comes to its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from PIL import Image

from scenekit.assets.atomic import replacing
from scenekit.assets.run import inside
from scenekit.cli.options import parse, say
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.data import Capture, open_recorded
from scenekit.recipes import load
from scenekit.recipes.device import AUTO, device_name, device_of
from scenekit.recipes.fit import judge, signal_of
from scenekit.renderers.scene import Scene
from scenekit.training.evaluate import Score, over_white, scores
from scenekit.training.held_out import fitted_pose, following, right_half

RENDERS = "renders"


@dataclass(frozen=True)
class Evaluate:
    """What to judge.

    Attributes:
        run: folder that train wrote.
        capture: where the photographs, or the signal's file, are now, if they have moved.
        split: which photographs: test (held out) or train.
        fit_poses: move held-out cameras with the learnt ones, then optimise each pose with the scene frozen.
        fit_exposure: fit the exposure on the left half of each photograph and judge the right half alone.
        pictures: write each rendering beside its photograph into RUN/renders.
        device: where it is rendered: auto, cpu, cuda or cuda:NUMBER.
        json: print one JSON object.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    capture: str | None = None
    split: Literal["test", "train"] = "test"
    fit_poses: bool = False
    fit_exposure: bool = False
    pictures: bool = False
    device: str = AUTO
    json: bool = False


def run(arguments: list[str]) -> None:
    """Render the photographs' cameras and compare."""
    options = parse(Evaluate, "evaluate", arguments, "Held-out PSNR and SSIM of a run.")
    scene = load(options.run).to(device_of(options.device))
    if "signal" in scene.recipe:
        _report_signal(judge(scene, signal_of(scene, options.capture)), as_json=options.json)
        return
    result = evaluate(scene, options)
    if options.json:
        print(json.dumps(result))
        return
    for image in result["images"]:
        print(f"{image['name']:40} {image['psnr']:6.2f} dB  SSIM {image['ssim']:.4f}")
    print(
        f"{'mean of ' + str(len(result['images'])) + ' views':40} {result['psnr']:6.2f} dB  SSIM {result['ssim']:.4f}"
    )
    if "uncorrected" in result:
        print(f"{'uncorrected':40} {result['uncorrected']['psnr']:6.2f} dB  SSIM {result['uncorrected']['ssim']:.4f}")
    say(f"scope: {result['scope']}")
    if options.pictures:
        say(f"pictures, rendered on the left and photographed on the right: {options.run / RENDERS}")


def _report_signal(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:10} {value:.6g}" if isinstance(value, float) else f"{name:10} {value}")


def evaluate(scene: Scene, options: Evaluate) -> dict[str, Any]:
    """Scores of a run on its own capture (or the same one elsewhere), with their scope in words."""
    capture = open_recorded(scene.recipe["capture"], options.capture)
    chosen = capture.test if options.split == "test" else capture.train
    if not chosen:
        raise BadInput.of(capture.name, wanted=f"photographs in the {options.split} split", found="none",
                          remedy="use --split train, or a capture with more photographs")  # fmt: skip
    plain = _scored(scene, capture, chosen, capture.cameras[chosen], exposure=options.fit_exposure, fit=False)
    views = plain
    if options.fit_poses or options.fit_exposure:
        cameras = _posed(scene, capture, chosen) if options.fit_poses else capture.cameras[chosen]
        views = _scored(scene, capture, chosen, cameras, exposure=options.fit_exposure, fit=True)
    if options.pictures:
        for index, view in zip(chosen, views, strict=True):
            save_beside(inside(options.run, RENDERS) / f"{Path(view.name).stem}.png", view, capture.images[index])
    result: dict[str, Any] = _means(views)
    if views is not plain:
        result["uncorrected"] = _means(plain)
    result["images"] = [{"name": view.name, "psnr": view.psnr, "ssim": view.ssim} for view in views]
    result["scope"] = scope_of(capture, options.split, len(chosen), device_name(scene.device)) + _fitted(options)
    return result


def _scored(
    scene: Scene, capture: Capture, chosen: Sequence[int], cameras: Cameras, *, exposure: bool, fit: bool
) -> list[Score]:
    images = [capture.images[i] for i in chosen]
    views = list(scores(scene, cameras, images, [capture.names[i] for i in chosen]))
    if not exposure:
        return views
    return [right_half(view, over_white(image), fit=fit) for view, image in zip(views, images, strict=True)]


def _posed(scene: Scene, capture: Capture, chosen: Sequence[int]) -> Cameras:
    learnt = list(capture.train)
    start = following(capture.cameras[list(chosen)], capture.cameras[learnt], scene.cameras[learnt])
    poses = [fitted_pose(scene, start[i], capture.images[index]) for i, index in enumerate(chosen)]
    return replace(start, world_from_camera=torch.cat([camera.world_from_camera for camera in poses]))


def _means(views: Sequence[Score]) -> dict[str, float]:
    count = len(views)
    return {"psnr": sum(view.psnr for view in views) / count, "ssim": sum(view.ssim for view in views) / count}


def _fitted(options: Evaluate) -> str:
    poses = "; each pose optimised with the scene frozen" if options.fit_poses else ""
    return poses + ("; exposure fitted on the left half, judged on the right" if options.fit_exposure else "")


def scope_of(capture: Capture, split: str, count: int, device: str) -> str:
    """What a figure is about: data, size, split, preparation, device."""
    sizes = sorted(set(capture.cameras.sizes))
    size = "x".join(map(str, sizes[0])) if len(sizes) == 1 else f"{len(sizes)} sizes"
    pinholes = capture.cameras.are_pinholes
    prepared = "undistorted and cropped to valid pixels" if pinholes else "through their lenses"
    return (
        f"{capture.name}, {count} {split} views at {size}, {prepared}, then area-filtered "
        f"in memory by {capture.downscale:g}; 8-bit sRGB; mean of per-view values; {device}"
    )


def save_beside(file: Path, score: Score, photograph: torch.Tensor) -> None:
    """The rendering on the left, the photograph on the right."""
    both = torch.cat([score.rendered, over_white(photograph)], 1)
    with replacing(file) as temporary, temporary.open("wb") as stream:
        Image.fromarray(both.numpy()).save(stream, format="PNG")
