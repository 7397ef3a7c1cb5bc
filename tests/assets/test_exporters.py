from pathlib import Path

import pytest
import torch

from scenekit.assets import usd
from scenekit.assets.exporters import EXPORTERS, Job, Source, exporter_of
from scenekit.assets.frames import file_from_world, shortest_turn, world_up
from scenekit.assets.splats.files import read_splats
from scenekit.assets.verify import Judge, verify
from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity
from scenekit.representations.gaussian_cloud import cloud_of
from scenekit.training.evaluate import scores
from tests.assets.splat_scenes import sample_scene, scene_with, some_frame, world_cameras
from tests.representations.gaussian_clouds import sample_cloud

VERIFIED = [extension for extension, exporter in EXPORTERS.items() if exporter.verify is not None]


@pytest.mark.parametrize("antialiased", [False, True])
def test_a_file_shows_in_the_world_what_the_scene_shows_there(tmp_path: Path, antialiased: bool) -> None:
    scene = sample_scene(antialiased=antialiased)
    target = tmp_path / "a.ply"
    exporter_of(target).write(Job(Source(scene), target, Similarity.identity()))
    found = read_splats(target).cloud
    assert found.antialiased == antialiased
    # The file is a scene whose frame is the world itself: training's normalisation is undone, colours included.
    plain = scene_with(found, Similarity.identity(), scene.cameras)
    plain.renderer.near = 0.01 / scene.scene_from_world.scale  # type: ignore[attr-defined]
    wanted = scene.render(scene.cameras).color
    assert wanted.std() > 0.05
    error = (plain.render(scene.cameras).color - wanted).abs()
    assert error.mean() < 1e-5
    assert error.max() < 1 / 255  # rounding may push a splat over the edge of what is drawn at all


@pytest.mark.parametrize("extension", VERIFIED)
def test_every_extension_is_verified_and_the_exact_ones_lose_nothing(extension: str, tmp_path: Path) -> None:
    if extension in usd.SUFFIXES:
        pytest.importorskip("pxr")
    scene, target = sample_scene(), tmp_path / f"a{extension}"
    exporter = exporter_of(target)
    assert exporter.verify is not None
    frame = file_from_world(scene.cameras, "y", 2.0, exporter.half_turn)
    job = Job(Source(scene), target, frame)
    written = exporter.write(job)
    assert written.facts["gaussians"] == 150
    assert written.facts["bytes"] == target.stat().st_size
    result = exporter.verify(job, written)
    assert result.scope.startswith("4 of 4 cameras, without photographs")
    # The sample's harmonics are noise, of which a palette keeps little.
    assert result.psnr_lost < {
        ".ply": 1e-4,
        ".glb": 1e-4,
        ".usdc": 1e-4,
        ".usda": 1e-4,
        ".usdz": 1e-4,
        ".splat": 12,
        ".sog": 4,
    }.get(extension, 1.0)
    if extension == ".splat":
        assert result.parts["harmonics cut off"] > 0.5 * result.psnr_lost
    if extension in (".spz", ".sog"):
        assert set(result.parts) >= {"positions", "scales", "rotations", "colours and opacities", "harmonics"}
        assert max(result.parts.values()) <= result.psnr_lost * 1.5


def test_a_lost_tag_is_a_loss_of_its_own(tmp_path: Path) -> None:
    scene, target = sample_scene(0, antialiased=True), tmp_path / "a.glb"
    exporter = exporter_of(target)
    job = Job(Source(scene), target, Similarity.identity())
    result = exporter.verify(job, exporter.write(job))  # type: ignore[misc]
    assert result.parts["antialiasing"] == pytest.approx(result.psnr_lost, rel=0.01)
    assert result.psnr_lost > 0.01


def test_where_the_photographs_are_the_loss_is_measured_against_them(tmp_path: Path) -> None:
    from dataclasses import replace

    from scenekit.data import open_capture
    from scenekit.renderers.splats import SplatRenderer
    from scenekit.representations.gaussian_cloud import model_of

    capture = open_capture("synthetic", downscale=8.0)
    cloud = sample_cloud(300, 1).moved(Similarity.of(0.3))
    scene = replace(
        sample_scene(),
        renderer=SplatRenderer(model_of(cloud)),
        scene_from_world=capture.scene_from_world,
        cameras=capture.cameras,
        recipe={"capture": {"path": "synthetic", "downscale": 8.0}},
    )
    judge = Judge(scene, Similarity.identity())
    found = verify(judge, cloud, cloud)
    assert (found.psnr_lost, found.psnr_between) == (0, None)
    assert "of 3 photographs of synthetic" in found.scope
    # A scene that shows nothing is as far from the photographs as its background is.
    gone = replace(cloud, opacity_logits=cloud.opacity_logits - 20)
    lost = verify(judge, cloud, gone)
    held_out = capture.cameras[capture.test]
    images = [capture.images[row] for row in capture.test]
    names = [capture.names[row] for row in capture.test]
    live = sum(score.psnr for score in scores(scene, held_out, images, names)) / len(names)
    empty = replace(scene, renderer=SplatRenderer(model_of(gone)))
    without = sum(score.psnr for score in scores(empty, held_out, images, names)) / len(names)
    assert lost.psnr_lost == pytest.approx(live - without, abs=1e-6)
    assert lost.parts["colours and opacities"] == pytest.approx(lost.psnr_lost, abs=1e-6)
    assert lost.parts["scales"] == 0


def test_gaussians_that_came_from_a_file_leave_as_they_came(tmp_path: Path) -> None:
    scene, cloud, target = sample_scene(), sample_cloud(30, 1), tmp_path / "a.ply"
    exporter_of(target).write(Job(Source(scene, cloud), target, Similarity.identity()))
    assert torch.equal(read_splats(target).cloud.means, cloud.means)


@pytest.mark.parametrize("up", ["x", "y", "z", "-x", "-y", "-z"])
@pytest.mark.parametrize("extension", [".ply", ".spz", ".glb"])
def test_the_axis_asked_for_points_up_in_the_file(up: str, extension: str, tmp_path: Path) -> None:
    frame = some_frame()
    cloud = cloud_of(sample_scene(0).renderer.primitives)  # type: ignore[attr-defined]
    cloud.means[0] = frame.points(torch.tensor([10.0, -4.0, 203.0]))  # far up in the world
    scene = scene_with(cloud, frame, world_cameras(frame))
    target = tmp_path / f"a{extension}"
    exporter = exporter_of(target)
    frame_of_file = file_from_world(scene.cameras, up, 1.0, exporter.half_turn)  # type: ignore[arg-type]
    exporter.write(Job(Source(scene), target, frame_of_file))
    means = read_splats(target).cloud.means
    turned = means * torch.tensor({"x": [1, -1, -1], "z": [-1, -1, 1], None: [1, 1, 1]}[exporter.half_turn])
    highest = turned[means.norm(dim=-1).argmax()]
    sign = -1 if up.startswith("-") else 1
    assert sign * highest["xyz".index(up[-1])] > 150


def test_up_is_an_axis_where_photographs_nearly_say_so_and_theirs_where_not() -> None:
    frame = some_frame()
    assert world_up(world_cameras(frame, (0, 0, 1))).tolist() == [0, 0, 1]
    slanted = torch.nn.functional.normalize(torch.tensor([0.0, 1.0, 1.0]).double(), dim=0)
    found = world_up(world_cameras(frame, tuple(slanted.tolist())))
    torch.testing.assert_close(found, slanted, atol=0.02, rtol=0)


def test_the_shortest_turn_is_a_rotation_that_gets_there() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        start, end = torch.nn.functional.normalize(torch.randn(2, 3, generator=generator, dtype=torch.float64), dim=-1)
        for goal in (end, start, -start):
            turn = shortest_turn(start, goal)
            torch.testing.assert_close(turn @ start, goal)
            torch.testing.assert_close(turn @ turn.T, torch.eye(3, dtype=torch.float64))
            assert torch.linalg.det(turn) > 0.99


@pytest.mark.bad_input
def test_scenes_of_another_kind_and_names_of_no_format_are_one_sentence(tmp_path: Path) -> None:
    from dataclasses import replace

    scene = replace(sample_scene(), renderer=torch.nn.Identity())  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="wanted a scene made of Gaussians"):
        exporter_of(tmp_path / "a.ply").write(Job(Source(scene), tmp_path / "a.ply", Similarity.identity()))
    with pytest.raises(BadInput, match="wanted a name that ends in"):
        exporter_of(tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
