"""COLMAP models: text and binary, in every usual place, with points and names in subfolders."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from tests.data.captures import sample, write_colmap


@pytest.mark.parametrize("folder", ["sparse/0", "sparse", "colmap/sparse/0", "."])
@pytest.mark.parametrize("text", [False, True])
def test_models_are_found_in_every_usual_place(tmp_path: Path, folder: str, text: bool) -> None:
    capture = open_capture(write_colmap(tmp_path, sample(), folder=folder, text=text))
    torch.testing.assert_close(capture.cameras.world_from_camera, sample().cameras.world_from_camera)


def test_points_come_with_their_colours(tmp_path: Path) -> None:
    capture, wanted = open_capture(write_colmap(tmp_path, sample())), sample().points
    assert capture.points is not None
    assert wanted is not None
    order, wanted_order = capture.points.positions[:, 0].argsort(), wanted.positions[:, 0].argsort()
    torch.testing.assert_close(capture.points.positions[order], wanted.positions[wanted_order])
    torch.testing.assert_close(capture.points.colors[order], wanted.colors[wanted_order], atol=1 / 255, rtol=0)


def test_the_model_folder_itself_is_a_capture(tmp_path: Path) -> None:
    root = write_colmap(tmp_path, sample())
    assert len(open_capture(root / "sparse" / "0")) == len(sample())


def test_a_model_without_rigs_as_older_versions_wrote_it_is_read(tmp_path: Path) -> None:
    root = write_colmap(tmp_path, sample())
    for name in ("rigs.bin", "frames.bin"):
        (root / "sparse/0" / name).unlink(missing_ok=True)
    torch.testing.assert_close(open_capture(root).cameras.world_from_camera, sample().cameras.world_from_camera)


@pytest.mark.bad_input
def test_a_model_that_names_only_absent_files_is_refused(tmp_path: Path) -> None:
    root = write_colmap(tmp_path, sample())
    shutil.move(root / "images", root / "photos")
    with pytest.raises(BadInput, match=r"sparse/0: wanted images such as .*view_00..png, found none of the 10"):
        open_capture(root)


@pytest.mark.skipif("SCENEKIT_DATA" not in os.environ, reason="needs SCENEKIT_DATA with bonsai")
def test_bonsai_opens_with_its_points() -> None:
    capture = open_capture(Path(os.environ["SCENEKIT_DATA"]) / "bonsai", downscale=8.0)
    assert capture.describe()["points"] > 60_000
    assert (len(capture.train), len(capture.test)) == (255, 37)
    assert capture.bounds.contracted
