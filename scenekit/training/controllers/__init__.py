"""What acts between steps. ``DENSIFICATION`` makes the controller that a config names."""

from collections.abc import Callable

from scenekit.core.protocols import Controller
from scenekit.representations.gaussians import GaussianModel
from scenekit.training.controllers.densify import DefaultDensification, Thresholds
from scenekit.training.controllers.mcmc import Mcmc
from scenekit.training.controllers.schedules import Growth


def _default(model: GaussianModel) -> list[Controller]:
    config = model.config
    growth = Growth(config.max_count, stop=config.densify_until)
    return [DefaultDensification(model, growth, Thresholds(gradient=config.gradient_threshold))]


def _mcmc(model: GaussianModel) -> list[Controller]:
    return [Mcmc(model, Growth(model.config.max_count, stop=model.config.densify_until))]


def _none(model: GaussianModel) -> list[Controller]:
    return []


DENSIFICATION: dict[str, Callable[[GaussianModel], list[Controller]]] = {
    "default": _default,
    "mcmc": _mcmc,
    "none": _none,
}

__all__ = ["DENSIFICATION", "DefaultDensification", "Growth", "Mcmc", "Thresholds"]
