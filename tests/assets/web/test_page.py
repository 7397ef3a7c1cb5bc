import gzip
import hashlib
import json

import pytest
import torch

from scenekit.assets.exporters import export
from scenekit.assets.web import Shape, export_web
from scenekit.assets.web.export import build_manifest
from scenekit.assets.web.page import write_page
from scenekit.core.checks import BadInput

from .scenes import random_splats, splat_scene, turned


def test_a_folder_holds_the_viewer_the_manifest_and_every_chunk_under_its_own_hash(tmp_path):
    target = tmp_path / "page"
    size = export_web(splat_scene(random_splats(50)), target)
    assert size == sum(file.stat().st_size for file in target.iterdir())
    manifest = json.loads((target / "scene.json").read_text())
    chunks = [chunk for node in manifest["nodes"] for chunk in node["chunks"]]
    assert {"index.html", "viewer.js", "viewer.css", "scene.json"} | {c["file"] for c in chunks} == {
        file.name for file in target.iterdir()
    }
    for chunk in chunks:
        packed = (target / chunk["file"]).read_bytes()
        raw = gzip.decompress(packed)
        assert (len(packed), len(raw)) == (chunk["bytes"], chunk["raw_bytes"])
        assert hashlib.sha256(raw).hexdigest() == chunk["sha256"]
        assert chunk["file"] == f"{chunk['part']}_{chunk['sha256'][:12]}.bin"


def test_exporting_twice_gives_the_same_bytes_and_replaces_the_earlier_page(tmp_path):
    scene = splat_scene(random_splats(50))
    export_web(scene, tmp_path / "page")
    first = {file.name: file.read_bytes() for file in (tmp_path / "page").iterdir()}
    export_web(scene, tmp_path / "page")
    assert {file.name: file.read_bytes() for file in (tmp_path / "page").iterdir()} == first


def test_the_page_says_how_to_come_back_to_the_world(tmp_path):
    frame = turned()
    scene = splat_scene(random_splats(20), scene_from_world=frame)
    export_web(scene, tmp_path / "page")
    manifest = json.loads((tmp_path / "page" / "scene.json").read_text())
    world = type(frame).from_json(manifest["world_from_page"])
    pose = torch.tensor(manifest["bookmarks"][1]["pose"], dtype=torch.float64).reshape(3, 4)
    assert torch.allclose(world.poses(pose), scene.cameras.world_from_camera[1])


def test_a_background_that_differs_by_direction_is_said_to_become_one_colour(tmp_path):
    class Halves:
        def colors(self, cameras, pixels, context):
            picture = torch.zeros(1, 100, 160, 3)
            picture[:, :50, :, 2] = 1.0
            return picture

    scene = splat_scene(random_splats(5))
    assert "note" not in export(scene, tmp_path / "plain.html")
    scene.background = Halves()
    assert "mean colour" in export(scene, tmp_path / "page")["note"]
    assert json.loads((tmp_path / "page" / "scene.json").read_text())["background"] == [0.0, 0.0, 0.5]


def test_a_name_cannot_end_the_element_that_holds_it(tmp_path):
    scene = splat_scene(random_splats(5, degree=0))
    manifest, chunks = build_manifest("</script><script>alert(1)</script>", scene, [])
    write_page(tmp_path / "page.html", manifest, chunks)
    page = (tmp_path / "page.html").read_text()
    assert "alert(1)</script>" not in page.replace("\\u003c/script>", "")
    assert page.count("<script") == 2
    assert "script-src 'sha256-" in page


@pytest.mark.bad_input
def test_places_and_scenes_that_do_not_fit_are_refused_in_one_sentence(tmp_path):
    scene = splat_scene(random_splats(5))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "a.html").mkdir()
    for place in ("full", "a.html", "page.ply"):
        with pytest.raises(BadInput, match=place):
            export_web(scene, tmp_path / place)
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    with pytest.raises(BadInput, match="at least one scene"):
        export_web({}, tmp_path / "page")
    scene.renderer = torch.nn.Identity()
    with pytest.raises(BadInput, match="wanted Gaussians or a field, found Identity"):
        export_web(scene, tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_shapes_are_cut_into_chunks_that_hold_all_of_them(tmp_path):
    many = torch.rand(70_000, 3)
    cloud = Shape("points", "cloud", many, many)
    export_web(splat_scene(random_splats(5, degree=0)), tmp_path / "page", shapes=[cloud])
    node = json.loads((tmp_path / "page" / "scene.json").read_text())["nodes"][-1]
    raw = [gzip.decompress((tmp_path / "page" / chunk["file"]).read_bytes()) for chunk in node["chunks"]]
    counts = [chunk["count"] for chunk in node["chunks"]]
    assert sum(counts) == node["count"] == 70_000
    positions = b"".join(part[: 12 * count] for part, count in zip(raw, counts, strict=True))
    assert torch.equal(torch.frombuffer(bytearray(positions), dtype=torch.float32).reshape(-1, 3), many)


@pytest.mark.bad_input
def test_a_page_takes_the_place_of_an_earlier_page_and_of_no_other_folder(tmp_path):
    target = tmp_path / "page"
    export_web(splat_scene(random_splats(5)), target)
    export_web(splat_scene(random_splats(9)), target)
    other = tmp_path / "other"
    other.mkdir()
    (other / "scene.json").write_text('{"camera": "mine"}')
    with pytest.raises(
        BadInput, match="wanted a new folder, or an earlier page, found a folder with other files in it"
    ):
        export_web(splat_scene(random_splats(5)), other)
    assert (other / "scene.json").read_text() == '{"camera": "mine"}'
