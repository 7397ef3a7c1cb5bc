"""Which samples are compared: the bright ones, and of the dark ones a few for all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scenekit.core.cameras import Pixels
from scenekit.core.context import Context
from scenekit.core.rays import Rays, Samples, Way
from scenekit.distill.thinning import DIM, thin_light, thinned
from scenekit.kernels.composite import composite_light
from scenekit.kernels.march import Marched
from scenekit.kernels.rays import rays_of
from scenekit.kernels.step_alphas import step_alphas
from scenekit.renderers.early_stop import owners, samples_at
from scenekit.renderers.room import SEARCHED
from scenekit.renderers.volume import VolumeRenderer, lit
from tests.distill.teachers import Ball, ball_renderer, ring

ROWS = 300  # of which the last belong to no ray


def context(seed: int = 0) -> Context:
    return Context(True, torch.Generator().manual_seed(seed), 1.0)


def packed() -> tuple[Marched, Tensor]:
    """Fifty rays of none to eight samples, and chances of all kinds."""
    generator = torch.Generator().manual_seed(1)
    counts = torch.randint(0, 9, (50,), generator=generator)
    used = int(counts.sum())
    there = torch.arange(ROWS) < used
    owner = torch.cat([torch.repeat_interleave(counts), torch.full((ROWS - used,), 49)])
    marched = Marched(
        (torch.rand(ROWS, generator=generator) + 1) * there,
        torch.full((ROWS,), 0.1) * there,
        torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]),
        torch.tensor(used),
        torch.zeros(50, dtype=torch.bool),
        owner,
    )
    return marched, torch.rand(ROWS, generator=generator)


def seen_by(renderer: VolumeRenderer, count: int) -> tuple[Rays, Way]:
    """Random rays of the ring's cameras, and where they are marched."""
    cameras, generator = ring().to(dtype=torch.float32), torch.Generator().manual_seed(2)
    slots = torch.randint(len(cameras), (count,), generator=generator)
    positions = torch.rand(count, 2, generator=generator) * torch.tensor(cameras.sizes[0])
    rays = rays_of(cameras, Pixels(slots, positions))
    return rays, renderer.way(rays, context())


def test_in_rows_that_are_given_the_same_samples_are_kept_as_without() -> None:
    marched, chance = packed()
    free = thinned(marched, chance, None, context())
    within = thinned(marched, chance, ROWS, context())
    used = len(free.distances)
    assert 0 < used < int(marched.offsets[-1])
    assert torch.equal(within.distances[:used], free.distances)
    assert torch.equal(within.deltas[:used], free.deltas)
    assert torch.equal(within.offsets, free.offsets)
    assert within.owners is not None
    assert torch.equal(within.owners[:used], owners(free))
    assert not within.deltas[used:].any()
    assert within.needed == used


def test_rays_that_have_no_room_are_left_out_whole_and_told() -> None:
    marched, chance = packed()
    free, tight = thinned(marched, chance, None, context()), thinned(marched, chance, 40, context())
    assert tight.left_out is not None
    assert 0 < int(tight.left_out.sum()) < 50
    served = ~tight.left_out
    assert torch.equal(served, free.offsets[1:] <= 40)
    used = int(tight.offsets[-1])
    assert used == int(free.offsets[1:][served].amax())
    assert torch.equal(tight.offsets.diff()[served], free.offsets.diff()[served])
    assert not tight.offsets.diff()[tight.left_out].any()
    assert torch.equal(tight.distances[:used], free.distances[:used])


def test_what_is_certain_stays_as_it_is_and_what_has_no_chance_goes() -> None:
    marched, _ = packed()
    used = int(marched.offsets[-1])
    all_of_them = thinned(marched, torch.ones(ROWS), None, context())
    assert torch.equal(all_of_them.distances, marched.distances[:used])
    assert torch.equal(all_of_them.deltas, marched.deltas[:used])
    assert len(thinned(marched, torch.zeros(ROWS), None, context()).distances) == 0


def test_the_length_of_a_ray_is_the_same_in_the_mean() -> None:
    marched, chance = packed()
    chance = chance.clamp(min=DIM)
    draws = torch.stack([thinned(marched, chance, ROWS, context(seed)).deltas.sum() for seed in range(400)])
    whole = float(marched.deltas.sum())
    # A kept step of chance p varies by delta^2 (1 / p - 1).
    spread = float((marched.deltas.square() * (1 / chance - 1)).sum().sqrt())
    assert abs(float(draws.mean()) - whole) < 4 * spread / 20


@pytest.mark.parametrize("room", [None, 2**14])
def test_bright_samples_are_all_there_and_most_dark_ones_are_not(room: int | None) -> None:
    teacher = ball_renderer(density=30.0)
    rays, way = seen_by(teacher, 400)
    light, thin = lit(teacher.field, rays, way), thin_light(teacher.field, rays, way, room, 0, 0.02, context())
    density, _ = teacher.field.density(samples_at(rays, owners(light), light.distances, light.deltas))
    alphas = step_alphas(density, light.deltas)
    weights = composite_light(alphas, light.distances, light.offsets).weights

    def names(marched: Marched, which: Tensor) -> set[tuple[int, float]]:
        return set(zip(owners(marched)[which].tolist(), marched.distances[which].tolist(), strict=True))

    bright, dark = names(light, weights >= 0.02), names(light, weights < 1e-4)
    kept = names(thin, thin.deltas > 0)
    assert len(bright) > 100
    assert len(dark) > 100
    assert bright <= kept <= names(light, light.deltas > 0)
    assert 0 < len(dark & kept) < 2 * DIM * len(dark)


class Untraced(Ball):
    """A teacher that has no fused path for its tensors, and counts what it is asked."""

    asked = 0

    def trace(self, rays: Rays, way: Way) -> None:
        """No faster way."""

    def reach(self, rays: Rays, way: Way, room: int | None = None) -> None:
        """No faster way."""

    def density(self, samples: Samples) -> tuple[Tensor, Tensor]:
        self.asked += len(samples)
        return super().density(samples)


def test_a_teacher_without_a_fused_path_is_asked_but_once() -> None:
    teacher, rays, way = Untraced(30.0), *seen_by(ball_renderer(), 200)
    thin = thin_light(teacher, rays, way, 1024, 2, 0.02, context())
    assert teacher.asked == SEARCHED * 1024
    assert 0 < int(thin.offsets[-1]) <= 1024
