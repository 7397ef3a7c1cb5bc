"""What rounding to half precision does to a multilayer perceptron and its gradients, beside float64.

``Rounded`` carries a value with the deviation that rounding its operands to half precision gives it, operation by
operation. A rounding moves a number by at most u = 2^-11 of itself (by 2^-25 near zero), evenly to both sides: a
deviation of u / sqrt(3). Through a layer deviations add as squares; over samples, which share the weights' roundings,
they add up plainly, and so does what float32 sums lose. Where zero is within reach of what a ReLU gets, the gradient is
all or nothing. No error may be above six deviations: none of a normal distribution's ever is, and what is wrong is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

UNIT, TINY = 2.0**-11, 2.0**-25  # of half precision: relative, and where numbers lie 2^-24 apart
SUM = 2.0**-22  # of float32 sums, by how many products they have; tensor cores round towards zero
REACH = 6  # deviations


@dataclass(frozen=True)
class Rounded:
    """An exact value, and the deviation of what the kernel has instead."""

    exact: Tensor
    deviation: Tensor

    def to_half(self, tiny: float = TINY) -> Rounded:
        rounding = (UNIT * (self.exact.abs() + REACH * self.deviation) + tiny) / 3**0.5
        return Rounded(self.exact, (self.deviation**2 + rounding**2) ** 0.5)

    def through(self, weights: Rounded) -> Rounded:
        """Times weights [in out]."""
        (a, b), (x, y) = (self.exact, self.deviation), (weights.exact, weights.deviation)
        variance = b**2 @ x**2 + a**2 @ y**2 + b**2 @ y**2
        return Rounded(a @ x, variance**0.5 + SUM * len(x) * (a.abs() @ x.abs()))

    def over_samples(self, other: Rounded) -> Rounded:
        """Transposed, times other [S in]."""
        (a, b), (x, y) = (self.exact.T, self.deviation.T), (other.exact, other.deviation)
        return Rounded(a @ x, b @ x.abs() + a.abs() @ y + REACH * b @ y + SUM * len(x) * (a.abs() @ x.abs()))


def exact(x: Tensor) -> Rounded:
    return Rounded(x.double(), torch.zeros_like(x, dtype=torch.float64))


def through_layers(inputs: Rounded, halves: list[Rounded]) -> tuple[list[Rounded], list[Rounded]]:
    """What each layer of a network takes, as halves, and gives, as sums."""
    values, sums = [inputs], []
    for w in halves:
        sums.append(values[-1].through(Rounded(w.exact.T, w.deviation.T)))
        values.append(Rounded(sums[-1].exact.relu(), sums[-1].deviation).to_half())
    return values[:-1], sums


def back_through_layers(
    back: Rounded, halves: list[Rounded], values: list[Rounded], sums: list[Rounded], tiny: float
) -> tuple[Rounded, list[Rounded]]:
    """Gradients of a network's inputs and of each layer's weights, from that of its outputs, as halves."""
    found = []
    for layer in reversed(range(len(halves))):
        found.append(back.over_samples(values[layer]))
        back = back.through(halves[layer])
        if layer > 0:
            before, deviation = sums[layer - 1], back.deviation
            unsure = before.exact.abs() <= REACH * before.deviation + TINY
            some = torch.where(before.exact > 0, deviation, 0.0)
            deviation = torch.where(unsure, deviation + back.exact.abs(), some)
            back = Rounded(torch.where(before.exact > 0, back.exact, 0.0), deviation).to_half(tiny)
    return back, found[::-1]


def tiny_for(*gradients: Tensor) -> float:
    """Where gradients are rounded as numbers near zero are: the largest is scaled to 2^8 at least."""
    return TINY * max(float(x.abs().max()) if x.numel() else 0.0 for x in gradients) / 2**8


def expected(gradient: Tensor, inputs: Tensor, weights: list[Tensor]) -> list[Rounded]:
    """Outputs, and gradients of inputs and of each layer's weights."""
    halves, tiny = [exact(w).to_half() for w in weights], tiny_for(gradient)
    values, sums = through_layers(exact(inputs).to_half(), halves)
    back, found = back_through_layers(exact(gradient).to_half(tiny), halves, values, sums, tiny)
    return [sums[-1], back, *found]


def sample(widths: list[int], rows: int, scale: float = 1.0) -> tuple[Tensor, Tensor, list[Tensor]]:
    g = torch.Generator().manual_seed(6)
    weights = [torch.randn(b, a, generator=g) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)]
    return torch.randn(rows, widths[-1], generator=g) * scale, torch.randn(rows, widths[0], generator=g), weights


def by_feature(rows: Tensor) -> Tensor:
    """The same rows, in memory feature after feature, as grids give them on a GPU."""
    return rows.t().contiguous().t()


@contextmanager
def half_allowed() -> Iterator[None]:
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def check(found: list[Tensor], wanted: list[Rounded]) -> None:
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert a.shape == b.exact.shape
        error = (a.double() - b.exact).abs() / (b.deviation + 1e-30)
        assert (error <= REACH).all(), f"{index}: {float(error.max()):.3g} deviations"
