"""From photographs to a capture: poses found, work kept, refusals in one sentence."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import scenekit as sk
from scenekit.assets.lock import holding
from scenekit.core.checks import BadInput
from scenekit.data.registration import search as searching
from scenekit.data.registration.settings import Settings
from scenekit.data.registration.upright import Distance
from scenekit.recipes import Fitting, prepare
from scenekit.recipes.process import Inputs, capture_folder, lacks_poses, process
from scenekit.representations import Gaussians
from tests.data.textured import COUNT, FOCAL, pictures, pose, render, write_photographs, write_video

QUICK = Settings(features=1500, tries=1)
DEAD = 2**22 + 1  # no process has that number
SILENT = lambda *_: None  # noqa: E731


def aligned_error(capture: sk.Capture, wanted: torch.Tensor) -> float:
    """Largest distance between centres after the best similarity, in the mean distance from their middle."""
    found = capture.cameras.centres
    a, b = found - found.mean(0), wanted - wanted.mean(0)
    u, s, vt = torch.linalg.svd(b.T @ a)
    signs = torch.tensor([1.0, 1.0, float(torch.det(u @ vt).sign())], dtype=torch.float64)
    turned = a @ (u @ torch.diag(signs) @ vt).T * (s * signs).sum() / a.square().sum()
    return float((turned - b).norm(dim=-1).max() / b.norm(dim=-1).mean())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture that several tests look at."""
    root = tmp_path_factory.mktemp("made")
    photographs = write_photographs(root / "photographs")
    (photographs / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    Image.new("RGB", (240, 180), (90, 90, 90)).save(photographs / "wall.png")
    process(Inputs(photographs, distance=Distance("p0.png", "p7.png", 3.0)), root / "capture", QUICK, SILENT)
    return root / "capture"


def test_every_photograph_finds_its_place(made: Path) -> None:
    capture = sk.open_capture(made)
    assert list(capture.names) == [f"p{k}.png" for k in range(COUNT)]
    assert aligned_error(capture, torch.stack([pose(k)[:, 3] for k in range(COUNT)])) < 0.01
    assert float(capture.cameras.intrinsics[0, 0]) == pytest.approx(FOCAL, rel=0.03)


def test_the_world_is_upright_and_as_large_as_the_distance_says(made: Path) -> None:
    cameras = sk.open_capture(made).cameras
    assert float((cameras.centres[0] - cameras.centres[7]).norm()) == pytest.approx(3.0)
    up = -cameras.world_from_camera[:, :, 1].mean(0)
    assert float(up[2] / up.norm()) > 0.95


def test_photographs_without_a_place_are_counted_and_the_reason_is_said(made: Path) -> None:
    figures = json.loads((made / "process.json").read_text())
    assert figures["registered"] == COUNT
    assert figures["images"] == COUNT + 2
    assert "only 0 features" in figures["unregistered"]["wall.png"]
    assert "wanted an image" in figures["unregistered"]["broken.jpg"]
    described = sk.open_capture(made).describe()
    assert (described["images"], described["registered"]) == (COUNT + 1, COUNT)
    assert any("have no pose" in note for note in sk.open_capture(made).notes)


def test_gaussians_start_from_more_points_than_finding_poses_left(made: Path) -> None:
    capture = sk.open_capture(made)
    session = prepare(capture, Gaussians(), Fitting(steps=1))
    assert capture.points is not None
    assert session.triangulation is not None
    most = max(len(capture.points), len(session.triangulation.points))
    assert len(session.scene.renderer.primitives.means) == most  # type: ignore[union-attr, arg-type]


def test_a_finished_capture_is_returned_and_never_replaced(made: Path) -> None:
    before = (made / "sparse" / "0" / "images.bin").stat().st_mtime_ns
    inputs = Inputs(made.parent / "photographs", distance=Distance("p0.png", "p7.png", 3.0))
    assert process(inputs, made, QUICK, SILENT)["registered"] == COUNT
    with pytest.raises(BadInput, match="other settings; choose another place with -o"):
        process(inputs, made, dataclasses.replace(QUICK, seed=1), SILENT)
    assert (made / "sparse" / "0" / "images.bin").stat().st_mtime_ns == before


def test_a_killed_process_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs(write_photographs(tmp_path / "photographs"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(searching, "map_images", killed)
        with pytest.raises(KeyboardInterrupt):
            process(inputs, tmp_path / "capture", QUICK, SILENT)
    assert not (tmp_path / "capture" / "sparse").exists()
    database = next((tmp_path / "capture" / "work").rglob("*.db"))
    features = searching.found(database, COUNT).features
    monkeypatch.setattr("scenekit.data.registration.photographs._write", killed)  # nothing is prepared again
    assert process(inputs, tmp_path / "capture", QUICK, SILENT)["registered"] == COUNT
    assert searching.found(database, COUNT).features == features


def test_a_process_that_was_killed_before_its_report_goes_on_to_the_same_capture(made: Path, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    shutil.copytree(made, capture)
    inputs = Inputs(made.parent / "photographs", distance=Distance("p0.png", "p7.png", 3.0))
    (capture / "process.json").rename(capture / f".process.json.{DEAD}.new")
    (capture / "sparse" / f".0.{DEAD}.new").mkdir()
    process(inputs, capture, QUICK, SILENT)
    assert sorted(file.name for file in capture.iterdir()) == ["images", "process.json", "sparse", "work"]
    assert [folder.name for folder in (capture / "sparse").iterdir()] == ["0"]
    for file in (made / "sparse" / "0").iterdir():
        assert (capture / "sparse" / "0" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.bad_input
def test_two_processes_in_one_capture_are_refused(tmp_path: Path) -> None:
    inputs = Inputs(write_photographs(tmp_path / "photographs"))
    with holding(tmp_path / "capture"), pytest.raises(BadInput, match="no other process writes"):
        process(inputs, tmp_path / "capture", QUICK, SILENT)


def test_a_process_that_was_killed_once_all_was_done_leaves_no_lock_for_good(made: Path, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    shutil.copytree(made, capture)
    (capture / ".lock").write_text(str(DEAD))
    inputs = Inputs(made.parent / "photographs", distance=Distance("p0.png", "p7.png", 3.0))
    assert process(inputs, capture, QUICK, SILENT)["registered"] == COUNT
    assert not (capture / ".lock").exists()


def test_a_sideways_photograph_is_turned_and_its_focal_length_used(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 30  # 30 mm of film's diagonal are 208 pixels of 240x180's
    for k, picture in enumerate(pictures()):
        picture.transpose(Image.Transpose.ROTATE_90).save(photographs / f"p{k}.jpg", quality=95, exif=exif)
    process(Inputs(photographs), tmp_path / "capture", QUICK, SILENT)
    capture = sk.open_capture(tmp_path / "capture")
    assert capture.cameras.sizes[0] == (240, 180)
    assert float(capture.cameras.intrinsics[0, 0]) == pytest.approx(FOCAL, rel=0.03)


def test_a_video_becomes_a_capture(tmp_path: Path) -> None:
    images = [render(pose(k, 12)) for k in range(12)]
    video = write_video(tmp_path / "a.mp4", images)
    figures = process(Inputs(video, frames=8), tmp_path / "capture", QUICK, SILENT)
    assert figures["images"] == figures["registered"] == 8
    assert sk.open_capture(tmp_path / "capture").names[0].startswith("frame-")


def test_masked_parts_have_no_features(tmp_path: Path) -> None:
    photographs = write_photographs(tmp_path / "photographs")
    mask = Image.new("L", (240, 180), 255)
    mask.paste(0, (0, 0, 120, 180))
    (tmp_path / "masks").mkdir()
    for k in range(COUNT):
        mask.save(tmp_path / "masks" / f"p{k}.png")
    process(Inputs(photographs, masks=tmp_path / "masks"), tmp_path / "capture", QUICK, SILENT)
    import pycolmap

    model = pycolmap.Reconstruction(str(tmp_path / "capture" / "sparse" / "0"))
    columns = np.concatenate([[point.xy[0] for point in image.points2D] for image in model.images.values()])
    assert len(columns) > 100
    assert columns.min() > 115


def test_a_second_training_finds_the_capture_that_the_first_made(made: Path, tmp_path: Path) -> None:
    source = made.parent / "photographs"
    assert lacks_poses(source)
    assert not lacks_poses(made)
    first = capture_folder(source, tmp_path)
    assert first == tmp_path / "photographs-capture"
    (first / "work").mkdir(parents=True)
    assert capture_folder(source, tmp_path) == tmp_path / "photographs-capture-2"
    (first / "work" / "request.json").write_text(json.dumps({"source": str(source.resolve())}))
    assert capture_folder(source, tmp_path) == first


@pytest.mark.bad_input
def test_photographs_that_share_nothing_are_refused_and_the_work_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for k in range(3):
        noise = np.random.default_rng(k).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((240, 180)).save(photographs / f"{k}.png")
    with pytest.raises(BadInput, match=r"wanted photographs that overlap.*found none of 3.*the work so far is kept in"):
        process(Inputs(photographs), tmp_path / "capture", QUICK, SILENT)
    assert list((tmp_path / "capture" / "work").rglob("*.db"))
    assert capfd.readouterr().err == ""  # one sentence, and nothing of COLMAP's beside it


@pytest.mark.bad_input
def test_two_places_are_refused_unless_the_largest_is_asked_for(tmp_path: Path) -> None:
    photographs = write_photographs(tmp_path / "photographs", 6)
    behind = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))
    for k in range(6):  # the same arc, turned to the opposite corner
        render(behind @ pose(k, 6)).save(photographs / f"q{k}.png")
    with pytest.raises(BadInput, match=r"hang together, found separate groups of 6 and 6 among 12; .* --partial"):
        process(Inputs(photographs), tmp_path / "even", QUICK, SILENT)
    Image.new("RGB", (240, 180)).save(photographs / "r.png")
    with pytest.raises(BadInput, match=r"hang together, found separate groups of 6 and 6 among 13; .* --partial"):
        process(Inputs(photographs), tmp_path / "capture", QUICK, SILENT)
    figures = process(Inputs(photographs, partial=True), tmp_path / "capture", QUICK, SILENT)
    assert figures["registered"] == 6
    assert sum("another group of 6" in why for why in figures["unregistered"].values()) == 6


@pytest.mark.bad_input
def test_damaged_metadata_are_said_and_do_not_stop_the_work(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for k, picture in enumerate(pictures()):
        damaged = {"exif": b"Exif\0\0MM\0\x2a" + b"\xff" * 20} if k in (3, 5) else {}
        picture.save(photographs / f"p{k}.jpg", quality=95, **damaged)
    figures = process(Inputs(photographs), tmp_path / "capture", QUICK, SILENT)
    assert figures["registered"] == COUNT
    assert figures["notes"] == [
        "p3.jpg and 1 other: EXIF cannot be read, so the focal length and orientation are guessed"
    ]


@pytest.mark.bad_input
def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    photographs = write_photographs(tmp_path / "photographs")
    (tmp_path / "masks").mkdir()
    Image.new("L", (24, 18), 255).save(tmp_path / "masks" / "p1.png")
    with pytest.raises(BadInput, match=r"p1.png: wanted a mask of 240x180 like its photograph, found 24x18"):
        process(Inputs(photographs, masks=tmp_path / "masks"), tmp_path / "capture", QUICK, SILENT)
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match=r"wanted masks named like the photographs \(p0.png.png\)"):
        process(Inputs(photographs, masks=tmp_path / "none"), tmp_path / "capture", QUICK, SILENT)
    with pytest.raises(BadInput, match=r"absent: wanted a folder of masks, found none there"):
        process(Inputs(photographs, masks=tmp_path / "absent"), tmp_path / "capture", QUICK, SILENT)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "found"), [("absent", "found nothing"), ("empty", "found 0"), ("one", "found 1"), ("a.txt", "neither")]
)
def test_sources_that_cannot_serve_are_refused_before_anything_is_written(
    tmp_path: Path, name: str, found: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Image.new("RGB", (24, 18)).save(tmp_path / "one" / "a.png")
    (tmp_path / "a.txt").touch()
    with pytest.raises(BadInput, match=found):
        process(Inputs(tmp_path / name), tmp_path / "capture", QUICK, SILENT)
    assert not (tmp_path / "capture").exists()


@pytest.mark.bad_input
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    photographs = write_photographs(tmp_path / "photographs")
    with pytest.raises(BadInput, match=r"found other files in it \(p\d.png\)"):
        process(Inputs(photographs), photographs, QUICK, SILENT)


@pytest.mark.bad_input
def test_an_old_pycolmap_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pycolmap

    monkeypatch.delattr(pycolmap, "match_image_pairs")
    with pytest.raises(BadInput, match=r'pip install -U "pycolmap>=4.2"'):
        process(Inputs(write_photographs(tmp_path / "photographs")), tmp_path / "capture", QUICK, SILENT)
