"""How a representation is fitted, per renderer; and configs to plain values and back, for ``recipe.toml``."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from scenekit.core.checks import BadInput
from scenekit.recipes.device import AUTO
from scenekit.renderers.volume import Marching
from scenekit.training.steps import Budget

DEFAULT_MINUTES = 5.0


@dataclass(frozen=True)
class VolumeFitting:
    """How a field is fitted.

    Attributes:
        batch_samples: samples a step; the number of rays follows from it.
        marching: how rays are sampled.
        occupancy_cells: cells that one update of the occupancy grid asks the field about.
        occupancy_interval: steps between two updates, once training has settled.
        average: decay of the moving average of the parameters that is kept at the end; 0 for none.
    """

    batch_samples: int = 2**18
    marching: Marching = field(default_factory=Marching)
    occupancy_cells: int = 2**18
    occupancy_interval: int = 16
    average: float = 0.95


@dataclass(frozen=True)
class SplatFitting:
    """How Gaussians are fitted.

    Attributes:
        batch_photographs: that a step sees in each process; one in a conversion.
        ssim_weight: share of 1 - SSIM in the loss; the rest is L1.
        coarse_until: progress until which photographs are reduced; never in a conversion, which begins on surfaces.
        coarse_factor: by how much they are reduced until then.
    """

    batch_photographs: int = 1
    ssim_weight: float = 0.2
    coarse_until: float = 0.0
    coarse_factor: int = 2


@dataclass(frozen=True)
class Fitting:
    """What every training shares.

    Attributes:
        steps: train for this many steps (resumes bit for bit on a CPU).
        minutes: train for this many minutes, from the first step; 5 if no other limit is given.
        target_psnr: stop at this PSNR on a fixed subset of the training photographs, in dB.
        seed: of all randomness.
        background: auto, random, learned, sphere (learned, by direction), white, black, or R,G,B in [0, 1].
        device: auto (a GPU where there is one), cpu, cuda or cuda:NUMBER.
    """

    steps: int | None = None
    minutes: float | None = None
    target_psnr: float | None = None
    seed: int = 0
    background: str = "auto"
    device: str = AUTO

    def budget(self) -> Budget:
        """The limits, with the default if none was given."""
        return budget_of(self.steps, self.minutes, self.target_psnr, DEFAULT_MINUTES)


def budget_of(steps: int | None, minutes: float | None, target_psnr: float | None, default: float) -> Budget:
    """The limits, with ``default`` minutes if neither steps nor minutes are given; raises BadInput below zero."""
    limits = (steps, minutes, target_psnr)
    if any(limit is not None and limit <= 0 for limit in limits):
        raise BadInput(f"--steps, --minutes, --target-psnr: wanted positive numbers, found {limits}; give one")
    return Budget(steps, default if steps is None and minutes is None else minutes, target_psnr)


Config = TypeVar("Config")


def to_plain(config: Any) -> dict[str, Any]:
    """A config as TOML-ready values; None is left out."""
    plain = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            plain[item.name] = to_plain(value)
        elif value is not None:
            plain[item.name] = list(value) if isinstance(value, tuple) else value
    return plain


def from_plain(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """A config from plain values; raises BadInput for an unknown key or a value of another type."""
    hints = typing.get_type_hints(kind)
    names = {item.name for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - names)
    if unknown:
        raise BadInput.of(where, wanted=f"keys among {sorted(names)}", found=str(unknown), remedy="correct the recipe")
    return kind(**{name: _value(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise BadInput.of(where, wanted="a table", found=repr(value), remedy="correct the recipe")
        return from_plain(typing.cast("type[Any]", hint), value, where)
    if isinstance(value, list):
        return tuple(value)
    accepted = _scalar_types(hint)
    if accepted and not isinstance(value, accepted):
        raise BadInput.of(where, wanted=str(hint), found=repr(value), remedy="correct the recipe")
    return (
        float(value) if accepted and int not in accepted[:1] and isinstance(value, int) and float in accepted else value
    )


def _scalar_types(hint: Any) -> tuple[type, ...]:
    """Types that a scalar hint accepts; an int may stand for a float. Empty for what is not checked."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return tuple(kind for part in typing.get_args(hint) for kind in _scalar_types(part))
    if hint is float:
        return (float, int)
    return (hint,) if hint in (int, str, bool) else ()


def section(values: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """A table of a recipe; raises BadInput where it is missing."""
    found = values.get(name)
    if not isinstance(found, dict):
        raise BadInput.of(where, wanted=f"a table [{name}]", found="none", remedy="restore the recipe or train again")
    return found
