"""What rounding to half precision does to densities, colours and their gradients, beside float64; see ``rounding``."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from scenekit.kernels.spherical_harmonics import basis_of
from scenekit.kernels.truncated_exp import density_of, density_slope

from .rounding import Rounded, back_through_layers, exact, through_layers, tiny_for

SINGLE = 2.0**-22  # of float32 arithmetic that is not sums: harmonics, exponentials


@dataclass(frozen=True)
class Given:
    """Arguments of the op, weights layer by layer, and gradients of its results."""

    encoded: Tensor
    directions: Tensor
    density: list[Tensor]
    color: list[Tensor]
    degree: int
    log_density: float
    for_densities: Tensor
    for_colors: Tensor


def sample(density: list[int], color: list[int], degree: int, rows: int) -> Given:
    """``density`` widths, the encoding's first, and the colour network's widths after its inputs."""
    g = torch.Generator().manual_seed(8)
    inputs = density[-1] + (degree + 1) ** 2
    of_density, of_color = (
        [torch.randn(b, a, generator=g) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)]
        for widths in (density, [inputs, *color])
    )
    directions = torch.nn.functional.normalize(torch.randn(rows, 3, generator=g), dim=-1)
    encoded = torch.randn(rows, density[0], generator=g)
    for_densities, for_colors = torch.randn(rows, generator=g), torch.randn(rows, 3, generator=g)
    return Given(encoded, directions, of_density, of_color, degree, 0.3, for_densities, for_colors)


def expected(given: Given) -> list[Rounded]:
    """Densities, colours, then gradients of encodings, directions and each layer's weights."""
    density_halves, color_halves = ([exact(w).to_half() for w in part] for part in (given.density, given.color))
    density_values, density_sums = through_layers(exact(given.encoded).to_half(), density_halves)
    features = density_sums[-1]
    taken = _beside(features.to_half(), _harmonics(given).to_half())
    color_values, color_sums = through_layers(taken, color_halves)
    densities = _density(_column(features, 0), given.log_density)
    colors = _sigmoid(color_sums[-1])
    raw_density, raw_color = _raw(given, densities, colors)

    tiny = tiny_for(raw_color.exact)
    back, color_weights = back_through_layers(raw_color.to_half(tiny), color_halves, color_values, color_sums, tiny)
    width = features.exact.shape[1]
    for_directions = _through_harmonics(_columns(back, width, None).to_half(tiny), given)
    tiny = tiny_for(raw_density.exact, raw_color.exact)
    of_features = _plus_first(_columns(back, 0, width), raw_density)
    found = back_through_layers(of_features.to_half(tiny), density_halves, density_values, density_sums, tiny)
    for_encoded, density_weights = found
    # What a density is wrong by reaches all that its gradient reaches at once: there deviations add up plainly.
    first = torch.zeros_like(of_features.exact)
    first[:, 0] = raw_density.deviation
    shared, _ = back_through_layers(exact(first), density_halves, density_values, density_sums, tiny)
    for_encoded = Rounded(for_encoded.exact, (for_encoded.deviation**2 + shared.exact**2) ** 0.5)
    return [densities, colors, for_encoded, for_directions, *density_weights, *color_weights]


def _harmonics(given: Given) -> Rounded:
    found = basis_of(given.directions.double(), given.degree)
    return Rounded(found, torch.full_like(found, SINGLE))


def _density(raw: Rounded, log_density: float) -> Rounded:
    found = density_of(raw.exact + log_density)
    return Rounded(found, found * (raw.deviation + SINGLE * (1 + raw.exact.abs())))


def _sigmoid(raw: Rounded) -> Rounded:
    found = raw.exact.sigmoid()
    return Rounded(found, found * (1 - found) * raw.deviation + raw.deviation**2 / 8 + SINGLE)


def _raw(given: Given, densities: Rounded, colors: Rounded) -> tuple[Rounded, Rounded]:
    """Gradients of raw densities and colours, which follow from the results."""
    first, second = given.for_densities.double(), given.for_colors.double()
    slope = density_slope(densities.exact)
    density = Rounded(first * slope, first.abs() * (densities.deviation + SINGLE * slope))
    slope = colors.exact * (1 - colors.exact)
    deviation = (1 - 2 * colors.exact).abs() * colors.deviation + colors.deviation**2 + SINGLE * slope
    return density, Rounded(second * slope, second.abs() * deviation)


def _through_harmonics(gradient: Rounded, given: Given) -> Rounded:
    directions = given.directions.double().requires_grad_()
    basis = basis_of(directions, given.degree) + 0 * directions[:, :1]  # the first follows from nothing
    rows = [torch.autograd.grad(basis[:, k].sum(), directions, retain_graph=True)[0] for k in range(basis.shape[1])]
    slopes = torch.stack(rows, 1)  # [S K 3]
    spread = (gradient.exact.abs()[..., None] * slopes.abs()).sum(1)
    deviation = (gradient.deviation[..., None] ** 2 * slopes**2).sum(1) ** 0.5
    return Rounded((gradient.exact[..., None] * slopes).sum(1), deviation + 4 * SINGLE * spread)


def _column(x: Rounded, index: int) -> Rounded:
    return Rounded(x.exact[:, index], x.deviation[:, index])


def _columns(x: Rounded, begin: int, end: int | None) -> Rounded:
    return Rounded(x.exact[:, begin:end], x.deviation[:, begin:end])


def _beside(a: Rounded, b: Rounded) -> Rounded:
    return Rounded(torch.cat([a.exact, b.exact], 1), torch.cat([a.deviation, b.deviation], 1))


def _plus_first(a: Rounded, b: Rounded) -> Rounded:
    """``b`` added to the first column of ``a``."""
    values, deviations = a.exact.clone(), a.deviation.clone()
    values[:, 0] += b.exact
    deviations[:, 0] = (deviations[:, 0] ** 2 + b.deviation**2) ** 0.5
    return Rounded(values, deviations)
