import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenekit.assets.distances import write_distances
from scenekit.core.checks import BadInput
from scenekit.core.protocols import ParameterGroup
from scenekit.core.sphere import equirectangular_directions, equirectangular_positions
from scenekit.data.signals import SIGNALS, Points, Signal, open_signal
from scenekit.data.signals.distances import Frame, SampledSurface
from scenekit.data.signals.panorama import PanoramaSignal
from scenekit.data.signals.radiance import write_radiance
from scenekit.data.signals.surface import SurfaceSignal
from scenekit.data.signals.volume import VolumeSignal
from scenekit.training.judge_signals import judge_surface
from tests.data.signals.volumes import nrrd


def picture(path: Path, width: int = 12, height: int = 8) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return path


def ball(path: Path) -> Path:
    trimesh = pytest.importorskip("trimesh", reason="the extra 'mesh' is not installed")
    pytest.importorskip("open3d", reason="the extra 'mesh' is not installed")
    trimesh.creation.icosphere(subdivisions=4, radius=3.0).apply_translation([10, 20, 30]).export(path)
    return path


def example(kind: str, folder: Path) -> Path | str:
    if kind == "image":
        return picture(folder / "a.png")
    if kind == "panorama":
        return picture(folder / "a-panorama.png", 16, 8)
    return ball(folder / "ball.ply") if kind == "surface" else "synthetic-volume"


@pytest.mark.parametrize("kind", sorted(SIGNALS))
def test_every_signal_answers_for_points_of_the_unit_cube(kind: str, tmp_path: Path) -> None:
    signal = open_signal(example(kind, tmp_path))
    assert isinstance(signal, Signal)
    facts = signal.facts
    assert facts.kind == kind
    for count in (0, 1, 500):
        positions, values = signal.sample(count, torch.Generator().manual_seed(1))
        assert positions.shape == (count, facts.dimensions)
        assert values.shape == (count, facts.channels)
        assert positions.dtype == values.dtype == torch.float32
        assert ((positions >= -1e-2) & (positions <= 1.01)).all()
    again = signal.sample(500, torch.Generator().manual_seed(1))
    assert torch.equal(again.positions, positions)
    assert torch.equal(again.values, values)
    places, weights = signal.detail(300, torch.Generator().manual_seed(2))
    assert places.shape == (300, facts.dimensions)
    assert (weights >= 0).all()
    assert weights.isfinite().all()
    assert weights.sum() > 0


def test_an_image_is_sampled_at_its_pixel_centres(tmp_path: Path) -> None:
    signal = open_signal(picture(tmp_path / "a.png"))
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    positions, values = signal.sample(100, torch.Generator().manual_seed(0))
    place = positions * torch.tensor([12, 8]) - 0.5
    assert torch.allclose(place, place.round(), atol=1e-5)
    columns, rows = place.round().long().unbind(-1)
    assert np.allclose(values.numpy(), pixels[rows.numpy(), columns.numpy()] / 255)


def test_places_and_directions_of_a_panorama_undo_each_other() -> None:
    places = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(equirectangular_positions(equirectangular_directions(places)), places)
    named = equirectangular_directions(torch.tensor([[0.5, 0.5], [0.75, 0.5], [0.3, 0.0]]))
    assert torch.allclose(named, torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]]), atol=1e-6)


def test_a_panorama_is_sampled_uniformly_by_area_and_goes_round(tmp_path: Path) -> None:
    signal = open_signal(picture(tmp_path / "a-360.png", 16, 8))
    assert isinstance(signal, PanoramaSignal)
    positions, _ = signal.sample(20000, torch.Generator().manual_seed(0))
    directions = 2 * positions - 1
    assert torch.allclose(directions.norm(dim=-1), torch.ones(20000), atol=1e-5)
    assert directions.mean(0).abs().max() < 0.02
    assert (directions.square().mean(0) - 1 / 3).abs().max() < 0.02
    left, right = signal.seen(equirectangular_directions(torch.tensor([[1e-6, 0.4], [1 - 1e-6, 0.4]])))
    assert torch.allclose(left, right, atol=1e-3)


@pytest.mark.parametrize("name", ["room_panorama.png", "hdri_sky.png", "x.hdr"])
def test_a_panorama_is_known_by_its_name_or_by_its_range(tmp_path: Path, name: str) -> None:
    if name.endswith(".hdr"):
        (tmp_path / name).write_bytes(write_radiance(torch.rand(8, 16, 3)))
    else:
        picture(tmp_path / name, 16, 8)
    assert open_signal(tmp_path / name).facts.kind == "panorama"
    assert open_signal(picture(tmp_path / "plain.png", 16, 8)).facts.kind == "image"
    assert open_signal(tmp_path / "plain.png", kind="panorama").facts.kind == "panorama"


def test_distances_to_a_ball_are_those_of_geometry(tmp_path: Path) -> None:
    signal = open_signal(ball(tmp_path / "ball.obj"))
    assert isinstance(signal, SurfaceSignal)
    assert signal.facts.scale == pytest.approx(6.0, rel=1e-3)
    assert signal.facts.centre == pytest.approx((10, 20, 30), abs=1e-3)
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(0))
    found = signal.distances(points)[:, 0]
    assert (found - ((points - 0.5).norm(dim=-1) - 0.45)).abs().max() < 2e-3
    positions, values = signal.sample(4000, torch.Generator().manual_seed(0))
    assert ((positions - 0.5).norm(dim=-1) - 0.45 - values[:, 0]).abs().max() < 2e-3
    assert float((values == 0).float().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_volume_reads_alike_from_npy_and_nrrd(tmp_path: Path, encoding: str) -> None:
    grid = np.random.default_rng(0).random((3, 4, 5, 4), dtype=np.float32)
    np.save(tmp_path / "a.npy", grid)
    expected = open_signal(tmp_path / "a.npy")
    assert isinstance(expected, VolumeSignal)
    assert expected.facts.size == (5, 4, 3)
    assert expected.facts.scale == pytest.approx(float(grid[..., 0].max()))
    centres = (torch.tensor([[2, 1, 0], [4, 3, 2]]) + 0.5) / torch.tensor([5, 4, 3])
    values = expected.values(centres)
    assert torch.allclose(values[0, 1:], torch.from_numpy(grid[0, 1, 2, 1:]), atol=1e-6)
    assert float(values[1, 0]) * expected.facts.scale == pytest.approx(float(grid[2, 3, 4, 0]), rel=1e-5)
    for array in (grid, np.ascontiguousarray(np.moveaxis(grid, -1, 0))):
        found = open_signal(nrrd(tmp_path / "a.nrrd", array, encoding=encoding))
        assert isinstance(found, VolumeSignal)
        assert torch.equal(found.voxels, expected.voxels)


def test_a_volume_without_colors_becomes_grey(tmp_path: Path) -> None:
    grid = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4) - 7
    signal = open_signal(nrrd(tmp_path / "a.nrrd", grid, type="short"))
    assert isinstance(signal, VolumeSignal)
    assert signal.voxels.min() == 0
    assert signal.voxels.max() == 1
    assert (signal.voxels[..., 0] == signal.voxels[..., 3]).all()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"type": "complex"}, "float or double"),
        ({"encoding": "bzip2"}, "raw or gzip"),
        ({"sizes": "9 9 9"}, "2916 bytes of data"),
        ({"sizes": "9 -9 9"}, "positive sizes"),
        ({"data_file": "other.raw"}, "data in the same file"),
    ],
)
def test_a_damaged_nrrd_is_one_sentence(tmp_path: Path, more: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        open_signal(nrrd(tmp_path / "a.nrrd", np.zeros((2, 3, 4), np.float32), **more))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4)), "a grid"),
        (np.zeros((4, 4, 4, 3)), "a grid"),
        (np.zeros((1, 4, 4)), "at least 2 voxels"),
        (np.zeros((4, 4, 4)), "values that differ"),
        (np.zeros((4, 4, 4, 4)), "a density above 0"),
        (np.full((4, 4, 4, 4), 2.0), "colours in"),
        (np.full((4, 4, 4, 4), -1.0), "not negative"),
        (np.full((4, 4, 4), np.nan), "finite"),
        (np.array(["a"] * 8).reshape(2, 2, 2), "wanted numbers"),
        (np.array([object()] * 8).reshape(2, 2, 2), "numpy.save"),
    ],
)
def test_a_volume_that_is_none_is_one_sentence(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(BadInput, match=words):
        open_signal(tmp_path / "a.npy")


@pytest.mark.bad_input
def test_text_by_its_old_name_is_refused_without_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, np.full((2, 2, 2), b"a", dtype="S8"))
    file.write_bytes(file.read_bytes().replace(b"|S8", b"|a8"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadInput, match="wanted numbers"):
            open_signal(file)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("open.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "a watertight mesh, .* found 3 edges"),
        ("empty.obj", "", "wanted a mesh"),
        ("points.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "wanted a mesh"),
        ("broken.ply", "ply\nformat ascii 1.0\nelement vertex x\n", "wanted a mesh"),
        ("broken.glb", "nothing", "wanted a mesh"),
    ],
)
def test_a_mesh_without_an_inside_is_one_sentence(tmp_path: Path, name: str, text: str, words: str) -> None:
    pytest.importorskip("trimesh", reason="the extra 'mesh' is not installed")
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=words) as caught:
        open_signal(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.bad_input
def test_what_is_no_signal_is_refused_with_the_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(BadInput, match=r"wanted one of volume .* found .txt"):
        open_signal(tmp_path / "a.txt")
    with pytest.raises(BadInput, match="wanted a file to fit, found none"):
        open_signal(tmp_path / "no.png")
    with pytest.raises(BadInput, match="found a folder"):
        open_signal(tmp_path)
    with pytest.raises(BadInput, match="twice as wide as high"):
        open_signal(picture(tmp_path / "square.png", 8, 8), kind="panorama")


def test_distances_that_were_computed_before_are_learnt_and_judged_like_the_mesh(tmp_path: Path) -> None:
    mesh = open_signal(ball(tmp_path / "ball.obj"))
    assert isinstance(mesh, SurfaceSignal)
    write_distances(tmp_path / "ball.npz", mesh.sampled())
    found = open_signal(tmp_path / "ball.npz")
    assert isinstance(found, SampledSurface)
    assert replace(found.facts, path=mesh.path) == mesh.facts
    drawn = [signal.sample(500, torch.Generator().manual_seed(1)) for signal in (mesh, found)]
    assert torch.equal(drawn[0].positions, drawn[1].positions)
    assert torch.equal(drawn[0].values, drawn[1].values)

    def exact(positions: torch.Tensor) -> torch.Tensor:
        return (positions - 0.5).norm(dim=-1, keepdim=True) - 0.45

    figures = [judge_surface(_Known(exact), signal) for signal in (mesh, found)]
    assert figures[0]["iou"] == figures[1]["iou"] > 0.99
    assert figures[1]["away"] < 1e-3


class _Known:
    dimensions, channels = 3, 1

    def __init__(self, values: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.values = values

    def __call__(self, positions: torch.Tensor) -> torch.Tensor:
        return self.values(positions)

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "none that can be read"),
        ({"positions": np.zeros((3, 2))}, "arrays"),
        ({"positions": np.zeros((0, 3)), "distances": np.zeros((0, 1))}, "arrays"),
        ({"distances": np.full((3, 1), np.nan)}, "numbers that are none"),
        ({"frame": np.ones(4, np.complex64)}, "complex numbers"),
        ({"frame": np.zeros(4)}, "no size"),
        ({"frame": np.array([None])}, "none that can be read"),
        ({"frame": np.array("x")}, "none that can be read"),
    ],
)
def test_damaged_distances_are_one_sentence(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    whole = SampledSurface("", Frame(2.0, (0, 0, 0)), *([Points(torch.rand(3, 3), torch.rand(3, 1))] * 2)).arrays()
    np.savez(tmp_path / "a.npz", **(whole | arrays if arrays else {}))
    with pytest.raises(BadInput, match=words) as caught:
        open_signal(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)
    with (tmp_path / "b.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(BadInput, match=r"b\.npz: wanted distances .* found none that can be read \(a single array\)"):
        open_signal(tmp_path / "b.npz")
    (tmp_path / "b.npz").write_bytes(b"PK nothing")
    with pytest.raises(BadInput, match="none that can be read"):
        open_signal(tmp_path / "b.npz")
    with pytest.raises(BadInput, match=r"ending in \.npz"):
        write_distances(tmp_path / "a.dist", SampledSurface("", Frame(1.0, (0, 0, 0)), Points(*torch.rand(2, 1, 3))))
