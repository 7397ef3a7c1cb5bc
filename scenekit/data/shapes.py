"""Analytic shapes: where a ray first meets them, their normals, and their textures. All float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

NEAREST = 1e-4  # rays that start on a surface must not meet it again
Texture = Callable[[Tensor], Tensor]  # positions [R 3] in the shape's own frame to linear colours [R 3]


@dataclass(frozen=True)
class Shape:
    """A surface in its own frame, centred at ``centre`` and turned by ``turn`` radians about z.

    Attributes:
        hit: distances [R] along unit rays (origins, directions); infinite for a miss.
        normal: unit outward normals [R 3] at positions on the surface.
        texture: linear albedo at positions on the surface.
        gloss: strength of the highlight.
        radius: of a sphere about the centre that holds the shape.
        emits: whether the texture is seen as it is, unlit (a sky).
    """

    hit: Callable[[Tensor, Tensor], Tensor]
    normal: Callable[[Tensor], Tensor]
    texture: Texture
    centre: tuple[float, float, float]
    radius: float
    gloss: float = 0.0
    turn: float = 0.0
    emits: bool = False

    @property
    def own_from_world(self) -> Float[Tensor, "3 3"]:
        """Rotation into the shape's frame."""
        c, s = math.cos(self.turn), math.sin(self.turn)
        return torch.tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)

    def local(self, positions: Float[Tensor, "R 3"]) -> Float[Tensor, "R 3"]:
        """World positions in the shape's frame."""
        return (positions - positions.new_tensor(self.centre)) @ self.own_from_world.T


def ball(radius: float, texture: Texture, centre: tuple[float, float, float], gloss: float = 0.0) -> Shape:
    """A sphere."""

    def hit(origins: Tensor, directions: Tensor) -> Tensor:
        b = dot(origins, directions)
        root = b.square() - dot(origins, origins) + radius**2
        real, root = root > 0, root.clamp(min=0).sqrt()
        return _first(-b - root, -b + root, real)

    return Shape(hit, lambda p: p / radius, texture, centre, radius, gloss)


def dome(radius: float, texture: Texture) -> Shape:
    """A sky: a sphere about the origin seen from inside."""

    def hit(origins: Tensor, directions: Tensor) -> Tensor:
        b = dot(origins, directions)
        return -b + (b.square() - dot(origins, origins) + radius**2).sqrt()

    return Shape(hit, lambda p: -p / radius, texture, (0.0, 0.0, 0.0), radius, emits=True)


def box(
    half: tuple[float, float, float],
    texture: Texture,
    centre: tuple[float, float, float],
    gloss: float = 0.0,
    turn: float = 0.0,
) -> Shape:
    """A box with half sides ``half``."""
    sides = torch.tensor(half, dtype=torch.float64)

    def hit(origins: Tensor, directions: Tensor) -> Tensor:
        inverse = 1 / torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)
        middle, reach = -origins * inverse, (sides * inverse).abs()
        near, far = (middle - reach).amax(-1), (middle + reach).amin(-1)
        return _first(near, far, near < far)

    def normal(positions: Tensor) -> Tensor:
        scaled = positions / sides
        face = scaled.abs().argmax(-1, keepdim=True)
        return torch.zeros_like(positions).scatter(-1, face, scaled.gather(-1, face).sign())

    return Shape(hit, normal, texture, centre, math.hypot(*half), gloss, turn)


def drum(
    radius: float,
    half_height: float,
    texture: Texture,
    centre: tuple[float, float, float],
    gloss: float = 0.0,
) -> Shape:
    """An upright cylinder with caps."""

    def hit(origins: Tensor, directions: Tensor) -> Tensor:
        a = dot(directions[:, :2], directions[:, :2]).clamp(min=1e-18)
        b = dot(origins[:, :2], directions[:, :2])
        root = (b.square() - a * (dot(origins[:, :2], origins[:, :2]) - radius**2)).clamp(min=0)
        real = (root > 0) | (a <= 1e-18)
        root = root.sqrt()
        rise = torch.where(directions[:, 2].abs() < 1e-12, directions[:, 2].new_tensor(1e-12), directions[:, 2])
        middle, reach = -origins[:, 2] / rise, (half_height / rise).abs()
        near = torch.maximum((-b - root) / a, middle - reach)
        far = torch.minimum((-b + root) / a, middle + reach)
        return _first(near, far, real & (near < far))

    def normal(positions: Tensor) -> Tensor:
        around = torch.cat([positions[:, :2] / radius, torch.zeros_like(positions[:, :1])], -1)
        up = torch.zeros_like(positions)
        up[:, 2] = positions[:, 2].sign()
        cap = positions[:, 2].abs() / half_height >= positions[:, :2].norm(dim=-1) / radius
        return torch.where(cap[:, None], up, around)

    return Shape(hit, normal, texture, centre, math.hypot(radius, half_height), gloss)


def ring(
    radius: float, thickness: float, texture: Texture, centre: tuple[float, float, float], gloss: float = 0.0
) -> Shape:
    """A torus that stands upright, its axis along x; met from outside by sphere tracing, then Newton."""

    def gap(positions: Tensor) -> Tensor:
        x, y, z = positions.unbind(-1)
        return torch.hypot(x, torch.hypot(y, z) - radius) - thickness

    def polished(origins: Tensor, directions: Tensor, distances: Tensor) -> Tensor:
        """Newton's method from just outside; a ray that only grazes finds no root."""
        for _ in range(6):
            positions = origins + distances[:, None] * directions
            slope = dot(normal(positions), directions)
            distances = distances - gap(positions) / slope.clamp(max=-1e-6)
        missed = gap(origins + distances[:, None] * directions).abs() > 1e-9
        return distances.masked_fill(missed, torch.inf)

    def hit(origins: Tensor, directions: Tensor) -> Tensor:
        found = torch.full_like(origins[:, 0], torch.inf)
        distances = (-dot(origins, directions) - (radius + thickness)).clamp(min=NEAREST)
        end = distances + 2 * (radius + thickness)
        rows = torch.arange(len(origins))
        for _ in range(40):
            positions = origins[rows] + distances[:, None] * directions[rows]
            step = gap(positions)
            # A ray that leaves the surface may meet it again on the far side of the hole.
            close = (step < 1e-3) & (dot(normal(positions), directions[rows]) < 0)
            distances = distances + step.clamp(min=1e-4)
            found[rows[close]] = distances[close]
            going = ~close & (distances < end)
            rows, distances, end = rows[going], distances[going], end[going]
            if not len(rows):
                break
        rows = found.isfinite().nonzero().squeeze(-1)
        found[rows] = polished(origins[rows], directions[rows], found[rows])
        return found

    def normal(positions: Tensor) -> Tensor:
        core = torch.nn.functional.normalize(positions * positions.new_tensor([0.0, 1.0, 1.0]), dim=-1)
        return torch.nn.functional.normalize(positions - radius * core, dim=-1)

    return Shape(hit, normal, texture, centre, radius + thickness, gloss)


def dot(first: Tensor, second: Tensor) -> Tensor:
    """Inner products of short rows [R k]: column by column is several times faster than a reduction."""
    result = first[:, 0] * second[:, 0]
    for axis in range(1, first.shape[1]):
        result = torch.addcmul(result, first[:, axis], second[:, axis])
    return result


def _first(near: Tensor, far: Tensor, meets: Tensor) -> Tensor:
    """Where a ray enters a convex shape, or leaves it if it started inside; infinite where it misses."""
    entered = torch.where(near > NEAREST, near, far)
    return torch.where(meets & (entered > NEAREST), entered, torch.inf)


def mix(first: tuple[float, float, float], second: tuple[float, float, float], weight: Tensor) -> Tensor:
    """Blend two linear colours by weights [R] in [0, 1]."""
    low, high = weight.new_tensor(first), weight.new_tensor(second)
    return low + weight[:, None] * (high - low)


def soft_step(value: Tensor, width: float) -> Tensor:
    """From 0 to 1 as ``value`` crosses zero, over about ``width``."""
    return torch.sigmoid(4 * value / width)
