"""What to look at next: poses and rays on which the student was wrong come again (PVD-AL, levels one and two)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.distill.poses import PoseSampler
from scenekit.kernels import PixelsAt, pixel_numbers, pixels_at
from scenekit.training.ray_budget import RayBudget

RENEWED = 0.1  # of the poses that are not the run's own, each time
HARDEST = 0.1  # of a batch's rays that are remembered, and of a batch that is remembered ones
REMEMBERED = 16384  # rays
NOTED_EVERY = 4  # steps: finding the hardest rays of one costs a tenth of it


class PosePool:
    """Poses in slots; the first ``own`` are the run's and stay, some of the others are exchanged now and then.

    With ``active`` the easiest go and perturbed copies of the hardest come; without, any go and random ones come.
    A slot keeps its intrinsics and its size. ``cameras`` are others after an exchange, and the same until then.
    """

    def __init__(
        self, own: Cameras, sampler: PoseSampler, count: int, active: bool, generator: torch.Generator
    ) -> None:
        drawn = sampler.draw(max(0, count - len(own)), generator)
        self.own = len(own)
        self.sampler = sampler
        self.active = active
        self.cameras = Cameras.joined([own, drawn])
        self.errors = self.cameras.intrinsics.new_zeros(len(self.cameras))

    def note(
        self, slots: Int[Tensor, " R"], errors: Float[Tensor, " R"], judged: Bool[Tensor, " R"] | None = None
    ) -> None:
        """What rays of these slots cost, those of them that were judged; a slot remembers mostly the last time.

        Nothing asks for that where poses are exchanged at random.
        """
        if not self.active:
            return
        weights = torch.ones_like(errors) if judged is None else judged.to(errors.dtype)
        counts = torch.zeros_like(self.errors).index_add_(0, slots, weights)
        sums = torch.zeros_like(self.errors).index_add_(0, slots, errors)
        self.errors = torch.where(counts > 0, 0.3 * self.errors + 0.7 * sums / counts, self.errors)

    def renew(self, generator: torch.Generator) -> Int[Tensor, " M"]:
        """Exchange some poses; returns their slots."""
        free = len(self.cameras) - self.own
        count = round(RENEWED * free)
        if count == 0:
            return torch.zeros(0, dtype=torch.int64, device=self.errors.device)
        if self.active:
            slots = self.own + self.errors[self.own :].argsort(stable=True)[:count]
            hardest = self.errors.argsort(descending=True, stable=True)[:count]
            new = self.sampler.near(self.cameras[hardest.tolist()], generator)
        else:
            slots = self.own + torch.randperm(free, generator=generator, device=self.errors.device)[:count]
            new = self.sampler.draw(count, generator)
        poses = self.cameras.world_from_camera.clone()
        poses[slots] = new.world_from_camera
        self.cameras = replace(self.cameras, world_from_camera=poses)
        # Unknown yet: neither hard nor easy.
        self.errors = self.errors.index_fill(0, slots, self.errors.mean())
        return slots

    def state_dict(self) -> dict[str, Any]:
        """Poses and what they cost."""
        return {"poses": self.cameras.world_from_camera, "errors": self.errors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.cameras = replace(self.cameras, world_from_camera=state["poses"])
        self.errors = state["errors"].clone()


class RaySource(RayBudget):
    """Random pixels of all poses, and with ``active`` a tenth that were hard before. Their number is as in training.

    Pixels are told by their numbers, counted through the pictures of all slots row by row; there are ``count``, those
    of slot s from ``starts[s]`` to ``starts[s + 1]``.
    """

    def __init__(
        self, pool: PosePool, samples: int, active: bool, renew_every: int = 64, *, by_sizes: bool = False
    ) -> None:
        super().__init__(samples, by_sizes=by_sizes)
        self.pool = pool
        self.active = active
        self.renew_every = renew_every
        self.step = 0
        self._device = pool.errors.device
        self._hard = torch.zeros(0, dtype=torch.int64, device=self._device)
        self.starts, self._widths = pixel_numbers(pool.cameras.sizes, self._device)
        self.count = int(self.starts[-1])
        self._nothing = torch.zeros(self.count, 0, dtype=torch.uint8, device=self._device)

    def next(self, generator: torch.Generator) -> Int[Tensor, " R"]:
        """Numbers of pixels."""
        self.step += 1
        if self.step % self.renew_every == 0:
            self._forget(self.pool.renew(generator))
        rays = self.counted()
        numbers = self._below(self.count, rays, generator)
        if self.active and len(self._hard) >= REMEMBERED:
            again = self._below(len(self._hard), int(HARDEST * rays), generator)
            numbers = torch.cat([numbers, self._hard[again]])
        return numbers

    def pixels(self, numbers: Int[Tensor, " R"], values: Shaped[Tensor, "P c"] | None = None) -> PixelsAt:
        """Slots and centres of these pixels, and what pictures of all slots show there."""
        return pixels_at(numbers, self.starts, self._widths, self._nothing if values is None else values)

    def note(
        self,
        numbers: Int[Tensor, " R"],
        slots: Int[Tensor, " R"],
        errors: Float[Tensor, " R"],
        judged: Bool[Tensor, " R"] | None = None,
    ) -> None:
        """Remember the hardest; what was not judged has no error."""
        if self.step % NOTED_EVERY:
            return
        self.pool.note(slots, errors, judged)
        if self.active:
            hard = errors.topk(int(HARDEST * len(errors))).indices
            self._hard = torch.cat([self._hard, numbers[hard]])[-REMEMBERED:]

    def _below(self, limit: int, count: int, generator: torch.Generator) -> Int[Tensor, " M"]:
        return torch.randint(limit, (count,), generator=generator, device=self._device)

    def _forget(self, slots: Int[Tensor, " M"]) -> None:
        """Rays of poses that are gone."""
        self._hard = self._hard[~torch.isin(self.pixels(self._hard).cameras, slots)]

    def state_dict(self) -> dict[str, Any]:
        """The counters and what is remembered."""
        return {"rays": self.rays, "step": self.step, "hard": self._hard}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self.begin(int(state["rays"]))
        self.step = int(state["step"])
        self._hard = state["hard"]
