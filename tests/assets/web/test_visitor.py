"""What a visitor does with a page in a real, headless Chromium, and what the page tells."""

import json

import numpy as np
import pytest
import torch

from scenekit.assets.web import export_web

from . import browser
from .scenes import page_of, random_splats, ring, splat_scene

pytestmark = browser.MARKS


def test_keys_buttons_and_the_mouse_move_the_view(tmp_path, open_page):
    page_of(tmp_path / "page", splat_scene(random_splats(300, 1)))
    with browser.served(tmp_path / "page") as address:
        page = open_page(address)
        page.set_viewport_size({"width": 600, "height": 400})
        page.reload()
        browser.wait_until_loaded(page)

        def shot():
            page.wait_for_timeout(900)  # a flight and the full picture after it
            return page.screenshot(clip={"x": 200, "y": 10, "width": 200, "height": 200})  # clear of the panel

        pictures = [shot()]
        for key in ("n", "ArrowLeft", "w", "r"):
            page.keyboard.press(key, delay=150)
            pictures.append(shot())
        assert pictures[0] == pictures[4]
        page.mouse.move(300, 100)
        page.mouse.down()
        page.mouse.move(360, 110, steps=3)
        page.mouse.up()
        pictures[4] = shot()
        page.mouse.wheel(0, 300)
        pictures.append(shot())
        assert len(set(pictures)) == 6
        page.get_by_label("next camera").click()
        page.get_by_text("photograph 2").wait_for()
        page.get_by_label("statistics").click()
        page.get_by_text("300 splats").or_(page.get_by_text("splats,")).first.wait_for()


def test_all_of_the_page_is_reached_with_the_keyboard_alone(tmp_path, open_page):
    scene = splat_scene(random_splats(300, 1))
    export_web({"a": scene, "b": scene}, tmp_path / "page.html")
    page = open_page((tmp_path / "page.html").as_uri())  # as small as a phone: the controls are closed
    browser.wait_until_loaded(page)
    focused = "() => [document.activeElement.ariaLabel ?? document.activeElement.parentElement.textContent]"
    reached = []

    def tab():
        page.keyboard.press("Tab")
        reached.extend(page.evaluate(focused))

    tab()
    assert reached[0].startswith("Scene: ")
    page.keyboard.press("h")
    page.get_by_text("drag: turn").wait_for()
    page.keyboard.press("h")
    assert not page.get_by_text("drag: turn").is_visible()
    page.keyboard.press("i")
    page.get_by_text("first picture after").wait_for()
    tab()
    page.keyboard.press("Enter")
    assert not page.get_by_label("next camera").is_visible()
    page.keyboard.press("Enter")
    for _ in range(9):
        tab()
    page.keyboard.press("Space")
    assert not page.get_by_label("b (splats)").is_checked()
    assert len(set(reached)) == len(reached) == 11
    for name in ("next camera", "orbit or fly", "save a picture", "a (splats)", "b (splats)"):
        assert name in reached
    page.locator("canvas").focus()
    page.keyboard.press("2")
    page.get_by_text("photograph 2").wait_for()
    page.keyboard.press("f")
    page.get_by_label("orbit or fly").filter(has_text="fly").wait_for()
    with page.expect_download() as download:
        page.keyboard.press("c")
    assert download.value.suggested_filename == "scene.png"


@pytest.mark.parametrize(
    ("sabotage", "sentence"),
    [
        ("HTMLCanvasElement.prototype.getContext = () => null", "This browser has no WebGL2"),
        ("WebGL2RenderingContext.prototype.checkFramebufferStatus = () => 0", "cannot draw into half-float pictures"),
        ("WebGL2RenderingContext.prototype.shaderSource = () => undefined", "A shader does not compile"),
        (
            "window.Worker = class { postMessage() { this.onerror({ message: 'no' }); } }",
            "The worker of this page does not",
        ),
    ],
)
def test_what_a_device_cannot_do_is_told_in_words(tmp_path, open_page, sabotage, sentence):
    export_web(splat_scene(random_splats(20, 0)), tmp_path / "page.html")
    page = open_page("about:blank")
    page.add_init_script(sabotage)
    page.goto((tmp_path / "page.html").as_uri())
    page.get_by_role("alert").filter(has_text=sentence).wait_for(timeout=20_000)


def test_a_picture_that_the_device_takes_away_is_told_in_words(tmp_path, open_page):
    export_web(splat_scene(random_splats(20, 0)), tmp_path / "page.html")
    page = open_page((tmp_path / "page.html").as_uri())
    browser.wait_until_loaded(page)
    page.evaluate(
        "document.querySelector('canvas').getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
    )
    page.get_by_role("alert").filter(has_text="took the picture away").wait_for(timeout=20_000)


def test_a_finger_turns_the_view_and_two_fingers_come_closer(tmp_path, open_page):
    splats = random_splats(2, degree=0)
    splats.means[:], splats.scales[:], splats.opacities[:] = 0.0, 0.1, 1.0
    splats.harmonics_dc[:] = torch.tensor(
        [[[-2.0, -2.0, -2.0]], [[2.0, -2.0, -2.0]]]
    )  # black in the middle, red beside
    splats.means[1, 0], splats.scales[1] = 0.3, 0.03
    page_of(tmp_path / "page", splat_scene(splats))
    with browser.served(tmp_path / "page") as address:
        page = open_page(address)
        page.set_viewport_size({"width": 300, "height": 300})
        page.reload()
        browser.wait_until_loaded(page)
        touch = page.context.new_cdp_session(page)

        def move(*steps):
            for kind, step in zip(["touchStart", *["touchMove"] * (len(steps) - 1)], steps, strict=True):
                points = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(step)]
                touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            page.wait_for_timeout(300)
            return browser.screenshot(page)[:200]

        def dark(picture):
            return int((picture.max(-1) < 0.15).sum())

        before = browser.screenshot(page)[:200]
        after = move([(130, 150), (170, 150)], [(120, 150), (180, 150)], [(112, 150), (188, 150)])
        assert dark(after) > 1.5 * dark(before) > 0
        turned = move([(150, 60)], [(190, 60)], [(230, 70)])
        assert np.abs(turned - after).max() > 0.5
        assert abs(dark(turned) - dark(after)) < 0.2 * dark(after)  # about the black ball, which stays in the middle


def broken(manifest, change):
    text = json.loads(json.dumps(manifest))
    change(text)
    return json.dumps(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.update(version=9), "version 1"),
        (lambda m: m["nodes"][0]["chunks"][0].update(file="../../etc/passwd"), "wanted a name such as"),
        (lambda m: m["nodes"][0]["chunks"][0].update(raw_bytes=10**12), "raw_bytes"),
        (lambda m: m["nodes"][0].update(name="<img src=x onerror=alert(1)>" * 20), "at most 200 characters"),
        (lambda m: m["nodes"][0]["chunks"][0].update(sha256="0" * 64), "it is damaged"),
        (lambda m: m["nodes"][0]["chunks"][0].update(file="base_ffffffffffff.bin"), "404"),
    ],
)
def test_a_hostile_or_damaged_scene_is_refused_in_words(tmp_path, open_page, change, sentence):
    target = tmp_path / "page"
    manifest = page_of(target, splat_scene(random_splats(20, 0)))
    (target / "scene.json").write_text(broken(manifest, change))
    with browser.served(target) as address:
        page = open_page(address, expected=["404"])
        alert = page.get_by_role("alert").filter(has_text=sentence)
        alert.wait_for(timeout=20_000)
        assert page.evaluate("() => document.querySelectorAll('img').length") == 0


def test_the_page_fits_a_phone(tmp_path, open_page):
    export_web(splat_scene(random_splats(200, 0), cameras=ring(size=(100, 160))), tmp_path / "page.html")
    page = open_page((tmp_path / "page.html").as_uri())
    page.set_viewport_size({"width": 360, "height": 640})
    page.reload()
    browser.wait_until_loaded(page)
    page.get_by_label("show or hide the controls").click()
    page.get_by_label("help").click()
    page.get_by_label("statistics").click()
    wide = page.evaluate("() => [document.documentElement.scrollWidth, document.querySelector('nav').scrollWidth]")
    assert max(wide) <= 360
    touched = [*page.get_by_role("button").all(), *page.locator("nav label").all()]
    assert len(touched) == 8 + 2  # a scene and the photographs
    for control in touched:
        box = control.bounding_box()
        assert box["width"] >= 40
        assert box["height"] >= 40
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
    assert np.isfinite(wide).all()


@pytest.mark.parametrize("title", ["a", "a title longer than any window " * 6])
def test_the_menu_stands_at_the_edge_of_its_panel_whatever_the_title(tmp_path, open_page, title):
    scene = splat_scene(random_splats(20, 0))
    export_web({f"a scene with a name {i}": scene for i in range(5)}, tmp_path / f"{title}.html")
    page = open_page((tmp_path / f"{title}.html").as_uri())
    page.set_viewport_size({"width": 900, "height": 500})
    page.reload()
    browser.wait_until_loaded(page)
    panel, menu = page.locator("nav").bounding_box(), page.get_by_label("show or hide the controls").bounding_box()
    assert 0 < panel["x"] + panel["width"] - menu["x"] - menu["width"] < 20
    assert page.evaluate("() => document.querySelector('nav').scrollWidth <= document.querySelector('nav').clientWidth")
