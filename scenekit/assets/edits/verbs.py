"""The verbs of editing and how they are written: ``--crop box:...  --prune floaters  --budget 500k``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from scenekit.assets.edits.budget import within_budget
from scenekit.assets.edits.edit import Edit, Subject, other_kind
from scenekit.assets.edits.floaters import floating
from scenekit.assets.splats.files import read_splats
from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity
from scenekit.representations.gaussian_cloud import MAX_DEGREE, joined

UNITS = {"k": 1_000, "m": 1_000_000}


def crop(text: str) -> Edit:
    """``box:x0,y0,z0,x1,y1,z1`` or ``sphere:x,y,z,radius``: centres inside stay."""
    shape, _, rest = text.partition(":")
    if shape == "box":
        values = _numbers("--crop box", rest, 6)
        low, high = (torch.tensor(ends, dtype=torch.float64) for ends in (values[:3], values[3:]))
        if bool((low >= high).any()):
            raise _refusal("--crop box", "the lower corner first", text)
        inside = _keeping(f"--crop {text}", lambda s: ((s.cloud.means >= low) & (s.cloud.means <= high)).all(-1))
        return replace(inside, box=(low, high))
    if shape == "sphere":
        *centre, radius = _numbers("--crop sphere", rest, 4)
        middle = torch.tensor(centre, dtype=torch.float64)
        return _keeping(f"--crop {text}", lambda s: (s.cloud.means.double() - middle).norm(dim=-1) <= radius)
    raise _refusal("--crop", "box:X0,Y0,Z0,X1,Y1,Z1 or sphere:X,Y,Z,RADIUS", text)


def translate(text: str) -> Edit:
    """``x,y,z``: a shift in ``world`` units."""
    shift = torch.tensor(_numbers("--translate", text, 3), dtype=torch.float64)
    move = replace(Similarity.identity(), translation=shift)
    return Edit(f"--translate {text}", lambda s: s.moved(move))


def rotate(text: str) -> Edit:
    """``axis,degrees``: a turn about an axis of ``world`` through its origin, by the right hand."""
    axis, _, angle = text.partition(",")
    if axis not in ("x", "y", "z"):
        raise _refusal("--rotate", "AXIS,DEGREES such as z,90", text)
    (degrees,) = _numbers("--rotate", angle, 1)
    quarters = degrees / 90
    exact = quarters == round(quarters)  # quarter turns have no rounding
    cosine, sine = (
        ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[round(quarters) % 4]
        if exact
        else (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    )
    first, second = ("xyz".index(axis) + 1) % 3, ("xyz".index(axis) + 2) % 3
    turn = torch.eye(3, dtype=torch.float64)
    turn[first, first] = turn[second, second] = cosine
    turn[second, first], turn[first, second] = sine, -sine
    move = Similarity.of(rotation=turn)
    return Edit(f"--rotate {text}", lambda s: s.moved(move))


def resize(text: str) -> Edit:
    """``factor``: everything grows about the origin."""
    (factor,) = _numbers("--resize", text, 1)
    if factor <= 0:
        raise _refusal("--resize", "a positive number", text)
    return Edit(f"--resize {text}", lambda s: s.moved(Similarity.of(factor)))


def prune(text: str) -> Edit:
    """``opacity:least``, ``size:most`` (largest standard deviation, in ``world`` units) or ``floaters``."""
    kind, _, rest = text.partition(":")
    if kind == "floaters" and not rest:
        return replace(_keeping("--prune floaters", lambda s: ~floating(s.cloud)), row_wise=False)
    if kind == "opacity":
        (least,) = _numbers("--prune opacity", rest, 1)
        return _keeping(f"--prune {text}", lambda s: s.cloud.opacity_logits.double().sigmoid() >= least)
    if kind == "size":
        (most,) = _numbers("--prune size", rest, 1)
        return _keeping(f"--prune {text}", lambda s: s.cloud.log_scales.amax(-1).double().exp() <= most)
    raise _refusal("--prune", "opacity:LEAST, size:MOST or floaters", text)


def merge(text: str) -> Edit:
    """Another splat file, added as it stands in its own world."""

    def added(subject: Subject) -> Subject:
        other = read_splats(Path(text)).cloud
        try:
            return subject.with_cloud(joined([subject.cloud, other]))
        except ValueError:
            raise other_kind(text) from None

    return Edit(f"--merge {text}", added, row_wise=False, added=Path(text))


def budget(text: str) -> Edit:
    """A count, such as ``500000``, ``500k`` or ``1.5m``: what adds least to pictures goes."""
    unit = UNITS.get(text[-1:].lower(), 1)
    (number,) = _numbers("--budget", text[:-1] if unit > 1 else text, 1)
    count = round(number * unit)
    if count < 1:
        raise _refusal("--budget", "at least one Gaussian", text)
    return Edit(f"--budget {text}", lambda s: within_budget(s, count), row_wise=False)


def degree(text: str) -> Edit:
    """Of the spherical harmonics, 0 to 4: higher ones are left out."""
    if text not in [str(number) for number in range(MAX_DEGREE + 1)]:
        raise _refusal("--degree", f"0 to {MAX_DEGREE}", text)
    wanted = int(text)
    return Edit(
        f"--degree {text}", lambda s: s.with_cloud(s.cloud.of_degree(min(s.cloud.degree, wanted))), degree=wanted
    )


VERBS: dict[str, Callable[[str], Edit]] = {
    "--crop": crop,
    "--translate": translate,
    "--rotate": rotate,
    "--resize": resize,
    "--prune": prune,
    "--merge": merge,
    "--budget": budget,
    "--degree": degree,
}


def read_edits(arguments: Sequence[str]) -> tuple[list[Edit], list[str]]:
    """Edits in the order given, and the other arguments; raises BadInput for one that means nothing."""
    edits: list[Edit] = []
    rest: list[str] = []
    pending = iter(arguments)
    for argument in pending:
        verb, equals, inline = argument.partition("=")
        if verb not in VERBS:
            rest.append(argument)
            continue
        value = inline if equals else next(pending, None)  # whatever it begins with: a number may be negative
        if value is None:
            raise BadInput(f"{verb}: wanted a value, found none; give one")
        edits.append(VERBS[verb](value))
    return edits, rest


def _keeping(text: str, kept: Callable[[Subject], torch.Tensor]) -> Edit:
    return Edit(text, lambda s: s.with_cloud(s.cloud[kept(s)]))


def _numbers(flag: str, text: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise _refusal(flag, f"{count} numbers with commas between" if count > 1 else "a number", text)
    return values


def _refusal(flag: str, wanted: str, found: str) -> BadInput:
    return BadInput.of(flag, wanted=wanted, found=f"'{found}'", remedy="correct it")
