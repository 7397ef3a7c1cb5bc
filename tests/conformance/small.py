"""Every representation small enough that two cores train it in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenekit.data import Capture
from scenekit.recipes import Fitting, Session, prepare
from scenekit.recipes.configs import from_plain
from scenekit.recipes.families import FAMILIES
from scenekit.representations import REPRESENTATIONS

SMALL = {
    "hash_grid": {"levels": 4, "log2_table": 12, "finest": 128, "networks": {"width": 16, "color_layers": 1}},
    "simplex_grid": {"levels": 4, "log2_table": 12, "finest": 128, "networks": {"width": 16, "color_layers": 1}},
    "rbf": {
        "levels": 4,
        "log2_table": 12,
        "finest": 128,
        "networks": {"width": 16, "density_layers": 0, "color_layers": 1},
    },
    "triplane": {
        "levels": 3,
        "features": 8,
        "coarsest": 16,
        "finest": 64,
        "combination": "product",
        "smoothness": 1e-3,
        "networks": {"width": 16, "color_layers": 1},
    },
    "low_rank": {
        "density_rank": 4,
        "color_rank": 8,
        "coarsest": 16,
        "finest": 64,
        "grow_at": [0.1, 0.2, 0.3],
        "smoothness": 1e-3,
        "network": {"width": 16, "color_layers": 1},
    },
    "dense_grid": {"coarsest": 16, "resolution": 32},
    "mlp": {
        "width": 32,
        "layers": 2,
        "skip": 1,
        "finest": 16,
        "learning_rate": 1e-2,
        "networks": {"width": 16, "color_layers": 1},
    },
    "gaussians": {"max_count": 3000, "harmonics_degree": 1},
}
SMALL_FAMILY = {
    "volume": {"batch_samples": 16384, "occupancy_cells": 8192, "marching": {"steps": 128, "grid": 32}},
    "splats": {},
}


def small_configs(name: str, family: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Any, Any]:
    """The representation's config and its family's fitting; ``family`` overrides options by renderer."""
    kind = REPRESENTATIONS[name]
    options = {**SMALL_FAMILY[kind.renderer], **(family or {}).get(kind.renderer, {})}
    config = from_plain(kind, SMALL.get(name, {}), name)
    return config, from_plain(FAMILIES[kind.renderer].fitting, options, name)


def small_session(
    name: str, capture: Capture, steps: int, family: Mapping[str, Mapping[str, Any]] | None = None
) -> Session:
    """A training on the tiny capture."""
    config, fitting = small_configs(name, family)
    return prepare(capture, config, Fitting(steps=steps, seed=1), fitting)
