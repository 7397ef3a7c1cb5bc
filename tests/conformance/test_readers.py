"""Every reader reads back the same small capture, and refuses what is no capture in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.data import READERS, open_capture
from scenekit.data.readers import read_listing
from tests.data.captures import SIZE, sample
from tests.data.captures import WRITERS as OWN_WRITERS
from tests.data.other_programs import OTHER_WRITERS

WRITERS = OWN_WRITERS | OTHER_WRITERS

DAMAGEABLE = (".json", ".npy", ".out", ".xml", ".csv")
every_reader = pytest.mark.parametrize("name", READERS)


def stems(name: str) -> list[str]:
    """What the photographs of the sample are called, less their extension: Record3D numbers them."""
    return [f"{i:06d}" for i in range(len(sample()))] if name == "record3d" else list(sample().names)


@pytest.fixture
def written(name: str, tmp_path: Path) -> Path:
    return WRITERS[name](tmp_path / "capture", sample())


def test_every_reader_has_a_writer_in_the_tests() -> None:
    assert set(WRITERS) == set(READERS)


@every_reader
def test_the_right_reader_recognises_a_capture(name: str, written: Path) -> None:
    assert read_listing(written).format == name


@every_reader
def test_cameras_and_images_come_back(name: str, written: Path) -> None:
    capture, wanted = open_capture(written), sample()
    order = {Path(n).stem: i for i, n in enumerate(capture.names)}
    rows = [order[n] for n in stems(name)]
    assert len(capture) == len(wanted)
    assert capture.cameras.world_from_camera.dtype == torch.float64
    torch.testing.assert_close(capture.cameras.world_from_camera[rows], wanted.cameras.world_from_camera)
    torch.testing.assert_close(capture.cameras.intrinsics[rows], wanted.cameras.intrinsics)
    assert all(torch.equal(capture.images[r], image) for r, image in zip(rows, wanted.images, strict=True))


@every_reader
def test_the_split_holds_out_every_eighth_or_is_the_captures_own(name: str, written: Path) -> None:
    capture = open_capture(written)
    held_out = {Path(capture.names[i]).stem for i in capture.test}
    assert held_out == {stems(name)[i] for i in sample().test}
    assert not set(capture.train) & set(capture.test)
    assert sorted(capture.names) == list(capture.names)


@every_reader
def test_shrinking_keeps_the_rays(name: str, written: Path) -> None:
    capture = open_capture(written, downscale=2.0)
    assert set(capture.cameras.sizes) == {(SIZE[0] // 2, SIZE[1] // 2)}
    assert all(image.shape[:2] == (SIZE[1] // 2, SIZE[0] // 2) for image in capture.images)
    torch.testing.assert_close(capture.cameras.intrinsics * 2, open_capture(written).cameras.intrinsics)


@every_reader
def test_a_description_is_plain_values(name: str, written: Path) -> None:
    described = open_capture(written).describe()
    assert described["format"] == name
    assert described["images"] == described["registered"] == len(sample())


@every_reader
@pytest.mark.bad_input
def test_absent_images_are_left_out_and_said_once(name: str, written: Path) -> None:
    absent = sorted(written.rglob("*.png"))[1:4:2]
    if name == "llff":  # it lists no names: a row without an image cannot be told
        for file in absent:
            file.unlink()
        with pytest.raises(BadInput, match="wanted a row for each of the 8 images"):
            open_capture(written)
        return
    shutil_names = {file.name for file in absent}
    for file in written.rglob("*.png"):
        if file.name in shutil_names:
            file.unlink()
    capture = open_capture(written)
    assert len(capture) == 8
    assert len(capture.notes) == 1
    assert "2 of 10 images" in capture.notes[0]


@every_reader
@pytest.mark.bad_input
def test_a_capture_without_images_is_refused(name: str, written: Path) -> None:
    for file in written.rglob("*.png"):
        file.unlink()
    with pytest.raises(BadInput, match="found none"):
        open_capture(written)


@every_reader
@pytest.mark.bad_input
def test_a_capture_of_one_view_is_refused(name: str, tmp_path: Path) -> None:
    import dataclasses

    whole = sample()
    single = dataclasses.replace(
        whole, cameras=whole.cameras[1], images=whole.images[1:2], names=whole.names[1:2], train=(0,), test=()
    )
    with pytest.raises(BadInput, match="at least two images"):
        open_capture(WRITERS[name](tmp_path, single))


@every_reader
@pytest.mark.bad_input
def test_damaged_metadata_is_refused_by_name(name: str, written: Path) -> None:
    files = [f for f in written.rglob("*") if f.suffix in DAMAGEABLE or f.name == "images.bin"]
    for file in files:
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BadInput, match="capture"):
        open_capture(written)


@every_reader
@pytest.mark.bad_input
def test_a_truncated_image_is_refused_by_name(name: str, written: Path) -> None:
    second = "1" if name == "record3d" else sample().names[1]
    file = next(f for f in written.rglob("*.png") if f.stem == second and "test" not in f.parts)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(BadInput, match=file.name):
        open_capture(written)
