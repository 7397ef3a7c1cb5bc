"""What is wrong with a conversion before any time is spent on it."""

from __future__ import annotations

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Renderer
from scenekit.distill.surfaces import surface_points

LOOKS = 6  # of the cameras
CELLS = 16  # a side of the scene, in which what is there is counted
NUMBERS = 4  # that each of them needs at least: a density and a colour
MANY = 4096


def occupied_cells(teacher: Renderer, cameras: Cameras, bounds: Bounds, where: str) -> int:
    """How many of 16^3 cells of the scene the teacher shows something in.

    Raises BadInput where there is no camera to look from, or nothing to be seen.
    """
    if len(cameras) == 0:
        raise BadInput.of(where, wanted="a run with the cameras of its photographs", found="none",
                          remedy="convert a run that scenekit train wrote")  # fmt: skip
    spread = cameras[list(range(0, len(cameras), max(1, len(cameras) // LOOKS)))]
    generator = torch.Generator(cameras.intrinsics.device).manual_seed(0)
    points = surface_points(teacher, spread, MANY, generator)
    if len(points) == 0:
        raise BadInput.of(where, wanted="a scene with something in it", found=f"nothing from {len(spread)} cameras",
                          remedy="train it for longer before converting it")  # fmt: skip
    cells = (bounds.normalize(points.positions).clamp(0, 1 - 1e-6) * CELLS).long()
    return len(cells.unique(dim=0))


def require_capacity(student: Renderer, cells: int, name: str) -> None:
    """Raises BadInput for a student that has fewer numbers than the scene has parts."""
    numbers = sum(p.numel() for group in student.parameter_groups() for p in group.parameters.values())
    if numbers < NUMBERS * cells:
        raise BadInput.of(f"--to {name}", wanted=f"at least {NUMBERS * cells} learnt numbers for this scene",
                          found=f"{numbers}", remedy="choose larger sizes for it")  # fmt: skip
