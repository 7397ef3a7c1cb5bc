"""Which background a training gets: what the user said, or what suits the photographs and the family."""

from __future__ import annotations

from dataclasses import dataclass

from scenekit.core.checks import BadInput
from scenekit.core.protocols import Background
from scenekit.renderers.background import BACKGROUNDS, BLACK, WHITE, Color

NAMED: dict[str, Color] = {"white": WHITE, "black": BLACK}


@dataclass(frozen=True)
class BackgroundChoice:
    """A key of ``BACKGROUNDS`` and the colour that evaluation composites on."""

    kind: str
    color: Color = BLACK

    def build(self) -> Background:
        """The background itself."""
        return BACKGROUNDS[self.kind](self.color)


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
