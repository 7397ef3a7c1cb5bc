"""Photographs used through their own lenses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scenekit.core.cameras import Pixels
from scenekit.core.lenses import Lens
from scenekit.data import open_capture, synthetic
from scenekit.data.lens import Lens as PhotographLens
from scenekit.data.lens import kept
from scenekit.kernels.rays import rays_of
from tests.data.captures import edit_json, sample, write_transforms


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_transforms(tmp_path / "capture", sample())


def test_a_distorted_capture_is_undistorted_unless_its_lens_is_to_be_kept(root: Path) -> None:
    edit_json(root / "transforms.json", k1=0.1, k2=0.0, p1=0.0, p2=0.001)
    assert open_capture(root).cameras.lenses is None
    capture = open_capture(root, keep_lens=True)
    assert capture.cameras.lenses is not None
    assert capture.cameras.lenses[0] == Lens.of("perspective", k1=0.1, p2=0.001)
    assert torch.equal(capture.images[2], sample().images[2])
    assert any("through their lenses" in note for note in capture.notes)
    assert any("undistorted to pinholes first" in note for note in open_capture(root).notes)


@pytest.mark.parametrize(
    ("model", "extra", "kind"),
    [
        ("EQUIRECTANGULAR", {}, "equirectangular"),
        ("ORTHOPHOTO", {}, "orthographic"),
        ("OPENCV_FISHEYE", {"fl_x": 8.0, "fl_y": 8.0, "k1": 0.02}, "equidistant"),
        ("THIN_PRISM_FISHEYE", {"fl_x": 8.0, "fl_y": 8.0, "sx1": 0.01}, "equidistant"),
    ],
)
def test_lenses_that_no_pinhole_can_stand_for_are_always_kept(root: Path, model: str, extra: dict, kind: str) -> None:
    edit_json(root / "transforms.json", camera_model=model, **extra)
    capture = open_capture(root)
    assert capture.cameras.lenses is not None
    assert {lens.kind for lens in capture.cameras.lenses if lens is not None} == {kind}
    assert capture.describe()["lenses"] == [kind]


def test_one_capture_may_mix_lenses(root: Path) -> None:
    values = json.loads((root / "transforms.json").read_text())
    values["frames"][1]["camera_model"] = "EQUIRECTANGULAR"
    (root / "transforms.json").write_text(json.dumps(values))
    capture = open_capture(root, downscale=2)
    assert capture.cameras.lenses is not None
    assert [lens is not None for lens in capture.cameras.lenses].count(True) == 1
    width, height = capture.cameras.sizes[1]
    middle = Pixels(torch.tensor([0, 1]), torch.tensor([[width / 2, height / 2]] * 2, dtype=torch.float64))
    ahead = rays_of(capture.cameras, middle).directions
    torch.testing.assert_close(ahead[1], capture.cameras.forward[1])


def test_the_synthetic_capture_is_photographed_through_a_lens_exactly() -> None:
    """What a ray of the lens hits is where the exact depth says."""
    lens = Lens.of("equidistant", k1=0.05)
    capture = synthetic.make(views=3, size=(24, 24), lens=lens, points=20)
    assert capture.depths is not None
    assert capture.cameras.lenses == (lens,) * 3
    assert (capture.depths[0] > 0).any()


@pytest.mark.bad_input
def test_a_model_without_known_rays_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="FOV: its rays are not known here"):
        kept(PhotographLens("FOV", (10, 10), (5.0, 5, 5, 5, 0.1)))
