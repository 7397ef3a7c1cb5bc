"""Undistortion: every model COLMAP knows becomes a pinhole that sees valid pixels only."""

from __future__ import annotations

import numpy as np
import pytest

from scenekit.data.images import undistort
from scenekit.data.lens import Lens, source_positions, undistorted

SIZE = (160, 120)
LENSES = [
    Lens("SIMPLE_RADIAL", SIZE, (130.0, 80.0, 60.0, -0.1)),
    Lens("RADIAL", SIZE, (130.0, 81.0, 59.0, 0.1, 0.02)),
    Lens("OPENCV", SIZE, (130.0, 131.0, 78.0, 62.0, 0.06, -0.08, -0.001, 0.0002)),
    Lens("FULL_OPENCV", SIZE, (130.0, 131.0, 80.0, 60.0, 0.1, 0.01, 0.001, 0.0, 0.0, 0.02, 0.0, 0.0)),
    Lens("OPENCV_FISHEYE", SIZE, (70.0, 70.0, 80.0, 60.0, 0.02, 0.001, 0.0, 0.0)),
    Lens("SIMPLE_RADIAL_FISHEYE", SIZE, (70.0, 80.0, 60.0, 0.03)),
    Lens("RADIAL_FISHEYE", SIZE, (70.0, 80.0, 60.0, 0.03, 0.001)),
    Lens("FOV", SIZE, (90.0, 90.0, 80.0, 60.0, 0.9)),
    Lens("THIN_PRISM_FISHEYE", SIZE, (70.0, 70.0, 80.0, 60.0, 0.02, 0.0, 1e-3, 0.0, 0.0, 0.0, 1e-4, 0.0)),
]
every_lens = pytest.mark.parametrize("lens", LENSES, ids=lambda lens: lens.model)


def pixel_centres(size: int) -> np.ndarray:
    return np.arange(size) + 0.5


@every_lens
def test_every_pixel_comes_from_inside_the_photograph_and_no_smaller_focal_length_would_do(
    lens: Lens,
) -> None:
    pinhole = undistorted(lens)
    assert pinhole.size == lens.size
    assert pinhole.intrinsics[2:] == lens.intrinsics[2:]
    source = source_positions(lens, pinhole, pixel_centres(SIZE[0]), pixel_centres(SIZE[1]))
    assert (source >= 0.5 - 1e-3).all()
    assert (source <= np.array(SIZE) - 0.5 + 1e-3).all()
    margin = min(source.min(), (np.array(SIZE) - source).min()) - 0.5
    diagonal = np.hypot(max(lens.intrinsics[2], 80) / pinhole.intrinsics[0], 60 / pinhole.intrinsics[1])
    assert margin < 0.05 or diagonal > np.tan(np.radians(59)) or pinhole.intrinsics[0] <= 0.51 * lens.intrinsics[0]


@every_lens
def test_a_straight_line_becomes_straight(lens: Lens) -> None:
    """A photograph painted as a linear function of the pinhole's pixels is undone exactly."""
    pinhole = undistorted(lens)
    camera = lens.camera()
    u, v = np.meshgrid(pixel_centres(SIZE[0]), pixel_centres(SIZE[1]))
    rays = np.asarray(camera.cam_from_img(np.stack([u, v], -1).reshape(-1, 2))).reshape(*u.shape, 2)
    fx, _, cx, _ = pinhole.intrinsics
    painted = np.clip(128 + 0.5 * (rays[..., 0] * fx + cx - 80), 0, 255)
    image = np.repeat(painted[..., None], 3, -1).round().astype(np.uint8)
    result = undistort(image, lens)[..., 0].astype(float)
    wanted = np.broadcast_to(128 + 0.5 * (u[0] - 80), result.shape)
    assert np.abs(result - wanted).max() <= 1.5


@every_lens
def test_resizing_a_lens_scales_what_is_measured_in_pixels(lens: Lens) -> None:
    half = lens.resized((80, 60))
    assert half.intrinsics == pytest.approx([value / 2 for value in lens.intrinsics])


def test_a_pinhole_is_left_as_it_is() -> None:
    lens = Lens("SIMPLE_PINHOLE", SIZE, (100.0, 81.0, 59.0))
    assert undistorted(lens) == Lens.pinhole(SIZE, 100.0, 100.0, 81.0, 59.0)


def test_a_white_photograph_has_no_dark_border() -> None:
    for lens in LENSES:
        assert undistort(np.full((SIZE[1], SIZE[0], 3), 255, np.uint8), lens).min() == 255


@pytest.mark.bad_input
def test_a_lens_with_too_few_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="OPENCV"):
        undistorted(Lens("OPENCV", SIZE, (100.0, 100.0)))
