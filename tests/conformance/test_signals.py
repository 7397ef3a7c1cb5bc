"""One property test for every kind of signal, and for every representation that can learn one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scenekit.assets.run import read_checkpoint, write_checkpoint, write_recipe, write_scene
from scenekit.core.cameras import every_pixel
from scenekit.core.point_fields import PointField
from scenekit.core.protocols import EVAL, Encoding, Renderer
from scenekit.core.sphere import equirectangular_directions
from scenekit.data.signals import SIGNALS, Signal
from scenekit.data.signals.image import ImageSignal
from scenekit.data.signals.panorama import PanoramaSignal
from scenekit.data.signals.pixels import Picture
from scenekit.data.signals.surface import SurfaceSignal
from scenekit.data.signals.volume import synthetic
from scenekit.recipes import FitSession, SignalFitting, load, prepare_fit
from scenekit.recipes.configs import from_plain, to_plain
from scenekit.recipes.fit import ENCODERS, judge, point_field_of
from scenekit.recipes.signals import KINDS, default_representation
from scenekit.renderers import RENDERERS
from scenekit.renderers.flat import Pictured
from scenekit.representations import HashGrid
from scenekit.training.steps import steps

SMALL: dict[str, dict[str, Any]] = {
    "hash_grid": {"levels": 4, "log2_table": 12},
    "simplex_grid": {"levels": 4, "log2_table": 12},
    "rbf": {"levels": 4, "log2_table": 12},
    "triplane": {"levels": 2, "features": 8, "coarsest": 16, "finest": 32},
    "low_rank": {"density_rank": 4, "color_rank": 8, "coarsest": 16, "finest": 32},
    "mlp": {"width": 32, "layers": 2, "skip": 1, "features": 16, "learning_rate": 1e-2},
    "sphere": {"degree": 8, "width": 32},
}
# Figure, what it must reach after 150 small steps, and what a field that learnt nothing has.
REACHED = {"image": ("psnr", 20.0), "panorama": ("psnr", 20.0), "surface": ("iou", 0.9), "volume": ("psnr", 20.0)}


def waves(width: int, height: int, *, linear: bool = False) -> Picture:
    """A smooth picture without a seam."""
    v, u = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    waves = [torch.sin(torch.pi * v) * torch.sin(2 * torch.pi * (k * u + v)) for k in (1, 2, 3)]
    values = 0.5 + 0.5 * torch.stack(waves, -1)
    return Picture(values * 4 if linear else (values * 255).round().to(torch.uint8), linear)


def sphere_mesh() -> SurfaceSignal:
    trimesh = pytest.importorskip("trimesh", reason="the extra 'mesh' is not installed")
    pytest.importorskip("open3d", reason="the extra 'mesh' is not installed")
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=0.45)
    vertices = torch.from_numpy(np.array(mesh.vertices + 0.5, dtype=np.float32))
    faces = torch.from_numpy(np.array(mesh.faces, dtype=np.int64))
    return SurfaceSignal("ball.obj", vertices, faces, 2.0, (5.0, 0.0, 0.0))


def small_signal(kind: str) -> Signal:
    if kind == "image":
        return ImageSignal("a.png", waves(48, 32))
    if kind == "panorama":
        return PanoramaSignal("a.hdr", waves(48, 24, linear=True))
    return sphere_mesh() if kind == "surface" else synthetic(16)


@pytest.fixture(scope="module", params=sorted(KINDS))
def signal(request: pytest.FixtureRequest) -> Signal:
    return small_signal(request.param)


def small_session(signal: Signal, count: int, name: str = "hash_grid") -> FitSession:
    config = from_plain(ENCODERS[name], SMALL.get(name, {}), name)
    return prepare_fit(signal, config, SignalFitting(steps=count, batch_points=2048, seed=1))


def finished(session: FitSession) -> FitSession:
    for _ in steps(session.training):
        pass
    return session


def test_every_kind_that_can_be_read_can_be_learnt() -> None:
    assert set(KINDS) == set(SIGNALS) == set(REACHED)


def test_a_field_learns_it_and_the_run_folder_keeps_what_it_learnt(signal: Signal, tmp_path: Path) -> None:
    session = finished(small_session(signal, 150))
    write_recipe(tmp_path, session.scene.recipe)
    write_scene(tmp_path, session.scene)
    scene = load(tmp_path)
    figures = judge(scene, signal)
    name, least = REACHED[signal.facts.kind]
    assert figures[name] > least
    assert figures == judge(session.scene, signal)
    if signal.facts.kind == "surface":
        assert figures["chamfer"] < 2e-3
    points = signal.sample(100, torch.Generator().manual_seed(0)).positions
    kept, expected = point_field_of(scene), point_field_of(session.scene)
    assert isinstance(kept, PointField)
    assert torch.equal(kept(points), expected(points))


def test_it_is_shown_by_a_renderer_from_its_own_cameras(signal: Signal) -> None:
    scene = finished(small_session(signal, 30)).scene
    assert isinstance(scene.renderer, Renderer)
    assert isinstance(scene.renderer, tuple(RENDERERS.values()))
    camera = scene.cameras[0].resized([(24, 16)])
    whole = scene.render(camera)
    assert whole.color.shape == (1, 16, 24, 3)
    assert whole.color.isfinite().all()
    assert whole.color.std() > 1e-3
    inside = scene.cameras_in_scene(camera)
    with torch.no_grad():
        single = scene.renderer.render(inside, every_pixel(inside), context=EVAL)
        picture = scene.renderer.render(inside, context=EVAL)
    assert torch.allclose(single.color.reshape(1, 16, 24, 3), picture.color, atol=1e-5)
    assert torch.equal(single.opacity.reshape(1, 16, 24), picture.opacity)


def test_a_fitting_resumed_from_its_files_ends_with_the_same_bits(signal: Signal, tmp_path: Path) -> None:
    whole = finished(small_session(signal, 24))
    first, second = small_session(signal, 24), small_session(signal, 24)
    for step in steps(first.training):
        if step.index == 9:
            break
    write_checkpoint(tmp_path, first.training.index, first.training.state_dict())
    second.training.load_state_dict(read_checkpoint(tmp_path))
    finished(second)
    expected, found = whole.scene.renderer.state_dict(), second.scene.renderer.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_what_suits_it_by_default_survives_the_way_through_a_recipe(signal: Signal) -> None:
    config = default_representation(signal.facts)
    assert from_plain(type(config), to_plain(config), "recipe") == config
    assert from_plain(type(signal.facts), to_plain(signal.facts), "recipe") == signal.facts


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_every_encoder_learns_a_panorama_and_gets_gradients_everywhere(name: str) -> None:
    signal = small_signal("panorama")
    session = small_session(signal, 120, name)
    field = point_field_of(session.scene)
    assert isinstance(field.encoding, Encoding)
    for count in (0, 1):
        assert field(torch.rand(count, 3)).shape == (count, 3)
    before = session.training.objective.probe(EVAL)
    finished(session)
    assert session.training.objective.probe(EVAL) < before / 3
    field(signal.sample(4096, torch.Generator().manual_seed(0)).positions).square().sum().backward()
    for group in field.parameter_groups():
        for key, parameter in group.parameters.items():
            assert parameter.grad is not None, key
            assert parameter.grad.any(), key


@pytest.mark.parametrize("name", sorted(set(ENCODERS) - {"sphere"}))
@pytest.mark.parametrize("kind", ["image", "volume"])
def test_every_encoder_but_the_sphere_learns_planes_and_volumes(name: str, kind: str) -> None:
    session = small_session(small_signal(kind), 60, name)
    before = session.training.objective.probe(EVAL)
    finished(session)
    assert session.training.objective.probe(EVAL) < before / 2


def test_a_picture_comes_back_at_its_own_size_and_at_any_other() -> None:
    signal = ImageSignal("a.png", waves(48, 32))
    scene = finished(small_session(signal, 150)).scene
    assert isinstance(scene.renderer, Pictured)
    own = torch.cat(list(scene.renderer.bands((48, 32))))
    error = (own.clamp(0, 1) - signal.picture.pixels / 255).square().mean()
    assert error < 0.01
    assert torch.cat(list(scene.renderer.bands((7, 300)))).shape == (300, 7, 3)


def test_a_fitted_panorama_has_no_seam_and_one_value_at_each_pole() -> None:
    scene = finished(small_session(small_signal("panorama"), 60, "sphere")).scene
    assert isinstance(scene.renderer, Pictured)
    rows = torch.cat(list(scene.renderer.bands((512, 128))))
    seam = (rows[:, 0] - rows[:, -1]).abs().max()
    beside = (rows[:, 1:] - rows[:, :-1]).abs().max()
    assert seam <= 1.1 * beside
    circle = torch.linspace(0, 1, 64)
    for polar in (1e-4, 1 - 1e-4):
        around = equirectangular_directions(torch.stack([circle, torch.full_like(circle, polar)], -1))
        with torch.no_grad():
            values = point_field_of(scene)(around / 2 + 0.5)
        assert (values - values[0]).abs().max() < 0.02 * rows.std()


def test_detail_is_handed_to_encodings_that_adapt(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Adapting(torch.nn.Module):
        dimensions = features = 2

        def forward(self, positions: torch.Tensor) -> torch.Tensor:
            return positions

        def parameter_groups(self) -> list[Any]:
            return []

        def adapt(self, points: torch.Tensor, weights: torch.Tensor, generator: torch.Generator | None = None) -> None:
            given.append((points, weights))

    monkeypatch.setattr(HashGrid, "encoding", lambda self, dimensions, finest, generator=None: Adapting())
    prepare_fit(small_signal("image"), HashGrid(), SignalFitting(steps=1))
    ((points, weights),) = given
    assert points.shape == (len(weights), 2)
    assert weights.max() > 0


def test_a_surface_keeps_the_coordinates_of_its_file() -> None:
    scene = finished(small_session(sphere_mesh(), 150)).scene
    centres = scene.cameras.centres - torch.tensor([5.0, 0.0, 0.0], dtype=torch.float64)
    assert (centres.norm(dim=-1) > 1.5).all()
    rendering = scene.render(scene.cameras[0].resized([(33, 33)]))
    assert rendering.depth is not None
    # The ball has radius 1 in its file, and the middle ray goes through its centre.
    expected = float(centres[0].norm()) - 1
    assert float(rendering.depth[0, 16, 16]) == pytest.approx(expected, abs=0.03)


def test_an_image_with_alpha_is_seen_through(tmp_path: Path) -> None:
    pixels = torch.full((16, 16, 4), 255, dtype=torch.uint8)
    pixels[:, :8, 3] = 0
    pixels[..., 1:3] = 0
    scene = finished(small_session(ImageSignal("a.png", Picture(pixels, linear=False)), 150)).scene
    picture = scene.render(scene.cameras[0].resized([(32, 24)])).color[0]
    assert picture[12, 10].min() > 0.8  # the white background
    assert picture[12, 20, 0] > 0.8
    assert picture[12, 20, 1] < 0.2
    Image.fromarray((picture * 255).byte().numpy()).save(tmp_path / "seen.png")
