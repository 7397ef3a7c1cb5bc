"""Real spherical harmonics of directions, as 3D Gaussian Splatting and instant-ngp order and sign them.

The basis is the polynomial form in x, y, z with the Condon-Shortley phase; coefficient ``l*l + l + m``. The
smallest op in the tree, and the template for the others. ``harmonic_colors`` weighs the basis by coefficients
without ever writing it to memory. ``harmonics_by_recurrence`` is the same basis to any degree, in plain torch: the
polynomials above are exact and fast for colours that depend on the view, a recurrence serves whole panoramas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import spherical_harmonics as on_gpu
from scenekit.kernels.op import below_autograd, once_differentiable, reference_gradients, register

MAX_DEGREE = 4
C0 = 0.28209479177387814  # 1 / (2 sqrt(pi)): the constant term


def spherical_harmonics(directions: Float[Tensor, "N 3"], degree: int) -> Float[Tensor, "N K"]:
    """Basis values of unit ``directions`` for all degrees up to ``degree``; K is (degree + 1)^2.

    Raises ValueError for a wrong shape or a degree outside 0 to 4. The gradient treats x, y and z as
    independent: directions are not normalised here.
    """
    check_shape("directions", directions, ("N", 3), {})
    check_degree(degree)
    return SPHERICAL_HARMONICS(directions, degree)


def harmonic_colors(
    coefficients: Float[Tensor, "N K 3"], directions: Float[Tensor, "N 3"], degree: int
) -> Float[Tensor, "N 3"]:
    """``sum_k basis_k(direction) * coefficient_k`` over the degrees up to ``degree``; gradients to both.

    K may exceed (degree + 1)^2: the rest is ignored and has gradient zero. Nothing is added or clamped.
    Raises ValueError for a wrong shape, too few coefficients or a degree outside 0 to 4.
    """
    sizes: dict[str, int] = {}
    check_shape("coefficients", coefficients, ("N", "K", 3), sizes)
    check_shape("directions", directions, ("N", 3), sizes)
    check_same_kind("coefficients", coefficients, directions=directions)
    check_degree(degree)
    if sizes["K"] < (degree + 1) ** 2:
        raise ValueError(f"coefficients: degree {degree} wants {(degree + 1) ** 2} of them, found {sizes['K']}")
    return HARMONIC_COLORS(coefficients, directions, degree)


def harmonics_by_recurrence(directions: Float[Tensor, "N 3"], degree: int) -> Float[Tensor, "N K"]:
    """The basis of :func:`spherical_harmonics` to any degree, by the fully normalised recurrence.

    With ``P_lm = s^m Q_lm(z)``, where s is the sine of the polar angle (Holmes and Featherstone 2002)::

        Q_mm = sqrt((2m + 1) / 2m) Q_(m-1)(m-1),   Q_(m+1)m = sqrt(2m + 3) z Q_mm,
        Q_lm = a (z Q_(l-1)m - b Q_(l-2)m),        a = sqrt((4 l^2 - 1) / (l^2 - m^2)),
                                                   b = sqrt(((l - 1)^2 - m^2) / (4 (l - 1)^2 - 1)),

    and ``s^m cos(m phi)``, ``s^m sin(m phi)`` are the parts of (x + iy)^m: no factorial, no division by s, so
    neither overflow nor a pole; float64 agrees with scipy to 1e-12 at degree 60. Gradients by autograd; directions
    are not normalised here. Raises ValueError for a wrong shape or a negative degree.
    """
    check_shape("directions", directions, ("N", 3), {})
    if degree < 0:
        raise ValueError(f"degree: wanted 0 or more, found {degree}")
    z = directions[:, 2:]
    cosines, sines = _azimuthal(directions, degree)
    rows: list[Tensor] = []  # Q_l0 .. Q_ll of every degree l, phase and sqrt(2) left out
    diagonal = C0
    for n in range(degree + 1):
        diagonal *= math.sqrt((2 * n + 1) / (2 * n)) if n else 1.0
        parts = [] if n == 0 else [_next_degree(n, z, rows)]
        rows.append(torch.cat([*parts, torch.full_like(z, diagonal)], 1))
    basis: list[Tensor] = []
    for n, row in enumerate(rows):
        basis += [(row[:, 1:] * sines[:, 1 : n + 1]).flip(1), row[:, :1], row[:, 1:] * cosines[:, 1 : n + 1]]
    return torch.cat(basis, 1)


def _next_degree(n: int, z: Tensor, rows: list[Tensor]) -> Tensor:
    """Q_n0 .. Q_n(n-1) from the two degrees below; the last has but one of them."""
    m = torch.arange(n, dtype=z.dtype, device=z.device)
    rise = torch.sqrt((4 * n * n - 1) / (n * n - m * m))
    found = z * rows[n - 1]
    if n > 1:
        fall = torch.sqrt(((n - 1) ** 2 - m[:-1] ** 2) / (4 * (n - 1) ** 2 - 1))
        found = torch.cat([found[:, :-1] - fall * rows[n - 2], found[:, -1:]], 1)
    return rise * found


def _azimuthal(directions: Tensor, degree: int) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts of (x + iy)^m times (-1)^m sqrt(2), for m of 0 to ``degree``."""
    x, y = directions[:, 0], directions[:, 1]
    cosine, sine = torch.ones_like(x), torch.zeros_like(x)
    cosines, sines = [cosine], [sine]
    for m in range(degree):
        factor = -math.sqrt(2) if m == 0 else -1.0  # one phase more for every m; sqrt(2) once
        cosine, sine = factor * (x * cosine - y * sine), factor * (x * sine + y * cosine)
        cosines.append(cosine)
        sines.append(sine)
    return torch.stack(cosines, 1), torch.stack(sines, 1)


def check_degree(degree: int) -> None:
    """Raise ValueError where there are no polynomials of that degree."""
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"degree: wanted 0 to {MAX_DEGREE}, found {degree}")


def basis_of(directions: Tensor, degree: int) -> Tensor:
    """The plain torch body."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz, xy, yz, xz = x * x, y * y, z * z, x * y, y * z, x * z
    basis = [torch.full_like(x, C0)]
    if degree > 0:
        basis += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree > 1:
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
    return reference_gradients(basis_of, (directions, degree), (0,), (gradient,))[0]


def _cpu(directions: Tensor, degree: int) -> Tensor:
    if not native.serves(directions):
        return basis_of(directions, degree)
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
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (directions,) = ctx.saved_tensors
        return torch.ops.scenekit.spherical_harmonics_backward(gradients[0], directions, ctx.degree), None


SPHERICAL_HARMONICS = register(
    "spherical_harmonics(Tensor directions, int degree) -> Tensor",
    basis_of,
    fake=lambda directions, degree: directions.new_empty(directions.shape[0], (degree + 1) ** 2),
    cpu=_cpu,
    cuda=on_gpu.basis,
    autograd=_SphericalHarmonics,
)
SPHERICAL_HARMONICS_BACKWARD = register(
    "spherical_harmonics_backward(Tensor gradient, Tensor directions, int degree) -> Tensor",
    _backward_reference,
    fake=lambda gradient, directions, degree: torch.empty_like(directions),
    cpu=_backward_cpu,
    cuda=on_gpu.basis_backward,
)


def _colors_reference(coefficients: Tensor, directions: Tensor, degree: int) -> Tensor:
    basis = basis_of(directions, degree)
    return (basis[..., None] * coefficients[:, : basis.shape[1]]).sum(1)


def _colors_backward_reference(
    gradient: Tensor, coefficients: Tensor, directions: Tensor, degree: int, wanted: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    inputs, which = (coefficients, directions, degree), [i for i in (0, 1) if wanted[i]]
    gradients = reference_gradients(_colors_reference, inputs, which, (gradient,))
    found = dict(zip(which, gradients, strict=True))
    return found.get(0, coefficients.new_empty(0)), found.get(1, directions.new_empty(0))


def _colors_cpu(coefficients: Tensor, directions: Tensor, degree: int) -> Tensor:
    if not native.serves(coefficients, directions):
        return _colors_reference(coefficients, directions, degree)
    coefficients, directions = coefficients.contiguous(), directions.contiguous()
    colors = torch.empty_like(directions)
    native.call("harmonic_colors", coefficients, directions, *coefficients.shape[:2], degree, colors)
    return colors


def _colors_backward_cpu(
    gradient: Tensor, coefficients: Tensor, directions: Tensor, degree: int, wanted: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    if not native.serves(gradient, coefficients, directions):
        return _colors_backward_reference(gradient, coefficients, directions, degree, wanted)
    inputs = coefficients.contiguous(), directions.contiguous()
    results = [torch.empty_like(x) if want else None for x, want in zip(inputs, wanted, strict=True)]
    sizes = (*coefficients.shape[:2], degree)
    native.call("harmonic_colors_backward", gradient.contiguous(), *inputs, *sizes, *results)
    first, second = (x.new_empty(0) if r is None else r for x, r in zip(inputs, results, strict=True))
    return first, second


def _colors_backward_fake(
    gradient: Tensor, coefficients: Tensor, directions: Tensor, degree: int, wanted: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    first, second = (
        x.new_empty(x.shape) if want else x.new_empty(0)
        for x, want in zip((coefficients, directions), wanted, strict=True)
    )
    return first, second


class _HarmonicColors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, directions: Tensor, degree: int) -> Tensor:
        ctx.save_for_backward(coefficients, directions)
        ctx.degree = degree
        return below_autograd("harmonic_colors", coefficients, directions, degree)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[:2]
        results = torch.ops.scenekit.harmonic_colors_backward(gradients[0], *ctx.saved_tensors, ctx.degree, wanted)
        return (*(result if want else None for result, want in zip(results, wanted, strict=True)), None)


HARMONIC_COLORS = register(
    "harmonic_colors(Tensor coefficients, Tensor directions, int degree) -> Tensor",
    _colors_reference,
    fake=lambda coefficients, directions, degree: directions.new_empty(directions.shape),
    cpu=_colors_cpu,
    cuda=on_gpu.colors,
    autograd=_HarmonicColors,
)
HARMONIC_COLORS_BACKWARD = register(
    "harmonic_colors_backward(Tensor gradient, Tensor coefficients, Tensor directions, int degree, "
    "bool[2] wanted) -> (Tensor for_coefficients, Tensor for_directions)",
    _colors_backward_reference,
    fake=_colors_backward_fake,
    cpu=_colors_backward_cpu,
    cuda=on_gpu.colors_backward,
)
