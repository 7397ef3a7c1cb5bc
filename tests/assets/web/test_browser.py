"""Pages in a real, headless Chromium: what they draw against our own renderer, and what they refuse."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenekit.assets.web import Shape, export_web
from scenekit.assets.web.splats import dequantise
from scenekit.core.transforms import Similarity
from scenekit.distill.bake import coarser
from scenekit.training.evaluate import to_bytes

from . import browser
from .scenes import FixedSplats, page_of, random_splats, splat_scene, turned
from .volumes import random_baked

pytestmark = browser.MARKS


def as_quantised(target, node, scene):
    """The scene with the very numbers that the page has."""
    raw = {(c["part"], c["block"]): gzip.decompress((target / c["file"]).read_bytes()) for c in node["chunks"]}
    renderer = type(scene.renderer)(FixedSplats(dequantise(node, raw)), antialiased=scene.renderer.antialiased)
    return replace(scene, renderer=renderer)


def drawn_by(page, scene, index):
    """The page's picture for one of the scene's cameras, and our own in the same eight bits."""
    inside = scene.cameras.moved(scene.scene_from_world)
    seen = browser.photograph(page, inside.world_from_camera[index], inside.intrinsics[index], inside.sizes[index])
    return seen, to_bytes(scene.render(scene.cameras[index]).color[0]).numpy() / 255


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_splats_look_in_the_page_as_our_own_renderer_draws_them(tmp_path, open_page, degree, antialiased):
    splats = random_splats(1500, degree)
    splats.scales[::3] *= 0.05  # smaller than a pixel: what the antialiased mode is about
    scene = splat_scene(splats, antialiased=antialiased, scene_from_world=turned())
    manifest = page_of(tmp_path / "page", scene)
    quantised = as_quantised(tmp_path / "page", manifest["nodes"][0], scene)
    with browser.served(tmp_path / "page") as address:
        page = open_page(address)
        browser.wait_until_loaded(page)
        for index in (0, 1):
            seen, wanted = drawn_by(page, quantised, index)
            assert wanted.std() > 0.1
            assert browser.psnr(seen, wanted) >= 55


def test_two_scenes_that_overlap_are_blended_as_one(tmp_path, open_page):
    first, second = random_splats(800, 1), random_splats(800, 2, seed=1)
    shift = Similarity.of(0.5, torch.tensor([0.2, 0.1, 0.0], dtype=torch.float64))
    scenes = {"a": splat_scene(first), "b": splat_scene(second, scene_from_world=shift)}
    manifest = page_of(tmp_path / "page", scenes)
    parts = [as_quantised(tmp_path / "page", node, scenes[node["name"]]) for node in manifest["nodes"][:2]]
    a, b = (part.renderer.primitives.given for part in parts)
    rest = torch.zeros(len(a.means), 5, 3)
    both = replace(
        b,
        means=torch.cat([a.means, shift.inverse().points(b.means)]),
        quaternions=torch.cat([a.quaternions, b.quaternions]),
        scales=torch.cat([a.scales, b.scales / shift.scale]),
        opacities=torch.cat([a.opacities, b.opacities]),
        harmonics_dc=torch.cat([a.harmonics_dc, b.harmonics_dc]),
        harmonics_rest=torch.cat([torch.cat([a.harmonics_rest, rest], 1), b.harmonics_rest]),
    )
    with browser.served(tmp_path / "page") as address:
        page = open_page(address)
        browser.wait_until_loaded(page)
        seen, wanted = drawn_by(page, splat_scene(both), 0)
        assert browser.psnr(seen, wanted) >= 55
        page.get_by_label("show or hide the controls").click()
        page.get_by_label("b (splats)").uncheck(force=True)
        seen, wanted = drawn_by(page, parts[0], 0)
        assert browser.psnr(seen, wanted) >= 55


@pytest.mark.parametrize("extent", [1.0, 4.0, 64.0])
def test_a_baked_field_looks_in_the_page_as_its_twin_renders_it(tmp_path, open_page, extent):
    scene = replace(splat_scene(random_splats(0), scene_from_world=turned(0.8)), renderer=random_baked(extent))
    page_of(tmp_path / "page", scene)
    with browser.served(tmp_path / "page") as address:
        page = open_page(address)
        browser.wait_until_loaded(page)
        for index in (0, 1):
            seen, wanted = drawn_by(page, scene, index)
            difference = np.abs(seen - wanted) * 255
            assert wanted.std() > 0.1
            assert difference.max() <= 3.001
            assert difference.mean() <= 0.05


def test_a_baked_field_opens_from_disk_too(tmp_path, open_page):
    scene = replace(splat_scene(random_splats(0)), renderer=random_baked())
    export_web(scene, tmp_path / "page.html")
    page = open_page((tmp_path / "page.html").as_uri())
    browser.wait_until_loaded(page)
    seen, wanted = drawn_by(page, scene, 0)
    assert (np.abs(seen - wanted) * 255).max() <= 3.001


def test_while_a_field_is_on_its_way_its_coarse_copy_is_shown(tmp_path, open_page):
    scene = replace(splat_scene(random_splats(0)), renderer=random_baked(resolution=64))
    manifest = page_of(tmp_path / "page", scene)
    missing = [chunk for chunk in manifest["nodes"][1]["chunks"] if chunk["part"] == "atlas"]
    (tmp_path / "page" / missing[0]["file"]).unlink()
    with browser.served(tmp_path / "page") as address:
        page = open_page(address, expected=["404"])
        page.get_by_role("alert").filter(has_text=missing[0]["file"]).wait_for(timeout=30_000)
        seen, wanted = drawn_by(page, replace(scene, renderer=coarser(scene.renderer)), 0)
    assert wanted.std() > 0.1
    assert (np.abs(seen - wanted) * 255).max() <= 3.001


def test_a_volume_hides_the_splats_behind_it_and_ends_at_a_wall(tmp_path, open_page):
    baked = random_baked()
    with torch.no_grad():
        baked.occupied[:] = False
        baked.occupied[:, 6:10, 6:10, 6:10] = True  # a cube about the middle
        baked.field.grid[:] = torch.tensor([8.0, 7.0, -7.0, -7.0, 0.0, 0.0, 0.0, 0.0])  # red
        for table in (*baked.field.planes, baked.field.network[-1]):
            table.zero_()
    splats = random_splats(2, degree=0)
    splats.means[:] = torch.tensor([[0.0, 0.0, 0.9], [0.0, 0.0, -0.9]])
    splats.scales[:], splats.opacities[:] = 0.05, 1.0
    splats.harmonics_dc[:] = torch.tensor([[[-2.0, 2.0, -2.0]], [[-2.0, -2.0, 2.0]]])  # green at +z, blue at -z
    white = torch.ones(3, 3)
    wall = Shape("mesh", "wall", torch.tensor([[-9.0, -9.0, 0.6], [9.0, -9.0, 0.6], [0.0, 9.0, 0.6]]), white,
                 triangles=torch.tensor([[0, 1, 2]]))  # fmt: skip
    scene = splat_scene(splats)
    export_web({"splats": scene, "field": replace(scene, renderer=baked)}, tmp_path / "page", shapes=[wall])
    with browser.served(tmp_path / "page") as address:
        page = open_page(address)
        browser.wait_until_loaded(page)
        front, _ = drawn_by(page, scene, 0)  # from +z: the wall hides the red cube, green stands before it
        page.get_by_label("show or hide the controls").click()
        page.get_by_label("wall (mesh)").uncheck(force=True)
        cube, _ = drawn_by(page, scene, 0)  # green before the cube, blue behind it
    red, green, blue = (cube[..., c] - cube[..., [d for d in range(3) if d != c]].max(-1) > 0.7 for c in range(3))
    assert green.any()
    assert red.sum() > 50
    assert not blue.any()
    assert not (front[..., 0] - front[..., 1] > 0.3).any()


def test_a_single_file_opens_from_disk_and_shows_what_the_folder_shows(tmp_path, open_page):
    scene = splat_scene(random_splats(500))
    manifest = page_of(tmp_path / "page", scene)
    export_web(scene, tmp_path / "page.html")
    quantised = as_quantised(tmp_path / "page", manifest["nodes"][0], scene)
    page = open_page((tmp_path / "page.html").as_uri())
    browser.wait_until_loaded(page)
    seen, wanted = drawn_by(page, quantised, 2)
    assert browser.psnr(seen, wanted) >= 55


def test_shapes_hide_the_splats_behind_them_and_not_those_before(tmp_path, open_page):
    corners = torch.tensor([[-9.0, -9.0, 0.0], [9.0, -9.0, 0.0], [9.0, 9.0, 0.0], [-9.0, 9.0, 0.0]])
    red = torch.tensor([[1.0, 0.0, 0.0]]).expand(4, 3)
    wall = Shape("mesh", "wall", corners, red, triangles=torch.tensor([[0, 1, 2], [0, 2, 3]]))
    splats = random_splats(2, degree=0)
    splats.means[:] = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    splats.scales[:], splats.opacities[:] = 0.2, 1.0
    splats.harmonics_dc[:] = torch.tensor([[[-2.0, 2.0, -2.0]], [[-2.0, -2.0, 2.0]]])  # green in front, blue behind
    scene = splat_scene(splats)
    export_web(scene, tmp_path / "page", shapes=[wall])
    with browser.served(tmp_path / "page") as address:
        page = open_page(address)
        browser.wait_until_loaded(page)
        front, _ = drawn_by(page, scene, 0)
        back, _ = drawn_by(page, scene, 2)
    assert (front[..., 1] > 0.5).any()
    assert not (front[..., 2] > 0.5).any()
    assert (back[..., 2] > 0.5).any()
    assert not (back[..., 1] > 0.5).any()
    assert front[5, 5, 0] > 0.3


def test_the_first_picture_stands_long_before_a_slow_line_has_brought_everything(tmp_path, open_page, chromium):
    splats = random_splats(60_000, 3, size=0.01)
    target = tmp_path / "page"
    manifest = page_of(target, splat_scene(splats))
    total = sum(file.stat().st_size for file in target.glob("*.bin"))
    with browser.served(target) as address:
        page = open_page("about:blank")
        line = page.context.new_cdp_session(page)
        line.send("Network.enable")
        speed = 400_000  # bytes a second: several seconds for all of it
        conditions = {"offline": False, "latency": 20, "downloadThroughput": speed, "uploadThroughput": speed}
        line.send("Network.emulateNetworkConditions", conditions)
        asked = []
        page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
        page.on("requestfinished", lambda request: asked.append("came: " + request.url.rpartition("/")[2]))
        page.goto(address)
        for _ in range(200):
            figures = page.evaluate("() => window.scenekit?.statistics()")
            if figures and figures["firstPictureMs"] > 0:
                break
            page.wait_for_timeout(50)
        assert 0 < figures["splats"] < 60_000
        assert 0 < figures["firstPictureBytes"] < total / 2
        page.goto("about:blank")  # before its server goes
    (lead,) = (chunk for chunk in manifest["nodes"][0]["chunks"] if chunk["level"] == 0)
    data = [name for name in asked if name.endswith(".bin")]
    assert data[:2] == [lead["file"], "came: " + lead["file"]]
    # At 50 Mbit/s all that a first picture needs is on the line for a tenth of the two seconds that it may take.
    parts = ("index.html", "viewer.js", "viewer.css", "scene.json", lead["file"])
    assert sum((target / part).stat().st_size for part in parts) < 0.2 * 50e6 / 8
