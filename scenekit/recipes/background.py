"""Which background a training gets: what the user said, or what suits the photographs and the family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from scenekit.core.checks import BadInput
from scenekit.core.protocols import Background
from scenekit.renderers.background import BLACK, WHITE, Color, GivenBackground, LearnedBackground, SphereBackground
from scenekit.representations.sphere import Sphere

NAMED: dict[str, Color] = {"white": WHITE, "black": BLACK}
# Every pixel of every step pays for it, and what is far away is seldom sharp.
FAR_AWAY = Sphere(degree=8, width=64, learning_rate=1e-3)
# By kind: from the colour that evaluation composites on, and the source of random starts.
BACKGROUNDS: dict[str, Callable[[Color, torch.Generator | None], Background]] = {
    "given": lambda color, generator: GivenBackground(color),
    "random": lambda color, generator: GivenBackground(color, random_in_training=True),
    "learned": lambda color, generator: LearnedBackground(),
    "sphere": lambda color, generator: SphereBackground(
        Sphere(degree=8, width=64, learning_rate=1e-3).build(generator)
    ),
}


@dataclass(frozen=True)
class BackgroundChoice:
    """A key of ``BACKGROUNDS`` and the colour that evaluation composites on."""

    kind: str
    color: Color = BLACK

    def build(self, generator: torch.Generator | None = None) -> Background:
        """The background itself; what it learns starts from ``generator``. Raises BadInput for one that is none."""
        numbers = len(self.color) == 3 and all(isinstance(value, int | float) for value in self.color)
        if self.kind not in BACKGROUNDS or not numbers:
            raise BadInput.of("background", wanted=f"a kind among {', '.join(BACKGROUNDS)} and three numbers",
                              found=f"{self.kind!r} and {list(self.color)}", remedy="restore the recipe")  # fmt: skip
        return BACKGROUNDS[self.kind](self.color, generator)


def choose_background(wanted: str, *, has_alpha: bool, behind: Color | None, family_default: str) -> BackgroundChoice:
    """The background for ``--background``; ``auto`` is random in training where images have alpha.

    ``behind`` is the capture's own colour (white for Blender's). Raises BadInput for a word that means nothing.
    """
    color = behind or BLACK
    if wanted == "auto":
        return BackgroundChoice("random" if has_alpha else family_default, color)
    if wanted in BACKGROUNDS:
        return BackgroundChoice(wanted, color)
    return BackgroundChoice("given", NAMED[wanted] if wanted in NAMED else _parsed(wanted))


def _parsed(wanted: str) -> Color:
    try:
        r, g, b = (float(part) for part in wanted.split(","))
    except ValueError:
        r = g = b = -1.0
    if not all(0 <= value <= 1 for value in (r, g, b)):
        choices = ", ".join(["auto", *BACKGROUNDS, *NAMED])
        raise BadInput.of("--background", wanted=f"{choices}, or R,G,B in [0, 1]", found=wanted, remedy="choose one")
    return (r, g, b)
