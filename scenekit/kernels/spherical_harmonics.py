"""Real spherical harmonics of directions, as 3D Gaussian Splatting and instant-ngp order and sign them.

The basis is the polynomial form in x, y, z with the Condon-Shortley phase; coefficient ``l*l + l + m``. The
smallest op in the tree, and the template for the others.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from scenekit.core.checks import check_shape
from scenekit.kernels import native
from scenekit.kernels.op import below_autograd, reference_gradients, register

MAX_DEGREE = 4
C0 = 0.28209479177387814  # 1 / (2 sqrt(pi)): the constant term


def spherical_harmonics(directions: Float[Tensor, "N 3"], degree: int) -> Float[Tensor, "N K"]:
    """Basis values of unit ``directions`` for all degrees up to ``degree``; K is (degree + 1)^2.

    Raises ValueError for a wrong shape or a degree outside 0 to 4. The gradient treats x, y and z as
    independent: directions are not normalised here.
    """
    check_shape("directions", directions, ("N", 3), {})
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"degree: wanted 0 to {MAX_DEGREE}, found {degree}")
    return SPHERICAL_HARMONICS(directions, degree)


def _reference(directions: Tensor, degree: int) -> Tensor:
    x, y, z = directions.unbind(-1)
    basis = [torch.full_like(x, C0)]
    if degree > 0:
        basis += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree > 1:
        xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
        basis += [
            1.0925484305920792 * xy,
            -1.0925484305920792 * yz,
            0.31539156525252005 * (2 * zz - xx - yy),
            -1.0925484305920792 * xz,
            0.5462742152960396 * (xx - yy),
        ]
    if degree > 2:
        basis += [
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * xy * z,
            -0.4570457994644658 * y * (4 * zz - xx - yy),
            0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
            -0.4570457994644658 * x * (4 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ]
    if degree > 3:
        basis += [
            2.5033429417967046 * xy * (xx - yy),
            -1.7701307697799304 * yz * (3 * xx - yy),
            0.9461746957575601 * xy * (7 * zz - 1),
            -0.6690465435572892 * yz * (7 * zz - 3),
            0.10578554691520431 * (zz * (35 * zz - 30) + 3),
            -0.6690465435572892 * xz * (7 * zz - 3),
            0.47308734787878004 * (xx - yy) * (7 * zz - 1),
            -1.7701307697799304 * xz * (xx - 3 * yy),
            0.6258357354491761 * (xx * (xx - 3 * yy) - yy * (3 * xx - yy)),
        ]
    return torch.stack(basis, -1)


def _backward_reference(gradient: Tensor, directions: Tensor, degree: int) -> Tensor:
    return reference_gradients(_reference, (directions, degree), (0,), (gradient,))[0]


def _cpu(directions: Tensor, degree: int) -> Tensor:
    if not native.serves(directions):
        return _reference(directions, degree)
    directions = directions.contiguous()
    basis = directions.new_empty(directions.shape[0], (degree + 1) ** 2)
    native.call("spherical_harmonics", directions, directions.shape[0], degree, basis)
    return basis


def _backward_cpu(gradient: Tensor, directions: Tensor, degree: int) -> Tensor:
    if not native.serves(gradient, directions):
        return _backward_reference(gradient, directions, degree)
    gradient, directions = gradient.contiguous(), directions.contiguous()
    result = torch.empty_like(directions)
    native.call("spherical_harmonics_backward", gradient, directions, directions.shape[0], degree, result)
    return result


class _SphericalHarmonics(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, directions: Tensor, degree: int) -> Tensor:
        ctx.save_for_backward(directions)
        ctx.degree = degree
        return below_autograd("spherical_harmonics", directions, degree)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.needs_input_grad[0]:
            return None, None
        (directions,) = ctx.saved_tensors
        return torch.ops.scenekit.spherical_harmonics_backward(gradient, directions, ctx.degree), None


SPHERICAL_HARMONICS = register(
    "spherical_harmonics(Tensor directions, int degree) -> Tensor",
    _reference,
    fake=lambda directions, degree: directions.new_empty(directions.shape[0], (degree + 1) ** 2),
    cpu=_cpu,
    autograd=_SphericalHarmonics,
)
SPHERICAL_HARMONICS_BACKWARD = register(
    "spherical_harmonics_backward(Tensor gradient, Tensor directions, int degree) -> Tensor",
    _backward_reference,
    fake=lambda gradient, directions, degree: torch.empty_like(directions),
    cpu=_backward_cpu,
)
