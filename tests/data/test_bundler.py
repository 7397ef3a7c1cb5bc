"""Bundler: radial terms by its own formula, cameras that were never placed, files that do not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from scenekit.data.lens import project
from scenekit.data.readers import read_listing
from tests.data.captures import sample
from tests.data.other_programs import write_bundler


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_bundler(tmp_path / "capture", sample())


def edit(root: Path, line: int, text: str) -> None:
    lines = (root / "bundle.out").read_text().splitlines()
    lines[line] = text
    (root / "bundle.out").write_text("\n".join(lines))


def test_points_and_colours_come_back_past_their_lists_of_views(root: Path) -> None:
    points, wanted = open_capture(root).points, sample().points
    assert points is not None
    assert wanted is not None
    assert float((points.positions - wanted.positions).abs().max()) < 1e-9
    assert float((points.colors - wanted.colors).abs().max()) < 0.5 / 255 + 1e-9


def test_radial_terms_follow_bundlers_formula(root: Path) -> None:
    edit(root, 2, "30.0 0.1 -0.02")
    lens = read_listing(root).photographs[0].lens
    x, y = 0.2, -0.1
    squared = x * x + y * y
    factor = 30 * (1 + 0.1 * squared - 0.02 * squared**2)
    wanted = (lens.size[0] / 2 + factor * x, lens.size[1] / 2 + factor * y)
    assert project(lens, np.array([[x, y, 1.0]]))[0] == pytest.approx(wanted)


def test_cameras_without_a_focal_length_were_never_placed(root: Path) -> None:
    edit(root, 2, "0 0 0")
    listing = read_listing(root)
    assert (len(listing.photographs), listing.listed) == (9, 10)


@pytest.mark.bad_input
def test_a_list_of_another_run_is_refused(root: Path) -> None:
    (root / "list.txt").write_text("a.jpg\nb.jpg\n")
    with pytest.raises(BadInput, match=r"bundle.out: wanted a camera for each of the 2 images in list.txt, found 10"):
        open_capture(root)


@pytest.mark.bad_input
def test_a_file_that_ends_early_or_holds_words_is_refused(root: Path) -> None:
    text = (root / "bundle.out").read_text()
    (root / "bundle.out").write_text(text[: len(text) // 2].rpartition(" ")[0])
    with pytest.raises(BadInput, match="found its end before them"):
        open_capture(root)
    edit(root, 3, "one two three")
    with pytest.raises(BadInput, match="wanted numbers"):
        open_capture(root)
