"""3DGS-MCMC: densification as a Markov chain; relocate the dead, grow to a cap, shake with noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.protocols import Change, Context, Rendering
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.kernels.running_sums import running_sums
from scenekit.representations.gaussians import GaussianModel
from scenekit.training.controllers.schedules import Growth

DEAD = 0.005  # opacity up to which a Gaussian is dead
MOST_COPIES = 51  # the scale's alternating sum loses its digits beyond
GROWTH = 1.05  # of the count, at each act
NOISE = 5e5  # of the positions, in units of their learning rate


class Mcmc:
    """Relocation and growth that leave the picture as it is, and noise that lets idle Gaussians explore."""

    def __init__(self, model: GaussianModel, growth: Growth, noise: float = NOISE) -> None:
        self.model = model
        self.growth = growth
        self.noise = noise
        self.step = 0  # of one photograph each

    def before_render(self, context: Context) -> None:
        """Nothing."""

    def after_backward(self, rendering: Rendering, context: Context) -> Change | None:
        """Every so often put the dead beside the living and grow."""
        self.step += context.batches
        if not self.growth.due(self.step, context) or not self.model.rows.total(len(self.model)):
            return None
        return self._relocated(context.generator)

    @torch.no_grad()
    def after_step(self, context: Context) -> None:
        """Shake the transparent ones along their own axes, the more the faster means still learn."""
        model = self.model
        means = next(group for group in model.parameter_groups() if group.name == "means")
        rate = means.rate(context.progress, context.batches)
        idle = (-100 * (model.opacity_logits.sigmoid() - DEAD)).sigmoid()
        shape = (model.rows.total(len(model)), 3)
        noise = torch.randn(shape, generator=context.generator, device=idle.device, dtype=model.means.dtype)
        noise = model.rows.own(noise)
        turn = matrix_from_quaternion(model.quaternions)
        along = (noise[:, None] @ turn).squeeze(1) * (2 * model.log_scales).exp()
        model.means.add_((turn @ along[..., None]).squeeze(-1) * (idle * rate * self.noise)[:, None])

    def state_dict(self) -> dict[str, Any]:
        """How many photographs were seen."""
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.step = int(state["step"])

    @torch.no_grad()
    def _relocated(self, generator: torch.Generator | None) -> Change | None:
        model = self.model
        opacities = model.rows.whole(model.opacity_logits.detach()).sigmoid()
        count = len(opacities)
        dead = opacities <= DEAD
        weights = opacities.masked_fill(dead, 0)
        born = max(0, min(self.growth.max_count, int(GROWTH * count)) - count)
        moved = int(dead.sum())
        if moved + born == 0 or moved == count:
            return None
        drawn = _draw(weights, moved + born, generator)
        sources = torch.arange(count + born, device=weights.device)
        sources[:count][dead] = drawn[:moved]
        sources[count:] = drawn[moved:]
        copies = torch.bincount(sources, minlength=count)[sources]
        touched = copies > 1
        opacity, shrink = relocation(opacities[sources][touched], copies[touched])
        logits, shift = torch.empty_like(opacities[sources]), torch.zeros_like(opacities[sources])
        logits[touched], shift[touched] = opacity.clamp(DEAD, 1 - 1e-6).logit(), shrink.log()
        ours, sources = model.rows.follow(sources)
        logits, shift, touched = logits[ours], shift[ours], touched[ours]
        logits = torch.where(touched, logits, model.opacity_logits[sources])
        return Change(
            sources, touched, {"opacity_logits": logits, "log_scales": model.log_scales[sources] + shift[:, None]}
        )


def _draw(weights: Float[Tensor, " N"], count: int, generator: torch.Generator | None) -> Int[Tensor, " M"]:
    """``count`` rows, each drawn in proportion to its weight; ``multinomial`` stops at 2^24 rows."""
    cumulative = running_sums(weights.double())
    places = torch.rand(count, generator=generator, device=weights.device, dtype=torch.float64)
    drawn = torch.searchsorted(cumulative, places * cumulative[-1], right=True)
    return drawn.clamp(max=int(weights.nonzero()[-1]))


def relocation(
    opacities: Float[Tensor, " N"], copies: Int[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Opacity of each of ``copies`` Gaussians that together look like one, and the factor on their scales.

    ``o' = 1 - (1 - o)^(1/n)`` and
    ``o / sum_{i=1..n} sum_{k=0..i-1} C(i-1, k) (-1)^k o'^(k+1) / sqrt(k+1)`` (3DGS-MCMC, eq. 9); more than 51
    copies count as 51.
    """
    count = copies.clamp(1, MOST_COPIES)
    each = -torch.expm1(torch.log1p(-opacities.double().clamp(max=1 - 1e-6)) / count)
    # sum_{i=1..n} C(i-1, k) = C(n, k+1): the double sum is one alternating sum.
    order = torch.arange(1, MOST_COPIES + 1, device=opacities.device)
    signed = (each[:, None] ** order) * _binomials().to(each.device)[count, 1:] / order.double().sqrt()
    total = (signed * torch.where(order % 2 == 1, 1.0, -1.0)).sum(-1)
    return each.to(opacities.dtype), (opacities / total).to(opacities.dtype)


def _binomials() -> Float[Tensor, "n k"]:
    rows = [[math.comb(n, k) for k in range(MOST_COPIES + 1)] for n in range(MOST_COPIES + 1)]
    return torch.tensor(rows, dtype=torch.float64)
