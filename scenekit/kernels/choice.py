"""What ``SCENEKIT_KERNELS`` asks for: names of libraries whose kernels are preferred to ours, and ``reference``."""

from __future__ import annotations

import os

VARIABLE = "SCENEKIT_KERNELS"
REFERENCE = "reference"


def asked() -> tuple[str, ...]:
    """The names, the preferred first; empty where ours are to serve."""
    return tuple(name for part in os.environ.get(VARIABLE, "").split(",") if (name := part.strip().lower()))


def ours_serve() -> bool:
    """Whether our own kernels and loops are wanted, rather than the plain torch references."""
    return REFERENCE not in asked()
