"""Radial basis functions: neurons in a space of features, and adaptive ones in the space of points.

Plain torch on every device: the neurons are two matrix products, which no loop of ours beats. Where pictures are traced
in one pass, neurons are ``cuda/rbf.h``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.core.precision import exact_products


def gaussian(squared: Tensor) -> Tensor:
    """``exp(-r^2 / 2)``."""
    return (-0.5 * squared).exp()


def inverse_quadratic(squared: Tensor) -> Tensor:
    """``1 / (1 + r^2)``, NeuRBF's."""
    return 1 / (1 + squared)


def inverse_multiquadric(squared: Tensor) -> Tensor:
    """``1 / sqrt(1 + r^2)``."""
    return (1 + squared).rsqrt()


def wendland_c2(squared: Tensor) -> Tensor:
    """``(1 - r)^4 (4 r + 1)`` for r < 1, else 0: twice differentiable, of compact support."""
    # The clamp keeps the root's gradient finite at the centre, where that of the function is 0.
    radius = squared.clamp(min=1e-12).sqrt()
    return (1 - radius).clamp(min=0).pow(4) * (4 * radius + 1)


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian": gaussian,
    "inverse_quadratic": inverse_quadratic,
    "inverse_multiquadric": inverse_multiquadric,
    "wendland_c2": wendland_c2,
}


@dataclass(frozen=True)
class Neurons:
    """What :func:`rbf_neurons` takes beside features."""

    centers: Float[Tensor, "K F"]
    log_precisions: Float[Tensor, "K F"]
    kernel: str


def number_of(kernel: str) -> int:
    """Which kernel that is in ``cuda/rbf.h``, where none is 0; raises ValueError for an unknown one."""
    _kernel(kernel)
    return 1 + list(KERNELS).index(kernel)


def scaled(centers: Float[Tensor, "K F"], log_precisions: Float[Tensor, "K F"]) -> tuple[Tensor, Tensor]:
    """Scales and shifts [K F], so that ``e^b (f - c)^2`` is ``(scale f - shift)^2``."""
    scales = (0.5 * log_precisions).exp()
    return scales, scales * centers


def rbf_neurons(
    features: Float[Tensor, "S F"],
    centers: Float[Tensor, "K F"],
    log_precisions: Float[Tensor, "K F"],
    kernel: str = "gaussian",
) -> Float[Tensor, "S K"]:
    """``kernel(sum_d e^b_kd (f_d - c_kd)^2)`` of every neuron k (arXiv 2503.06762), gradients to all three.

    As two matrix products: ``f^2 B' - 2 f (B C)' + sum_d b c^2``. Raises ValueError for shapes that do not fit or an
    unknown kernel, TypeError where dtypes or devices differ.
    """
    sizes: dict[str, int] = {}
    check_shape("features", features, ("S", "F"), sizes)
    check_shape("centers", centers, ("K", "F"), sizes)
    check_shape("log_precisions", log_precisions, ("K", "F"), sizes)
    check_same_kind("features", features, centers=centers, log_precisions=log_precisions)
    precisions = log_precisions.exp()
    constant = (precisions * centers.square()).sum(-1)
    with exact_products(features.device):  # of which the difference is taken
        squared = torch.addmm(constant, features.square(), precisions.T)
        squared = torch.addmm(squared, features, (precisions * centers).T, alpha=-2)
    return _kernel(kernel)(squared.clamp(min=0))  # a difference of products may fall below zero


def adaptive_rbf(
    positions: Float[Tensor, "S D"],
    neighbors: Int[Tensor, "S k"],
    shapes: tuple[Float[Tensor, "N D"], Float[Tensor, "N D D"]],
    values: Float[Tensor, "N F"],
    frequencies: Float[Tensor, " F"],
    kernel: str = "inverse_quadratic",
) -> Float[Tensor, "S F"]:
    """``sum_i g_i sin(m phi_i(x))`` over each position's neighbours i (NeuRBF, equations 4 to 6).

    ``phi_i`` is the kernel of ``|W_i (x - c_i)|^2``, divided by the neighbours' sum, which takes no gradient; m are
    frequencies by feature. ``shapes`` are the centres c and the whitening matrices W. Gradients to values and
    positions (as if neighbours stayed the same).
    """
    centers, whitening = shapes
    offsets = positions[:, None] - centers[neighbors]
    local = (whitening[neighbors] @ offsets[..., None]).squeeze(-1)
    basis = _kernel(kernel)(local.square().sum(-1))
    basis = basis / (basis.sum(-1, keepdim=True).detach() + 1e-8)
    waves = (basis[..., None] * frequencies).sin()
    near = values.index_select(0, neighbors.flatten()).unflatten(0, neighbors.shape)
    return (near * waves).sum(1)


def _kernel(name: str) -> Callable[[Tensor], Tensor]:
    if name not in KERNELS:
        raise ValueError(f"kernel: wanted one of {', '.join(KERNELS)}, found {name}")
    return KERNELS[name]
