"""Rigid and similar transforms; every transform is named ``a_from_b``, quaternions are wxyz."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


def matrix_from_quaternion(quaternion: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrix of a wxyz quaternion of any length but zero."""
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def quaternion_from_matrix(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Unit wxyz quaternion with w >= 0 of a rotation matrix, stable for every angle.

    The largest of the four squared components is read off the diagonal and the others follow from the
    off-diagonal sums, so that nothing is divided by a small number.
    """
    m = matrix
    diagonal = m.diagonal(dim1=-2, dim2=-1)
    trace = diagonal.sum(-1)
    squares = torch.stack([1 + trace, *(1 - trace + 2 * diagonal[..., i] for i in range(3))], -1)
    skew = (m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1])
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    candidates = torch.stack(
        [
            torch.stack([squares[..., 0], *skew], -1),
            torch.stack([skew[0], squares[..., 1], xy, xz], -1),
            torch.stack([skew[1], xy, squares[..., 2], yz], -1),
            torch.stack([skew[2], xz, yz, squares[..., 3]], -1),
        ],
        -2,
    )
    best = squares.argmax(-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    quaternion = torch.nn.functional.normalize(candidates.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def multiply_quaternions(a: Float[Tensor, "*b 4"], b: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """The Hamilton product ``a b``: turn by ``b``, then by ``a``; lengths multiply."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def invert_rigid(a_from_b: Float[Tensor, "*b 3 4"]) -> Float[Tensor, "*b 3 4"]:
    """``b_from_a`` of a rigid [3 4] transform."""
    rotation = a_from_b[..., :3].transpose(-1, -2)
    return torch.cat([rotation, -rotation @ a_from_b[..., 3:]], -1)


@dataclass(frozen=True)
class Similarity:
    """``y = scale * rotation @ x + translation``, in float64 so that world coordinates survive."""

    scale: float
    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]

    @classmethod
    def identity(cls) -> Similarity:
        """Leave every point where it is."""
        return cls(1.0, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))

    @classmethod
    def of(cls, scale: float = 1.0, centre: Tensor | None = None, rotation: Tensor | None = None) -> Similarity:
        """The similarity that takes ``centre`` to the origin, then turns by ``rotation`` and scales."""
        turn = torch.eye(3, dtype=torch.float64) if rotation is None else rotation.double()
        origin = torch.zeros(3, dtype=torch.float64) if centre is None else centre.double()
        return cls(float(scale), turn, -scale * (turn @ origin))

    @classmethod
    def between(cls, given: Float[Tensor, "N 3"], wanted: Float[Tensor, "N 3"]) -> Similarity:
        """The similarity that takes ``given`` points nearest to ``wanted`` ones in the mean square (Umeyama 1991).

        Points on a line leave the turn about it open; a single point, or coincident ones, give a translation.
        """
        a, b = given.double(), wanted.double()
        middle_a, middle_b = a.mean(0), b.mean(0)
        spread = (a - middle_a).square().sum()
        left, strengths, right = torch.svd((b - middle_b).T @ (a - middle_a))  # right: columns
        signs = torch.ones(3, dtype=torch.float64)
        signs[2] = torch.det(left @ right.T).sign()
        if float(spread) < 1e-18:
            return cls(1.0, torch.eye(3, dtype=torch.float64), middle_b - middle_a)
        rotation = left @ torch.diag(signs) @ right.T
        scale = float((strengths * signs).sum() / spread)
        return cls(scale, rotation, middle_b - scale * (rotation @ middle_a))

    def inverse(self) -> Similarity:
        """The similarity that undoes this one."""
        turn = self.rotation.T
        return Similarity(1 / self.scale, turn, -(turn @ self.translation) / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """``self`` applied to what ``first`` gives."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * (self.rotation @ first.translation) + self.translation,
        )

    def points(self, points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
        """Move points; the computation is float64 and the result has the dtype of ``points``."""
        moved = self.scale * (points.double() @ self.rotation.to(points.device).T)
        return (moved + self.translation.to(points.device)).to(points.dtype)

    def poses(self, b_from_camera: Float[Tensor, "*b 3 4"]) -> Float[Tensor, "*b 3 4"]:
        """Move camera poses: the rotation turns, the centre moves, the camera's own axes keep unit length."""
        turned = self.rotation.to(b_from_camera.device) @ b_from_camera[..., :3].double()
        centres = self.points(b_from_camera[..., 3].double())
        return torch.cat([turned, centres[..., None]], -1).to(b_from_camera.dtype)

    def to_json(self) -> dict[str, object]:
        """Plain numbers, for recipes."""
        return {
            "scale": self.scale,
            "rotation": [[float(value) for value in row.unbind()] for row in self.rotation.unbind()],
            "translation": [float(value) for value in self.translation.unbind()],
        }

    @classmethod
    def from_json(cls, values: dict[str, object]) -> Similarity:
        """Read what :meth:`to_json` wrote; raises ValueError for what is no similarity."""
        try:
            scale = float(values["scale"])  # type: ignore[arg-type]
            rotation = torch.tensor(values["rotation"], dtype=torch.float64)
            translation = torch.tensor(values["translation"], dtype=torch.float64)
        except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        if rotation.shape != (3, 3) or translation.shape != (3,):
            raise ValueError(f"a rotation of shape {list(rotation.shape)}, a translation of {list(translation.shape)}")
        if not 0 < scale < math.inf or not bool(rotation.isfinite().all() and translation.isfinite().all()):
            raise ValueError("a scale that is not positive, or numbers that are not finite")
        return cls(scale, rotation, translation)
