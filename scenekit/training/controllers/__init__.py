"""What acts between steps. ``DENSIFICATION`` makes the controller that a config names."""

from collections.abc import Callable

from scenekit.core.protocols import Controller
from scenekit.representations.gaussians import GaussianModel
from scenekit.training.controllers.densify import DefaultDensification, Thresholds
from scenekit.training.controllers.mcmc import Mcmc
from scenekit.training.controllers.schedules import Growth
from scenekit.training.controllers.square import SquareGrid


def _default(model: GaussianModel) -> list[Controller]:
    config = model.config
    growth = Growth(config.max_count, stop=config.densify_until)
    thresholds = Thresholds(gradient=config.gradient_threshold)
    return [DefaultDensification(model, growth, thresholds), *_kept_square(model, growth)]


def _mcmc(model: GaussianModel) -> list[Controller]:
    growth = Growth(model.config.max_count, stop=model.config.densify_until)
    return [Mcmc(model, growth), *_kept_square(model, growth)]


def _none(model: GaussianModel) -> list[Controller]:
    return []


def _kept_square(model: GaussianModel, growth: Growth) -> list[Controller]:
    return [SquareGrid(model, growth)] if model.config.compact else []


DENSIFICATION: dict[str, Callable[[GaussianModel], list[Controller]]] = {
    "default": _default,
    "mcmc": _mcmc,
    "none": _none,
}

__all__ = ["DENSIFICATION", "DefaultDensification", "Growth", "Mcmc", "SquareGrid", "Thresholds"]
