"""Where up is and how large things are: photographs alone do not say, but their cameras hint at it.

The result is a ``world`` with z up and the middle of what was photographed at the origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity

# Share of the sideways axes' spread that their second direction needs: below, they hardly span a plane.
LEAST_TURN = 0.02
MOST_TILT = 0.7  # cosine between up as seen by the cameras and across their sideways axes


@dataclass(frozen=True)
class Distance:
    """A measured distance between the places from which two photographs were taken."""

    first: str
    second: str
    metres: float


@dataclass(frozen=True)
class Frame:
    """``world_from_model`` and what it rests on: up from "gravity" or "cameras", scale from "distance" or None."""

    world_from_model: Similarity
    up_from: str
    scale_from: str | None


def upright(
    poses: Mapping[str, Float[Tensor, "3 4"]],
    points: Float[Tensor, "N 3"],
    gravity: Mapping[str, tuple[float, float, float]],
    distance: Distance | None = None,
) -> Frame:
    """z up, the points' middle at the origin, and in metres where a distance is given.

    Without one the cameras' mean distance from the middle becomes 1.

    Args:
        poses: model_from_camera (OpenCV axes) of every placed photograph, by name.
        points: in the model.
        gravity: directions in the camera's axes, of photographs that know it.
        distance: measured between two of them.

    Raises BadInput for a distance that names a photograph without a place, or that is no distance.
    """
    stacked = torch.stack(list(poses.values()))
    centres = stacked[:, :, 3]
    known = [name for name in poses if name in gravity]
    if known:
        down = torch.stack([poses[name][:, :3] @ torch.tensor(gravity[name], dtype=torch.float64) for name in known])
        up = -down.median(0).values
    else:
        up = _up_of_cameras(stacked)
    middle = points.median(0).values if len(points) else centres.mean(0)
    scale = 1 / max(float((centres - middle).norm(dim=-1).mean()), 1e-12)
    if distance is not None:
        scale = distance.metres / _apart(poses, distance)
    turn = _turn_to_z(torch.nn.functional.normalize(up, dim=0))
    frame = Similarity.of(scale, middle, turn)
    return Frame(frame, "gravity" if known else "cameras", None if distance is None else "distance")


def _up_of_cameras(poses: Float[Tensor, "C 3 4"]) -> Float[Tensor, "3"]:
    """Across the cameras' sideways axes, which people hold level even where they look down or up.

    Where these hardly turn, or photographs were taken upright and sideways, up is the mean of the cameras' own.
    """
    mean = torch.nn.functional.normalize(-poses[:, :, 1].mean(0), dim=0)
    sideways = poses[:, :, 0]
    values, vectors = torch.linalg.eigh(sideways.T @ sideways / len(sideways))
    if float(values[1]) < LEAST_TURN or float(values[0]) > 0.5 * float(values[1]):
        return mean
    across = vectors[:, 0]
    cosine = float(across @ mean)
    return mean if abs(cosine) < MOST_TILT else across * (1.0 if cosine > 0 else -1.0)


def _turn_to_z(up: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest rotation that takes ``up`` to z (Rodrigues)."""
    z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    axis, cosine = torch.linalg.cross(up, z), float(up @ z)
    if cosine < -1 + 1e-9:
        return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    x, y, w = axis.tolist()
    cross = torch.tensor([[0, -w, y], [w, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + cross + cross @ cross / (1 + cosine)


def _apart(poses: Mapping[str, Float[Tensor, "3 4"]], distance: Distance) -> float:
    for name in (distance.first, distance.second):
        if name not in poses:
            raise BadInput.of(
                "--distance",
                wanted=f"photographs that found their place, such as {next(iter(poses))}",
                found=name,
                remedy="name two of those in the capture's images folder",
            )
    apart = float((poses[distance.first] - poses[distance.second])[:, 3].norm())
    if not (distance.metres > 0 and apart > 1e-9):
        raise BadInput.of(
            "--distance",
            wanted="a positive distance between two different places",
            found=f"{distance.metres:g} between {distance.first} and {distance.second}",
            remedy="measure again",
        )
    return apart
