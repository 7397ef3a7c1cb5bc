"""Lenses that are not pinholes: what ray each pixel sees, exactly.

With ``q`` the undistorted plane point, ``r^2 = |q|^2`` and the radial factor
``R = (1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8) / (1 + d1 r^2 + d2 r^4 + d3 r^6)``, a lens sees ``q`` at the pixel
``f * (q R + tangential + prism) + c`` where, as in OpenCV and COLMAP,
``tangential_x = 2 p1 x y + p2 (r^2 + 2 x^2)``, ``tangential_y = p1 (r^2 + 2 y^2) + 2 p2 x y`` and
``prism = (s1 r^2, s2 r^2)``. The plane is (x/z, y/z) for a perspective lens and the unit direction in the image times
the angle to the axis for an equidistant one (Kannala and Brandt 2006, "fisheye"; "thin prism fisheye").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

KINDS = ("perspective", "equidistant", "equirectangular", "orthographic")
COEFFICIENTS = ("k1", "k2", "k3", "k4", "d1", "d2", "d3", "p1", "p2", "s1", "s2")
NEWTON_STEPS = 8


@dataclass(frozen=True)
class Lens:
    """How one camera bends light; fx, fy, cx, cy stand in the camera's intrinsics.

    Attributes:
        kind: perspective, equidistant (fisheye), equirectangular (a whole panorama), or orthographic (fx and fy in
            pixels per unit of length).
        distortion: k1 .. k4, d1 .. d3, p1, p2, s1, s2 of the equations above.
    """

    kind: str
    distortion: tuple[float, ...] = (0.0,) * len(COEFFICIENTS)

    @classmethod
    def of(cls, kind: str, **coefficients: float) -> Lens:
        """By the names of the coefficients that are not 0. Raises ValueError for an unknown kind or name."""
        unknown = set(coefficients) - set(COEFFICIENTS)
        if kind not in KINDS or unknown:
            raise ValueError(f"lens: wanted one of {KINDS} with {COEFFICIENTS}, found {kind} with {sorted(unknown)}")
        return cls(kind, tuple(coefficients.get(name, 0.0) for name in COEFFICIENTS))


PINHOLE = Lens("perspective")


def distorted(plane: Float[Tensor, "R 2"], distortion: Float[Tensor, "11"]) -> Float[Tensor, "R 2"]:
    """Where a point of the undistorted plane is seen, before focal length and principal point."""
    k1, k2, k3, k4, d1, d2, d3, p1, p2, s1, s2 = distortion.unbind(-1)
    x, y = plane.unbind(-1)
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))) / (1 + r2 * (d1 + r2 * (d2 + r2 * d3)))
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + s1 * r2
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y + s2 * r2
    return torch.stack([u, v], -1)


def undistorted(seen: Float[Tensor, "R 2"], distortion: Float[Tensor, "11"]) -> Float[Tensor, "R 2"]:
    """Undo :func:`distorted` by Newton's method from the seen point itself."""
    plane = seen
    for _ in range(NEWTON_STEPS):
        error_u, error_v = (distorted(plane, distortion) - seen).unbind(-1)
        u_x, u_y, v_x, v_y = _slopes(plane, distortion)
        determinant = u_x * v_y - u_y * v_x
        safe = torch.where(determinant.abs() < 1e-9, torch.ones_like(determinant), determinant)
        step_x = (v_y * error_u - u_y * error_v) / safe
        step_y = (u_x * error_v - v_x * error_u) / safe
        # A step longer than a quarter of the plane's unit would leave the part where the lens is one to one.
        plane = plane - torch.stack([step_x, step_y], -1).clamp(-0.25, 0.25)
    return plane


def _slopes(plane: Float[Tensor, "R 2"], distortion: Float[Tensor, "11"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives of :func:`distorted`: u by x, u by y, v by x, v by y."""
    k1, k2, k3, k4, d1, d2, d3, p1, p2, s1, s2 = distortion.unbind(-1)
    x, y = plane.unbind(-1)
    r2 = x * x + y * y
    above, below = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4))), 1 + r2 * (d1 + r2 * (d2 + r2 * d3))
    radial = above / below
    growth = (k1 + r2 * (2 * k2 + r2 * (3 * k3 + r2 * 4 * k4)) - radial * (d1 + r2 * (2 * d2 + r2 * 3 * d3))) / below
    u_x = radial + 2 * x * x * growth + 2 * p1 * y + 6 * p2 * x + 2 * s1 * x
    u_y = 2 * x * y * growth + 2 * p1 * x + 2 * p2 * y + 2 * s1 * y
    v_x = 2 * x * y * growth + 2 * p1 * x + 2 * p2 * y + 2 * s2 * x
    v_y = radial + 2 * y * y * growth + 6 * p1 * y + 2 * p2 * x + 2 * s2 * y
    return u_x, u_y, v_x, v_y


def sight(
    lens: Lens, intrinsics: Float[Tensor, "*r 4"], size: Float[Tensor, "*r 2"], positions: Float[Tensor, "R 2"]
) -> tuple[Float[Tensor, "R 3"], Float[Tensor, "R 3"], Float[Tensor, " R"]]:
    """The rays of pixel positions in the camera's frame: origins, unit directions, depth per unit of distance.

    ``intrinsics`` and ``size`` (width, height) are one camera's, or one row for each position. Depth is along z, but
    for an equirectangular lens, which has no axis, the distance itself. Gradients reach ``intrinsics``.
    """
    if lens.kind == "equirectangular":
        directions = _around(positions, size)
        return torch.zeros_like(directions), directions, torch.ones_like(directions[:, 0])
    plane = (positions - intrinsics[..., 2:]) / intrinsics[..., :2]
    if lens.kind == "orthographic":
        zero = torch.zeros_like(plane[:, :1])
        return torch.cat([plane, zero], -1), torch.cat([zero, zero, zero + 1], -1), torch.ones_like(plane[:, 0])
    if any(lens.distortion):
        plane = undistorted(plane, plane.new_tensor(lens.distortion))
    if lens.kind == "perspective":
        directions = torch.nn.functional.normalize(torch.cat([plane, torch.ones_like(plane[:, :1])], -1), dim=-1)
    else:
        angle = _length(plane)
        directions = torch.cat([plane * torch.sinc(angle / math.pi), torch.cos(angle)], -1)
    return torch.zeros_like(directions), directions, directions[:, 2]


def _around(positions: Float[Tensor, "R 2"], size: Float[Tensor, "*r 2"]) -> Float[Tensor, "R 3"]:
    """Longitude runs to the right, 0 in the middle; latitude from +90 degrees in the first row (y points down)."""
    longitude = (positions[:, 0] / size[..., 0] - 0.5) * (2 * math.pi)
    latitude = (0.5 - positions[:, 1] / size[..., 1]) * math.pi
    flat = torch.cos(latitude)
    return torch.stack([flat * torch.sin(longitude), -torch.sin(latitude), flat * torch.cos(longitude)], -1)


def seen_at(
    lens: Lens, intrinsics: Float[Tensor, "4"], size: Float[Tensor, "2"], points: Float[Tensor, "R 3"]
) -> Float[Tensor, "R 2"]:
    """Pixel positions of points in the camera's frame, whether they lie in the image or not."""
    x, y, z = points.unbind(-1)
    if lens.kind == "equirectangular":
        longitude, latitude = torch.atan2(x, z), torch.asin((-y / _length(points)[:, 0]).clamp(-1, 1))
        return torch.stack([(longitude / (2 * math.pi) + 0.5) * size[0], (0.5 - latitude / math.pi) * size[1]], -1)
    if lens.kind == "orthographic":
        return points[:, :2] * intrinsics[:2] + intrinsics[2:]
    if lens.kind == "perspective":
        plane = points[:, :2] / z[:, None]
    else:
        flat = _length(points[:, :2])
        plane = points[:, :2] * (torch.atan2(flat, z[:, None]) / flat)
    return distorted(plane, plane.new_tensor(lens.distortion)) * intrinsics[:2] + intrinsics[2:]


def _length(vectors: Float[Tensor, "R D"]) -> Float[Tensor, "R 1"]:
    """Never quite 0, so that its gradient is finite."""
    return (vectors.square().sum(-1, keepdim=True) + 1e-24).sqrt()
