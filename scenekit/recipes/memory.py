"""What a training will take of memory, said before it begins, and what would make it fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.data import Capture
from scenekit.data.memory import memory_in_reach
from scenekit.data.store import StoredImages, bytes_of
from scenekit.recipes.configs import VolumeFitting
from scenekit.recipes.load import configs_of
from scenekit.recipes.train import Session
from scenekit.representations.gaussians import Gaussians

GIB = 2**30
PROCESS = 0.27 * GIB  # python, torch, and their libraries
CELL_BYTES = 90  # of a cell of the occupancy grid, while it is found out which ones no camera sees
# Of each parameter: itself, its gradient, two moments, its average or a transient of the step, and what a checkpoint
# copies of these while it is written.
COPIES = 8
SAMPLE_FLOATS = 600  # of a volume's sample on its way forward and back: features, two networks, their gradients
PIXEL_FLOATS = 220  # of a pixel of a rendered photograph: colours, loss with its blurred images, gradients
PAIR_BYTES = 64  # of a splat in a tile
PAIRS_A_SPLAT = 8


@dataclass(frozen=True)
class Plan:
    """Predicted bytes by what they are for, and the bytes that may be had."""

    parts: Mapping[str, float]
    available: float

    @property
    def total(self) -> float:
        """All parts together."""
        return sum(self.parts.values())

    def sentence(self) -> str:
        """For the person at the terminal."""
        parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in self.parts.items())
        return f"memory: predicted {self.total / GIB:.1f} GiB of {self.available / GIB:.1f} ({parts})"

    def check(self) -> None:
        """Raise BadInput, with what would make the run fit, where it will not."""
        if self.total <= self.available:
            return
        largest = max(self.parts, key=lambda name: self.parts[name])
        raise BadInput(
            f"memory: wanted a run within {self.available / GIB:.1f} GiB, found a prediction of "
            f"{self.total / GIB:.1f} GiB, {self.parts[largest] / GIB:.1f} of it for {largest}; {REMEDIES[largest]}"
        )


REMEDIES = {
    "photographs": "decode them when they are needed with --cache 1, or shrink them with --downscale 2",
    "masks, depth and normals": "shrink them with the photographs, --downscale 2",
    "parameters": "choose a smaller table or fewer splats (--log2-table, --max-count)",
    "empty space": "tell it apart in coarser cells (--marching.grid 64)",
    "a step": "look at fewer samples or pixels a step (--batch-samples, --downscale 2)",
    "the process": "close other programs",
}


def plan_of(session: Session, limit: float | None = None) -> Plan:
    """Predict the peak of a training that is about to begin; ``limit`` in bytes, None for the memory in reach."""
    capture = session.capture
    representation, family_fitting = configs_of(session.scene.recipe, "recipe")
    parts = {
        "photographs": _photographs(capture, session),
        "masks, depth and normals": _companions(capture),
        "parameters": _parameters(session, representation),
        "empty space": _cells(family_fitting),
        "a step": _step(session, representation, family_fitting),
        "the process": PROCESS,
    }
    return Plan({name: size for name, size in parts.items() if size}, memory_in_reach() if limit is None else limit)


def _photographs(capture: Capture, session: Session) -> float:
    """All of them and, for fields, a second copy in one row; or the cache and a photograph on its way in."""
    images = capture.images
    if isinstance(images, StoredImages):
        return float(images.cache_bytes + 3 * max(images.bytes_of(index) for index in range(len(images))))
    copies = 2 if session.scene.renderer.batching == "pixels" else 1
    return float(copies * bytes_of(images))


def _companions(capture: Capture) -> float:
    kinds: list[tuple[Tensor, ...] | None] = [capture.masks, capture.depths, capture.normals]
    return float(sum(each.numel() * each.element_size() for kind in kinds if kind is not None for each in kind))


def _parameters(session: Session, representation: Any) -> float:
    groups = session.scene.renderer.parameter_groups()
    tensors = [tensor for group in groups for tensor in group.parameters.values()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if session.scene.renderer.batching == "images":  # splats multiply until there are as many as they may be
        count = max((len(tensor) for tensor in tensors), default=1)
        size *= max(1.0, _most_splats(representation) / max(1, count))
    return float(COPIES * size)


def _cells(family_fitting: Any) -> float:
    return float(CELL_BYTES * family_fitting.marching.grid**3) if isinstance(family_fitting, VolumeFitting) else 0.0


def _step(session: Session, representation: Any, family_fitting: Any) -> float:
    if session.scene.renderer.batching == "pixels":
        asked = family_fitting.batch_samples if isinstance(family_fitting, VolumeFitting) else 0
        return float(4 * SAMPLE_FLOATS * asked)
    pixels = max(width * height for width, height in session.capture.cameras.sizes)
    return float(4 * PIXEL_FLOATS * pixels + PAIR_BYTES * PAIRS_A_SPLAT * _most_splats(representation))


def _most_splats(representation: Any) -> int:
    return representation.max_count if isinstance(representation, Gaussians) else 0
