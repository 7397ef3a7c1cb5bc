"""From photographs or a video to a capture with poses: every stage of it, and what is said about the outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from scenekit.assets.atomic import replacing
from scenekit.assets.lock import LOCK, holding
from scenekit.core.checks import BadInput
from scenekit.core.transforms import invert_rigid
from scenekit.data import READERS
from scenekit.data.decode import find_photographs
from scenekit.data.jsonfile import read_json_object
from scenekit.data.registration import frames
from scenekit.data.registration.mapping import reasons
from scenekit.data.registration.masks import prepare_masks
from scenekit.data.registration.photographs import Prepared, prepare
from scenekit.data.registration.search import Outcome, Place, search
from scenekit.data.registration.settings import REPORT, Settings
from scenekit.data.registration.upright import Distance, Frame, upright

if TYPE_CHECKING:
    import pycolmap

Report = Callable[[str, int, int], None]
WORK = "work"
BEGUN = "request.json"
MODEL = Path("sparse", "0")
FEWEST = 2
SMALLEST_SHARE = 0.5  # of the photographs: a model that explains fewer is only kept when asked to


@dataclass(frozen=True)
class Inputs:
    """What is made into a capture.

    Attributes:
        source: a folder of photographs, or a video.
        frames: how many to take at most of a video.
        masks: folder of images named like the photographs, black where features count for nothing.
        distance: measured between the places of two photographs.
        partial: keep the largest group even where it holds less than half of the photographs, or another as many.
    """

    source: Path
    frames: int = 150
    masks: Path | None = None
    distance: Distance | None = None
    partial: bool = False


def lacks_poses(path: Path) -> bool:
    """Whether it is a video, or a folder of photographs that no reader of captures recognises."""
    if not path.is_dir():
        return is_video(path)
    return not any(reader.sniff(path) for reader in READERS.values()) and bool(find_photographs(path))


def capture_folder(source: Path, within: Path) -> Path:
    """Where the capture made of ``source`` goes in the folder ``within``: its own earlier one, or a free name."""
    number = 1
    while True:
        folder = within / f"{source.resolve().stem}-capture{f'-{number}' if number > 1 else ''}"
        if not folder.exists():
            return folder
        if begun_of(folder) == str(source.resolve()):
            return folder
        number += 1


def begun_of(folder: Path) -> str | None:
    """What a capture in ``folder`` was begun to be made of; None where none was."""
    file = folder / WORK / BEGUN
    return read_json_object(file).get("source") if file.is_file() else None


def is_video(path: Path) -> bool:
    """Judged by the name."""
    return path.is_file() and path.suffix.lower() in frames.EXTENSIONS


def process(inputs: Inputs, output: Path, settings: Settings, report: Report) -> dict[str, Any]:
    """Make the capture ``output`` and return its figures, which ``process.json`` in it keeps.

    Work that an earlier, killed process left in ``output`` is taken over; a finished capture of the same
    photographs and settings is returned as it is. ``report(stage, done, total)`` follows the progress.

    Raises BadInput for sources that cannot serve, where another process works in ``output``, and where no
    photograph or only a minor group finds its place; what was done until then stays in ``output``.
    """
    wanted = _request(inputs, settings)
    done = _finished(output, wanted)
    if done is None or (output / LOCK).exists():  # of a process that is at it, or was killed at its very end
        with holding(output):
            done = _finished(output, wanted) or _made(inputs, output, settings, wanted, report)
    return done


def _made(inputs: Inputs, output: Path, settings: Settings, wanted: dict[str, Any], report: Report) -> dict[str, Any]:
    _check_place(output)
    started = time.perf_counter(), time.process_time()
    listed = _listed(inputs.source)
    with replacing(output / WORK / BEGUN) as temporary:
        temporary.write_text(json.dumps(wanted["request"]))
    files = _frames(inputs, output, report) if listed is None else listed
    photographs, unreadable = _photographs(inputs.source, files, output, report)
    names = [photograph.name for photograph in photographs]
    masks = None if inputs.masks is None else prepare_masks(inputs.masks, photographs, output / WORK / "masks")
    place = Place(output / "images", output / WORK, masks)
    outcome = search(photographs, place, settings, in_time=is_video(inputs.source), report=report)
    why = unreadable | reasons(names, outcome.found, outcome.models)
    _check(inputs, output, outcome, names, why)
    model = outcome.models[0]
    frame = _upright(model, photographs, inputs.distance)
    figures = {
        **wanted,
        "capture": str(output),
        "images": len(names) + len(unreadable),
        "registered": outcome.placed,
        "points": len(model.points3D),
        "reprojection_pixels": round(float(model.compute_mean_reprojection_error()), 3),
        "groups": [each.num_reg_images() for each in outcome.models],
        "tries": outcome.tries,
        "settings_that_served": outcome.how.label,
        "up_from": frame.up_from,
        "scale_from": frame.scale_from,
        "unregistered": why,
        "notes": _notes(photographs),
        "seconds": round(time.perf_counter() - started[0], 1),
        "cpu_seconds": round(time.process_time() - started[1], 1),
    }
    _write(output, model, figures)
    return figures


def _request(inputs: Inputs, settings: Settings) -> dict[str, Any]:
    """What was asked for, in plain values: the same request need not be served twice."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(inputs).items()}
    plain["source"] = str(inputs.source.resolve())
    return {"request": plain | asdict(settings)}


def _finished(output: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    if (output / REPORT).is_file() and (output / MODEL).is_dir():
        figures = read_json_object(output / REPORT)
        if figures.get("request") == wanted["request"]:
            return figures
        raise BadInput.of(
            output,
            wanted="a new folder, or one that this request was begun in",
            found="a capture made of other photographs or with other settings",
            remedy="choose another place with -o",
        )
    return None


def _check_place(output: Path) -> None:
    """Refuse a folder that holds what is not ours."""
    ours = {"images", WORK, LOCK}
    if (output / WORK / BEGUN).is_file():
        ours.add(MODEL.parts[0])  # of a process that was killed before its report was written
    foreign = [file.name for file in output.iterdir() if file.name not in ours]
    if foreign:
        raise BadInput.of(
            output,
            wanted="a new folder, or one with unfinished work of `scenekit process`",
            found=f"other files in it ({foreign[0]})",
            remedy="choose another place with -o",
        )


def _listed(source: Path) -> list[Path] | None:
    """The photographs of a folder, None of a video; refuses, before anything is written, what is no source."""
    if not source.exists():
        raise BadInput.of(source, wanted="a folder of photographs or a video", found="nothing", remedy="check the path")
    if source.is_dir():
        return _at_least_two(source, find_photographs(source))
    if is_video(source):
        return None
    raise BadInput.of(
        source,
        wanted="a folder of photographs or a video",
        found=f"a file that is neither ({source.suffix or 'no extension'})",
        remedy=f"a video's name ends in one of {', '.join(frames.EXTENSIONS)}",
    )


def _at_least_two(source: Path, files: list[Path]) -> list[Path]:
    if len(files) < FEWEST:
        raise BadInput.of(
            source,
            wanted="at least two photographs from different places",
            found=f"{len(files)}",
            remedy="point at the folder that holds them, or add photographs",
        )
    return files


def _photographs(
    source: Path, files: list[Path], output: Path, report: Report
) -> tuple[list[Prepared], dict[str, str]]:
    prepared, unreadable = prepare(files, output / "images", lambda a, b: report("preparing photographs", a, b))
    if len(prepared) < FEWEST:
        name, why = next(iter(unreadable.items()))
        raise BadInput.of(
            source,
            wanted="at least two photographs that can be read",
            found=f"{len(prepared)} ({name}: {why})",
            remedy="copy the files again",
        )
    return prepared, unreadable


def _frames(inputs: Inputs, output: Path, report: Report) -> list[Path]:
    """The chosen frames as files; the choice is kept, so that a killed process does not judge again."""
    status = inputs.source.stat()
    record = output / WORK / "frames.json"
    key = {"size": status.st_size, "time": status.st_mtime_ns, "frames": inputs.frames}
    kept = read_json_object(record) if record.is_file() else {}
    chosen = kept.get("chosen") if kept.get("key") == key else None
    if chosen is None:
        chosen = frames.choose_frames(inputs.source, inputs.frames, lambda a, b: report("judging sharpness", a, b))
        with replacing(record) as temporary:
            temporary.write_text(json.dumps({"key": key, "chosen": chosen}))
    folder = output / "images"
    names = frames.keep_frames(inputs.source, chosen, folder, output / WORK, lambda a, b: report("taking frames", a, b))
    return _at_least_two(inputs.source, [folder / name for name in names])


def _check(inputs: Inputs, output: Path, outcome: Outcome, names: Sequence[str], why: dict[str, str]) -> None:
    """Refuse what is no capture: no model, one of less than half of the photographs, or one no larger than another."""
    if not outcome.models:
        name = min(why, key=lambda each: why[each].startswith("only"))
        raise BadInput.of(
            inputs.source,
            wanted="photographs that overlap, taken from different places",
            found=f"none of {len(names)} that finds its place after {outcome.tries} tries ({name}: {why[name]})",
            remedy=f"add photographs in between and run it again; the work so far is kept in {output}",
        )
    share = outcome.placed / len(names)
    tied = len(outcome.models) > 1 and outcome.models[1].num_reg_images() == outcome.placed
    if (share < SMALLEST_SHARE or tied) and not inputs.partial:
        groups = " and ".join(str(model.num_reg_images()) for model in outcome.models[:3])
        several = len(outcome.models) > 1
        raise BadInput.of(
            inputs.source,
            wanted="photographs that hang together",
            found=f"{'separate groups' if several else 'a group'} of {groups} among {len(names)}",
            remedy="add photographs that join them, or run it again with --partial to keep the largest; "
            f"the work so far is kept in {output}",
        )


def _upright(model: pycolmap.Reconstruction, photographs: Sequence[Prepared], distance: Distance | None) -> Frame:
    """Move the model into an upright ``world``."""
    from scenekit.data.colmap_library import pycolmap

    poses = {image.name: _pose(image) for image in model.images.values() if image.has_pose}
    positions = np.array([point.xyz for point in model.points3D.values()]).reshape(-1, 3)
    gravity = {p.name: p.exif.gravity for p in photographs if p.exif.gravity is not None}
    frame = upright(poses, torch.from_numpy(positions), gravity, distance)
    moved = frame.world_from_model
    matrix = torch.cat([moved.scale * moved.rotation, moved.translation[:, None]], 1)
    model.transform(pycolmap.Sim3d(matrix.numpy()))
    return frame


def _pose(image: pycolmap.Image) -> Tensor:
    cam_from_world = image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world
    return invert_rigid(torch.from_numpy(np.array(cam_from_world.matrix())))


def _notes(photographs: Sequence[Prepared]) -> list[str]:
    damaged = [photograph.name for photograph in photographs if photograph.exif.damaged]
    if not damaged:
        return []
    more = len(damaged) - 1
    others = f" and {more} other{'s' if more > 1 else ''}" if more else ""
    return [f"{damaged[0]}{others}: EXIF cannot be read, so the focal length and orientation are guessed"]


def _write(output: Path, model: pycolmap.Reconstruction, figures: dict[str, Any]) -> None:
    with replacing(output / MODEL) as temporary:
        temporary.mkdir()
        model.write_binary(str(temporary))
    with replacing(output / REPORT) as temporary:
        temporary.write_text(json.dumps(figures, indent=1))
