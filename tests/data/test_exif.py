"""Metadata: focal lengths against cameras whose field of view is known, gravity against how a phone was held."""

from __future__ import annotations

import io
import math
import struct

import pytest
from PIL import Image

from scenekit.data.exif import APPLE, Exif, read_exif

DETAILS = 0x8769


def photograph(details: dict[int, object] | None = None, general: dict[int, object] | None = None) -> Image.Image:
    exif = Image.Exif()
    for key, value in (general or {}).items():
        exif[key] = value
    exif.get_ifd(DETAILS).update(details or {})
    stream = io.BytesIO()
    Image.new("RGB", (400, 300)).save(stream, format="JPEG", exif=exif)
    return Image.open(stream)


def test_a_35_mm_lens_sees_63_degrees_across_the_diagonal() -> None:
    found = read_exif(photograph({0xA405: 35}))
    assert found.focal is not None
    assert math.degrees(2 * math.atan(250 / found.focal)) == pytest.approx(63.4, abs=0.1)


def test_the_focal_length_follows_from_the_sensors_resolution() -> None:
    # 6 mm before a sensor of 8 mm and 400 pixels, in pixels per centimetre
    found = read_exif(photograph({0x920A: 6.0, 0xA20E: 500.0, 0xA210: 3, 0xA002: 400}))
    assert found.focal == pytest.approx(300.0)


def test_a_picture_that_was_shrunk_has_a_shorter_focal_length() -> None:
    found = read_exif(photograph({0x920A: 6.0, 0xA20E: 1000.0, 0xA210: 3, 0xA002: 800}))
    assert found.focal == pytest.approx(300.0)


def test_cameras_are_told_apart_by_maker_model_and_zoom() -> None:
    general: dict[int, object] = {0x010F: "Maker", 0x0110: "Model 1"}
    near = read_exif(photograph({0x920A: 6.0}, general))
    far = read_exif(photograph({0x920A: 12.0}, general))
    assert near.camera == "Maker Model 1 6"
    assert near.camera != far.camera


def test_nothing_is_known_without_metadata() -> None:
    assert read_exif(Image.new("RGB", (4, 4))) == Exif()


@pytest.mark.parametrize(
    ("orientation", "device"),
    [(6, (0.0, -1.0, 0.0)), (1, (-1.0, 0.0, 0.0)), (8, (0.0, 1.0, 0.0)), (3, (1.0, 0.0, 0.0))],
)
def test_gravity_points_down_in_the_upright_picture_however_the_phone_was_held(
    orientation: int, device: tuple[float, float, float]
) -> None:
    note = apple_note(device)
    found = read_exif(photograph({0x927C: note}, {0x0112: orientation}))
    assert found.gravity == pytest.approx((0.0, 1.0, 0.0))


def test_a_phone_that_looks_down_feels_gravity_along_its_view() -> None:
    found = read_exif(photograph({0x927C: apple_note((0.0, 0.0, -1.0))}, {0x0112: 6}))
    assert found.gravity == pytest.approx((0.0, 0.0, 1.0))


def apple_note(device: tuple[float, float, float]) -> bytes:
    entry = struct.pack(">HHII", 8, 10, 3, len(APPLE) + 2 + 12)
    values = struct.pack(">6i", *(number for value in device for number in (round(value * 1000), 1000)))
    return APPLE + struct.pack(">H", 1) + entry + values


@pytest.mark.bad_input
@pytest.mark.parametrize("note", [APPLE, APPLE + b"\xff\xff", APPLE + struct.pack(">HHHII", 1, 8, 10, 3, 10**6)])
def test_a_damaged_maker_note_is_passed_over(note: bytes) -> None:
    assert read_exif(photograph({0x927C: note})).gravity is None


@pytest.mark.bad_input
def test_damaged_metadata_are_told_from_absent_ones() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30)).save(stream, format="JPEG", exif=b"Exif\0\0MM\0\x2a" + b"\xff" * 20)
    assert read_exif(Image.open(stream)) == Exif(damaged=True)
