"""Gaussians as OpenUSD, seen through Pixar's own library alone."""

import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from scenekit.assets import usd
from scenekit.assets.exporters import Source, export
from scenekit.cli import main
from scenekit.core.checks import BadInput
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.representations.gaussian_cloud import GaussianCloud
from tests.assets.splat_scenes import sample_scene
from tests.representations.gaussian_clouds import sample_cloud

FLIP = torch.tensor([1.0, -1.0, -1.0])  # right, down, ahead against right, up, back


@pytest.fixture(scope="module")
def pxr() -> ModuleType:
    return pytest.importorskip("pxr.Usd", reason="OpenUSD needs the extra: pip install 'scenekit[usd]'")


@pytest.mark.parametrize("suffix", usd.SUFFIXES)
@pytest.mark.parametrize("degree", [0, 3])
def test_the_library_finds_the_same_gaussians(pxr: ModuleType, suffix: str, degree: int, tmp_path: Path) -> None:
    from pxr import UsdGeom, UsdVol  # type: ignore[import-not-found]

    file, cloud = tmp_path / f"a{suffix}", sample_cloud(40, degree)
    usd.write_usd(file, cloud, up="Y")
    stage = pxr.Stage.Open(str(file))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    (found,) = [prim for prim in stage.Traverse() if prim.IsA(UsdVol.ParticleField3DGaussianSplat)]

    def values(name: str) -> torch.Tensor:
        return torch.tensor(np.array(found.GetAttribute(name).Get(), dtype=np.float32))

    assert torch.equal(values("positions"), cloud.means * FLIP)
    torch.testing.assert_close(values("scales"), cloud.log_scales.exp())
    torch.testing.assert_close(values("opacities"), cloud.opacity_logits.sigmoid())
    # The library's own rotation of an axis of each Gaussian, in the axes of the file.
    turns = found.GetAttribute("orientations").Get()
    axes = torch.tensor([[*turn.Transform((0.0, 0.0, 1.0))] for turn in turns])
    wanted = matrix_from_quaternion(cloud.quaternions)[:, :, 2] * FLIP
    assert torch.minimum((axes - wanted).norm(dim=-1), (axes + wanted).norm(dim=-1)).max() < 1e-5
    assert found.GetAttribute("radiance:sphericalHarmonicsDegree").Get() == degree
    coefficients = values("radiance:sphericalHarmonicsCoefficients").reshape(40, (degree + 1) ** 2, 3)
    assert torch.equal(coefficients[:, 0], cloud.harmonics[:, 0])
    if degree:  # of the first order, y, z and x: the first two turn with their axes
        assert torch.equal(coefficients[:, 1:4] * torch.tensor([-1.0, -1.0, 1.0])[:, None], cloud.harmonics[:, 1:4])
    low, high = UsdGeom.Boundable(found).GetExtentAttr().Get()
    assert all(low[axis] < values("positions")[:, axis].min() for axis in range(3))
    assert all(high[axis] > values("positions")[:, axis].max() for axis in range(3))


def test_a_package_does_not_tell_when_it_was_written(pxr: ModuleType, tmp_path: Path) -> None:
    usd.write_usd(tmp_path / "a.usdz", sample_cloud(4, 0), up="Y")
    (packed,) = zipfile.ZipFile(tmp_path / "a.usdz").infolist()
    assert packed.date_time[:2] == (1980, 1)


def test_what_is_exactly_nothing_or_solid_is_read_back_finite(pxr: ModuleType, tmp_path: Path) -> None:
    cloud = sample_cloud(3, 0)
    cloud = replace(
        cloud,
        opacity_logits=torch.tensor([-200.0, 200.0, 0.0]),
        log_scales=torch.full((3, 3), -200.0),
    )
    usd.write_usd(tmp_path / "a.usdc", cloud, up="Y")
    found = usd.read_usd(tmp_path / "a.usdc")
    assert found.opacity_logits.isfinite().all()
    assert found.log_scales.isfinite().all()


def test_the_stage_says_which_axis_was_made_to_point_up(pxr: ModuleType, tmp_path: Path) -> None:
    for up in ("y", "z"):
        export(sample_scene(0), tmp_path / f"{up}.usda", up=up)
        assert f'upAxis = "{up.upper()}"' in (tmp_path / f"{up}.usda").read_text()


def test_highest_harmonics_that_splatting_knows_no_name_for_are_cut(pxr: ModuleType, tmp_path: Path) -> None:
    facts = export(Source(sample_scene(), sample_cloud(9, 4)), tmp_path / "a.usdc")
    assert facts["harmonics_degree"] == usd.read_usd(tmp_path / "a.usdc").degree == 3


@pytest.mark.bad_input
def test_none_at_all_and_a_missing_library_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput, match="at least one Gaussian"):
        usd.write_usd(tmp_path / "a.usdc", sample_cloud(0, 0), up="Y")
    source = tmp_path / "a.ply"
    export(Source(sample_scene(), sample_cloud(9, 0)), source)

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(usd.importlib, "import_module", missing)
    assert main(["export", str(source), str(tmp_path / "b.usdz")]) == 2
    assert "pip install 'scenekit[usd]'" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["a.ply"]


def test_a_stage_is_written_whole_or_not_at_all(
    pxr: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.usdc"
    file.write_bytes(b"what stood there")

    def fails(plain: Path, cloud: GaussianCloud, up: str) -> None:
        plain.write_bytes(b"half")
        raise RuntimeError

    monkeypatch.setattr(usd, "_write_stage", fails)
    with pytest.raises(RuntimeError):
        usd.write_usd(file, sample_cloud(3, 0), up="Y")
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"what stood there"]
