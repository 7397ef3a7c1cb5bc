"""From where a teacher is looked at: between and around the run's own cameras, never from inside matter.

What no photograph saw a teacher does not know either: poses stay within what the cameras span. Cameras around
something are varied on their hemisphere, cameras side by side within their box, cameras that look outwards between
their neighbours. Poses are drawn where the cameras are, by a generator of that device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.precision import exact_products
from scenekit.core.protocols import Renderer
from scenekit.core.transforms import matrix_from_quaternion, quaternion_from_matrix
from scenekit.data.placement import convergence

Kind = Literal["hemisphere", "forward-facing", "inside-out"]
TURN = math.pi / 20  # PVD-AL's perturbation about each axis
SIDE_BY_SIDE = 0.9  # length of the mean viewing direction from which on cameras face one way
NEIGHBOURS = 5
ROUNDS = 8  # of candidates, before the run's own poses serve
# Pixels a side of the small pictures that tell matter. The splats of a tile of 16 x 16 are blended one after another:
# 234,000 in a single tile take 20 ms of an H200.
LOOK = {"pixels": 16, "images": 128}
MOST_OWN = 256  # of the run's own cameras, however many there are
TOO_NEAR = 0.5  # of the nearest that any of the run's own cameras sees


def kind_of(cameras: Cameras) -> Kind:
    """How cameras stand to what they see."""
    if float(cameras.forward.mean(0).norm()) > SIDE_BY_SIDE:
        return "forward-facing"
    return "inside-out" if _focus(cameras) is None else "hemisphere"


@dataclass(frozen=True)
class PoseSampler:
    """Draws poses like those of ``cameras`` (float32, in ``scene``).

    Attributes:
        cameras: the run's own.
        kind: how they stand.
        clear: which of some cameras stand in the open.
    """

    cameras: Cameras
    kind: Kind
    clear: Callable[[Cameras], Bool[Tensor, " C"]]

    @cached_property
    def focus(self) -> Float[Tensor, "3"] | None:
        """What cameras on a hemisphere look at."""
        return _focus(self.cameras)

    @cached_property
    def spacing(self) -> float:
        """Mean distance from a camera to the nearest other."""
        if len(self.cameras) < 2:
            return 0.1
        apart = torch.cdist(self.cameras.centres, self.cameras.centres)
        apart.fill_diagonal_(torch.inf)
        return float(apart.amin(1).mean())

    def draw(self, count: int, generator: torch.Generator) -> Cameras:
        """New cameras in the open; the run's own where none are found."""

        def candidates(missing: int) -> Cameras:
            with exact_products(generator.device):
                return self._candidates(missing, generator)

        return self._accepted(candidates, count, generator)

    def near(self, cameras: Cameras, generator: torch.Generator) -> Cameras:
        """These cameras, each moved and turned a little; those that would enter matter stay where they are."""
        poses = cameras.world_from_camera
        with exact_products(generator.device):
            turned = poses[..., :3] @ _wobble(len(cameras), generator)
            centres = poses[..., 3] + self.spacing * (_uniform((len(cameras), 3), generator) - 0.5)
            if self.kind == "hemisphere" and self.focus is not None:  # about that, so that it stays in the picture
                turn = _wobble(len(cameras), generator)
                turned = turn @ poses[..., :3]
                centres = self.focus + (turn @ (poses[..., 3] - self.focus)[..., None]).squeeze(-1)
        moved = replace(cameras, world_from_camera=torch.cat([turned, centres[..., None]], -1))
        clear = self.clear(moved)[:, None, None]
        return replace(moved, world_from_camera=torch.where(clear, moved.world_from_camera, poses))

    def _accepted(self, candidates: Callable[[int], Cameras], count: int, generator: torch.Generator) -> Cameras:
        poses, donors = [self.cameras.world_from_camera[:0]], [self.cameras.intrinsics[:0]]
        sizes: list[tuple[int, int]] = []
        for _ in range(ROUNDS):
            missing = count - len(sizes)
            if missing == 0:
                break
            found = candidates(missing)
            found = found[self.clear(found).nonzero().squeeze(-1).tolist()]
            poses.append(found.world_from_camera)
            donors.append(found.intrinsics)
            sizes += found.sizes
        own = self.cameras[_below(len(self.cameras), (count - len(sizes),), generator).tolist()]
        return Cameras(
            torch.cat([*poses, own.world_from_camera]),
            torch.cat([*donors, own.intrinsics]),
            (*sizes, *own.sizes),
        )

    def _candidates(self, count: int, generator: torch.Generator) -> Cameras:
        first = _below(len(self.cameras), (count,), generator)
        second = self._neighbours(first, generator)
        share = 1.4 * _uniform((count, 1), generator) - 0.2
        between = _between(self.cameras.world_from_camera, first, second, share)
        rotations, centres = between[..., :3] @ _wobble(count, generator), between[..., 3]
        if self.kind == "forward-facing":
            centres = self._in_their_box(count, generator)
        if self.kind == "hemisphere":
            rotations, centres = self._on_their_hemisphere(rotations, centres, first, generator)
        donors = self.cameras[first.tolist()]
        return Cameras(torch.cat([rotations, centres[..., None]], -1), donors.intrinsics, donors.sizes)

    def _neighbours(self, rows: Int[Tensor, " M"], generator: torch.Generator) -> Int[Tensor, " M"]:
        """For each camera one of those that stand near and look alike."""
        centres, forward = self.cameras.centres, self.cameras.forward
        unlike = torch.cdist(centres[rows], centres) + self.spacing * (1 - forward[rows] @ forward.T)
        count = min(NEIGHBOURS + 1, len(self.cameras))
        nearest = unlike.topk(count, largest=False).indices
        least = min(1, count - 1)  # the nearest is the camera itself
        return nearest.gather(1, least + _below(count - least, (len(rows), 1), generator)).squeeze(1)

    def _in_their_box(self, count: int, generator: torch.Generator) -> Float[Tensor, "M 3"]:
        """Anywhere in the cameras' box, a tenth larger, along the mean camera's axes."""
        axes = self.cameras.world_from_camera[..., :3].mean(0)
        u, _, v = torch.linalg.svd(axes.cpu())
        turn = (u @ v).to(axes.device)
        local = self.cameras.centres @ turn
        low, high = local.amin(0), local.amax(0)
        share = 1.1 * _uniform((count, 3), generator) - 0.05
        return (low + share * (high - low)) @ turn.T

    def _on_their_hemisphere(
        self, rotations: Tensor, centres: Tensor, first: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Back to the cameras' distances; every second one goes to another camera's height."""
        focus = self.focus
        if focus is None:
            return rotations, centres
        offsets = self.cameras.centres - focus
        distances = offsets.norm(dim=-1)
        outward = torch.nn.functional.normalize(centres - focus, dim=-1)
        up = torch.nn.functional.normalize(-self.cameras.world_from_camera[..., 1].mean(0), dim=0)
        other = _below(len(self.cameras), (len(first),), generator)
        rise = (offsets / distances[:, None])[other] @ up
        flat = outward - (outward @ up)[:, None] * up
        length = flat.norm(dim=-1, keepdim=True)
        lifted = rise[:, None] * up + (1 - rise.square()).clamp(min=0).sqrt()[:, None] * flat / length.clamp(min=1e-6)
        wide = (_uniform((len(first),), generator) < 0.5) & (length[:, 0] > 1e-3)
        outward = torch.where(wide[:, None], lifted, outward)
        moved = focus + distances[other][:, None] * outward
        looking = _facing(moved, focus, up) @ _wobble(len(first), generator)
        return torch.where(wide[:, None, None], looking, rotations), moved


def looked_from(cameras: Cameras, views: int, *, shared: bool, photographed: bool) -> tuple[Cameras, int]:
    """The run's own cameras to look from, and with how many of all kinds at a time: ``views`` or more.

    Where both are asked at the same points (``shared``) a pose costs nothing: then as many of the run's own as matter,
    and as many others. Else each is a picture that the teacher must render, and ``photographed`` ones are there: the
    run's own come first, and others only where these are too few. Photographs have corrected the teacher in its own
    views; elsewhere a student learns its errors, too.
    """
    if shared:
        own = spread(cameras, MOST_OWN)
        return own, max(views, 2 * len(own))
    own = cameras if photographed else spread(cameras, views)
    return own, max(views, len(own))


def spread(cameras: Cameras, count: int) -> Cameras:
    """At most ``count`` of them, evenly."""
    wanted = min(len(cameras), max(1, count))
    return cameras[[i * len(cameras) // wanted for i in range(wanted)]]


def pinholes(cameras: Cameras) -> Cameras:
    """The same views without what bends them: a teacher can be looked at through any lens."""
    return replace(cameras, lenses=None, times=None, view_ids=None)


class Clearance:
    """Tells cameras in the open from cameras inside or right before matter, by what they see nearest."""

    def __init__(self, renderer: Renderer, cameras: Cameras) -> None:
        self.renderer = renderer
        nearest = self.nearest(cameras)
        seen = nearest[nearest.isfinite()]
        self.limit = TOO_NEAR * float(seen.min()) if len(seen) else 0.0

    def __call__(self, cameras: Cameras) -> Bool[Tensor, " C"]:
        """Whether at least 19 of 20 pixels see nothing nearer than half of what any own camera sees."""
        return self.nearest(cameras) >= self.limit

    @torch.no_grad()
    def nearest(self, cameras: Cameras) -> Float[Tensor, " C"]:
        """Depth that 19 of 20 pixels lie beyond; infinite where they see nothing."""
        side = LOOK[self.renderer.batching]
        small = cameras.resized([(side, side)] * len(cameras))
        if self.renderer.batching == "pixels":
            return self._nearest(small)
        return torch.cat([self._nearest(small[index]) for index in range(len(small))])

    def _nearest(self, small: Cameras) -> Float[Tensor, " C"]:
        rendering = self.renderer.render(small)
        assert rendering.depth is not None
        depth = torch.where(rendering.opacity > 0.5, rendering.depth, torch.inf).flatten(1)
        return depth.kthvalue(depth.shape[1] // 20, dim=1).values


def _between(poses: Tensor, first: Tensor, second: Tensor, share: Tensor) -> Float[Tensor, "M 3 4"]:
    """Centres on the line, rotations on the great circle (nearly) between two poses."""
    centres = torch.lerp(poses[first, :, 3], poses[second, :, 3], share)
    one, other = quaternion_from_matrix(poses[first, :, :3]), quaternion_from_matrix(poses[second, :, :3])
    other = torch.where((one * other).sum(-1, keepdim=True) < 0, -other, other)
    return torch.cat([matrix_from_quaternion(torch.lerp(one, other, share)), centres[..., None]], -1)


def _wobble(count: int, generator: torch.Generator) -> Float[Tensor, "M 3 3"]:
    """Small random rotations."""
    angles = TURN * (2 * _uniform((count, 3), generator) - 1)
    return matrix_from_quaternion(torch.cat([torch.ones_like(angles[:, :1]), angles / 2], -1))


def _facing(centres: Tensor, focus: Tensor, up: Tensor) -> Float[Tensor, "M 3 3"]:
    forward = torch.nn.functional.normalize(focus - centres, dim=-1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=-1)
    return torch.stack([right, torch.linalg.cross(forward, right), forward], -1)


def _focus(cameras: Cameras) -> Float[Tensor, "3"] | None:
    """Found in main memory: a GPU takes longer to begin with a matrix of nine numbers."""
    found = convergence(cameras.to("cpu"))
    return None if found is None else found.to(cameras.intrinsics.device)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _below(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(count, shape, generator=generator, device=generator.device)
