"""The densification of 3D Gaussian Splatting: clone and split where screen positions pull, prune the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.protocols import Change, Context, Rendering
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.representations.gaussians import GaussianModel
from scenekit.training.controllers.schedules import Growth, completed

SPLIT_SHRINK = 1.6  # how much smaller the two halves of a split Gaussian are


@dataclass(frozen=True)
class Thresholds:
    """What decides over a Gaussian's fate.

    Attributes:
        gradient: mean length of the screen gradient, in normalised device coordinates, above which it is
            cloned or split.
        small: largest scale, in units of the scene's, up to which it is cloned rather than split.
        opacity: below which it is pruned.
        large: scale, in units of the scene's, above which it is pruned once opacities have been reset.
        reset_every: photographs between two resets of all opacities to twice ``opacity``.
    """

    gradient: float = 2e-4
    small: float = 0.01
    opacity: float = 0.005
    large: float = 0.1
    reset_every: int = 3000


class DefaultDensification:
    """Clone, split, prune and reset, as 3D Gaussian Splatting does it, within a budget.

    While the budget does not bind, every Gaussian over the gradient threshold is cloned or split; where it
    does, those with the largest gradients go first. Several processes decide over all Gaussians together, and each
    changes its own.
    """

    columns: ClassVar[tuple[str, ...]] = ("lengths", "seen")

    def __init__(self, model: GaussianModel, growth: Growth, thresholds: Thresholds | None = None) -> None:
        self.model = model
        self.growth = growth
        self.thresholds = thresholds or Thresholds()
        self.step = 0  # of one photograph each
        self.initial = model.rows.total(len(model))
        self._forget_gradients(len(model))

    def before_render(self, context: Context) -> None:
        """Nothing."""

    def after_backward(self, rendering: Rendering, context: Context) -> Change | None:
        """Gather screen gradients; every so often change the rows."""
        self.step += context.batches
        if context.progress >= self.growth.stop:
            return None
        self._gather(rendering)
        change = None
        if self.growth.due(self.step, context):
            change = self._densified(context)
            self._forget_gradients(change.sources.shape[0])
        if completed(self.thresholds.reset_every, self.step, context):
            change = self._reset(change)
        return change

    def after_step(self, context: Context) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Counters and the gradients gathered since the last act."""
        return {"step": self.step, "initial": self.initial, "lengths": self.lengths, "seen": self.seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.step, self.initial = int(state["step"]), int(state["initial"])
        self.lengths, self.seen = state["lengths"].clone(), state["seen"].clone()

    def _forget_gradients(self, count: int) -> None:
        self.lengths = self.model.means.new_zeros(count)
        self.seen = self.model.means.new_zeros(count)

    @torch.no_grad()
    def _gather(self, rendering: Rendering) -> None:
        if len(self.seen) != len(self.model):  # another controller has dropped rows since: none has a gradient yet
            self._forget_gradients(len(self.model))
        trace = rendering.trace
        for rows, visible, (across, down) in zip(trace["rows"], trace["visible"], trace["units"], strict=True):
            if rows.grad is None:
                continue
            # The loss is a mean over a process's batch; 3DGS's threshold is meant for a batch of one.
            x, y = (rows.grad[:, :2] * trace["batch"]).unbind(-1)
            self.lengths += torch.hypot(x * across, y * down)
            self.seen += visible

    @torch.no_grad()
    def _densified(self, context: Context) -> Change:
        scale, rows = self.model.scene_scale, self.model.rows
        own = (self.model.log_scales.amax(-1), self.model.opacity_logits, self.lengths / self.seen.clamp(min=1))
        log_largest, logits, gradients = rows.whole(torch.stack(own, -1)).unbind(-1)
        largest, kept = log_largest.exp(), logits.sigmoid() >= self.thresholds.opacity
        if self.step > self.thresholds.reset_every:
            kept &= largest <= self.thresholds.large * scale
        chosen = self._chosen(kept, gradients, context.progress)
        small = largest <= self.thresholds.small * scale
        return _change(self.model, kept, chosen & small, chosen & ~small, context.generator)

    def _chosen(self, kept: Bool[Tensor, " N"], gradients: Float[Tensor, " N"], progress: float) -> Bool[Tensor, " N"]:
        """The Gaussians to clone or split: over the threshold, the largest gradients first."""
        wanted = (kept & (gradients > self.thresholds.gradient)).nonzero().squeeze(-1)
        room = max(0, self.growth.allowed(self.initial, progress) - int(kept.sum()))
        if len(wanted) > room:
            wanted = wanted[gradients[wanted].argsort(descending=True, stable=True)[:room]]
        chosen = torch.zeros_like(kept)
        chosen[wanted] = True
        return chosen

    @torch.no_grad()
    def _reset(self, change: Change | None) -> Change:
        """No opacity stays above twice the pruning threshold: what is needed comes back, floaters do not."""
        if change is None:
            everyone = torch.arange(len(self.model), device=self.model.means.device)
            change = Change(everyone, torch.zeros_like(everyone, dtype=torch.bool))
        ceiling = torch.tensor(2 * self.thresholds.opacity, dtype=torch.float64).logit()
        logits = self.model.opacity_logits[change.sources].clamp(max=float(ceiling))
        values = {**change.values, "opacity_logits": logits}
        return Change(change.sources, change.fresh, values, change.forget | {"opacity_logits"})


def _change(
    model: GaussianModel,
    kept: Bool[Tensor, " N"],
    cloned: Bool[Tensor, " N"],
    split: Bool[Tensor, " N"],
    generator: torch.Generator | None,
) -> Change:
    """Rows in the order: what stays as it is, the clones, the first halves, the second halves; ours of these."""
    stays, clones, halves = (mask.nonzero().squeeze(-1) for mask in (kept & ~split, cloned, split))
    every = torch.cat([stays, clones, halves, halves])
    place = torch.arange(len(every), device=every.device)
    noise = torch.randn((2 * len(halves), 3), generator=generator, device=every.device, dtype=model.means.dtype)
    ours, sources = model.rows.follow(every)
    place = place[ours]
    begin = len(stays) + len(clones)
    halved = place >= begin
    means, log_scales = model.means[sources], model.log_scales[sources]
    means[halved] += _offsets(model, sources[halved], noise[place[halved] - begin])
    log_scales[halved] -= torch.tensor(SPLIT_SHRINK, dtype=log_scales.dtype).log()
    return Change(sources, place >= len(stays), {"means": means, "log_scales": log_scales})


def _offsets(model: GaussianModel, rows: Tensor, noise: Float[Tensor, "M 3"]) -> Float[Tensor, "M 3"]:
    """Points of the Gaussians themselves, relative to their means, from normal numbers."""
    scales = model.log_scales[rows].exp()
    return (matrix_from_quaternion(model.quaternions[rows]) @ (noise * scales)[..., None]).squeeze(-1)
