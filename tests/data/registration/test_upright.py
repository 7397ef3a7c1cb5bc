"""Up and scale: found again after any rotation of the model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scenekit.core.cameras import look_at
from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.data.registration.upright import Distance, upright

Z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
TURNED = Similarity(
    2.5,
    matrix_from_quaternion(torch.tensor([0.3, -0.5, 0.7, 0.2], dtype=torch.float64)),
    torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
)
POINTS = torch.randn(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def ring(height: float) -> dict[str, Tensor]:
    """Cameras all around, level sideways, that look down at the origin."""
    angles = [2 * math.pi * k / 9 for k in range(9)]
    return {
        f"p{k}": look_at(
            torch.tensor([3 * math.cos(a), 3 * math.sin(a), height], dtype=torch.float64), torch.zeros(3).double(), Z
        )
        for k, a in enumerate(angles)
    }


@pytest.mark.parametrize("height", [0.0, 4.0])
def test_up_is_across_the_cameras_sideways_axes(height: float) -> None:
    poses = {name: TURNED.poses(pose) for name, pose in ring(height).items()}
    frame = upright(poses, TURNED.points(POINTS), {})
    up = frame.world_from_model.rotation @ TURNED.rotation @ Z
    torch.testing.assert_close(up, Z)
    assert frame.up_from == "cameras"


def test_forward_facing_cameras_fall_back_on_their_mean_up() -> None:
    forward = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    centres = [torch.tensor([0.0, 0.3 * k, 0.1 * k], dtype=torch.float64) for k in range(5)]
    poses = {str(k): TURNED.poses(look_at(c, c + forward, Z)) for k, c in enumerate(centres)}
    frame = upright(poses, TURNED.points(POINTS), {})
    torch.testing.assert_close(frame.world_from_model.rotation @ TURNED.rotation @ Z, Z)


def test_gravity_outvotes_how_the_cameras_were_held() -> None:
    poses = {name: TURNED.poses(pose) for name, pose in ring(0.0).items()}
    sideways = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    down = -TURNED.rotation @ sideways
    gravity = {name: tuple((pose[:, :3].T @ down).tolist()) for name, pose in poses.items()}
    frame = upright(poses, TURNED.points(POINTS), gravity)  # type: ignore[arg-type]
    torch.testing.assert_close(frame.world_from_model.rotation @ TURNED.rotation @ sideways, Z)
    assert frame.up_from == "gravity"


def test_a_measured_distance_gives_metres() -> None:
    poses = {name: TURNED.poses(pose) for name, pose in ring(0.0).items()}
    frame = upright(poses, TURNED.points(POINTS), {}, Distance("p0", "p3", 1.2))
    moved = frame.world_from_model.poses(torch.stack([poses["p0"], poses["p3"]]))[:, :, 3]
    assert float((moved[0] - moved[1]).norm()) == pytest.approx(1.2)
    assert frame.scale_from == "distance"


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("distance", "found"), [(Distance("p0", "nobody", 1.0), "found nobody"), (Distance("p0", "p1", -1.0), "found -1")]
)
def test_a_distance_that_cannot_be_used_is_refused(distance: Distance, found: str) -> None:
    with pytest.raises(BadInput, match=found):
        upright(ring(0.0), POINTS, {}, distance)
