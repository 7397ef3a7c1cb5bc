"""The panel, used as a person uses it, in a real, headless Chromium."""

import io
import json
import re
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from scenekit.core.transforms import Similarity
from scenekit.live import LiveView, Photographs
from scenekit.live.picture import STOPS

from .fakes import BACKGROUND, BallRenderer, ball_scene
from .pages import MARKS, SKY, is_finished, screenshot, shot_when, shows_sky

pytestmark = MARKS
CENTRE = (500, 200)


@pytest.fixture
def panel(open_page):
    """Opens a page on scenes; gives the page and its panel in this process."""
    views = []

    def begin(*scenes, **options):
        views.append(LiveView(scenes, **options))
        page = open_page(views[-1].url)
        page.set_viewport_size({"width": 1000, "height": 400})  # so that the panel leaves the middle free
        shot_when(page, lambda image: shows_sky(image) and is_finished(page))
        (found,) = views[-1]._panels.values()
        return page, found

    yield begin
    for view in views:
        view.close()


def until(page, condition, seconds=20):
    for _ in range(int(seconds * 10)):
        if condition():
            return True
        page.wait_for_timeout(100)
    return False


def unfold(page, name):
    page.get_by_text(name, exact=True).first.click()
    page.wait_for_timeout(400)


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def downloaded(page, button, seconds=60):
    with page.expect_download(timeout=1000 * seconds) as coming:
        press(page, button)
    with open(coming.value.path(), "rb") as file:
        return file.read()


def test_a_screenshot_is_the_picture_without_the_panel(panel):
    page, _ = panel(ball_scene())
    with Image.open(io.BytesIO(downloaded(page, "screenshot"))) as image:
        pixels = np.asarray(image.convert("RGB")) / 255
    assert pixels.shape == (400, 1000, 3)
    assert np.abs(pixels[SKY[1], SKY[0]] - screenshot(page)[SKY[1], SKY[0]]).max() < 0.02


def test_two_clicks_measure_a_distance_in_world_units(panel):
    page, found = panel(ball_scene())
    unfold(page, "measure")
    page.get_by_role("checkbox", name="pick points").click()
    for x in (CENTRE[0] - 25, CENTRE[0] + 25):
        page.mouse.move(x, CENTRE[1] + 5)
        page.wait_for_timeout(300)  # the page has to know that clicks are wanted
        page.mouse.click(x, CENTRE[1], delay=100)
        assert until(page, lambda: found._measuring._told.value != "")
        page.wait_for_timeout(500)
    assert until(page, lambda: found._measuring._told.value.endswith("world units"))
    eye, ball = 6.32, 2.0  # of the first photograph: from the middle; the radius
    slope = 2 * 25 / 400 * np.tan(found.client.camera.fov / 2)
    sine = slope / np.hypot(1, slope)
    along = eye / np.hypot(1, slope) - np.sqrt(ball**2 - (eye * sine) ** 2)
    told = float(found._measuring._told.value.split()[0])
    assert told == pytest.approx(2 * along * sine, rel=0.03)
    page.mouse.click(*SKY, delay=100)
    assert until(page, lambda: found._measuring._told.value == "nothing there")


def test_a_path_is_recorded_changed_previewed_saved_and_filmed(panel):
    page, found = panel(ball_scene())
    unfold(page, "camera path")
    for _ in range(3):
        press(page, "add this view")
        page.get_by_text("next", exact=True).click()
        page.wait_for_timeout(500)
    assert until(page, lambda: len(found._path._keys) == 3)
    assert (found._path._chosen.value, found._path._chosen.max) == (3, 3)
    page.get_by_text("remove", exact=True).click()
    assert until(page, lambda: len(found._path._keys) == 2)
    assert until(page, lambda: (found._path._chosen.value, found._path._chosen.max) == (2, 2))
    found._path._seconds.value, found._path._size.value = 1.0, "320x180"
    path = json.loads(downloaded(page, "save path"))
    assert len(path["cameras"]) == 30  # the frames of the film
    before = np.array(path["cameras"][0]["world_from_camera"])
    assert before.shape == (3, 4)
    assert np.abs(before - path["cameras"][-1]["world_from_camera"]).max() > 0.5
    press(page, "preview")
    last = np.array(path["cameras"][-1]["world_from_camera"])
    assert until(page, lambda: np.abs(found.look().world_from_camera.numpy() - last).max() < 0.05)
    content = downloaded(page, "film to MP4")
    assert content[4:8] == b"ftyp"
    assert until(page, lambda: found._path._state.value == "30 frames, done")


def test_scenes_are_shown_together_moved_hidden_and_compared(panel):
    page, found = panel(ball_scene(), ball_scene(BallRenderer("images")), names=["field", "splats"])
    alone = shot_when(page, lambda image: is_finished(page))
    unfold(page, "scenes")
    found._arrangement._placings[1]._place.value = (0.0, 0.6, 0.0)
    page.get_by_role("checkbox", name="show").nth(1).click()
    both = shot_when(page, lambda image: np.abs(image - alone).mean() > 0.01)
    assert np.abs(both - alone).mean() > 0.01
    page.get_by_role("checkbox", name="show").nth(0).click()
    page.get_by_role("checkbox", name="show").nth(1).click()
    assert shot_when(page, lambda image: image[CENTRE[1], CENTRE[0]].max() < 0.02)[CENTRE[1], CENTRE[0]].max() < 0.02
    page.get_by_role("checkbox", name="show").nth(0).click()
    found._arrangement._compared.value = "splats"
    right = CENTRE[0] + 20  # where the other scene, which was moved aside, leaves the sky

    def is_split(image):
        return np.abs(image[CENTRE[1], right] - BACKGROUND).max() < 0.05

    split = shot_when(page, is_split)
    assert is_split(split)
    assert np.abs(split[CENTRE[1], CENTRE[0] - 20] - BACKGROUND).max() > 0.2


def test_view_angle_background_and_error_follow_the_panel(panel):
    scene = ball_scene()
    shots = [(255 * scene.render(scene.cameras[i]).color[0]).to(torch.uint8) for i in range(4)]
    page, found = panel(scene, photographs=lambda: Photographs(scene.cameras, shots, ["a", "b", "c", "d"]))
    usual = screenshot(page)
    found._angle.value = 120.0
    wide = shot_when(page, lambda image: np.abs(image - usual).mean() > 0.01)
    assert np.abs(wide - usual).mean() > 0.01
    assert found.client.camera.fov == pytest.approx(np.deg2rad(120), abs=0.01)
    found._backdrop.value, found._other.value = "another", (0, 255, 0)
    green = shot_when(page, lambda image: image[SKY[1], SKY[0], 0] < 0.05)
    assert np.abs(green[SKY[1], SKY[0]] - (0, 1, 0)).max() < 0.05
    found._channel.value = "error"
    page.get_by_text("against", exact=True).wait_for()
    assert until(page, lambda: re.search(r"^a \d+\.\d+ dB$", found._note.value) is not None)
    page.locator(f"input[value='{found._note.value}']").wait_for()
    found._channel.value = "colour"
    page.get_by_text("against", exact=True).wait_for(state="hidden")


def test_depth_opacity_and_normals_are_chosen_in_the_page(panel):
    page, found = panel(ball_scene())
    towards = -found.look().world_from_camera[:, 2].numpy()  # the ball's normal in the middle
    wanted = {"depth": STOPS[-1], "opacity": (1, 1, 1), "normals": 0.5 + 0.5 * towards}
    for channel, color in wanted.items():
        page.get_by_label("show", exact=True).first.click()
        page.get_by_role("option", name=channel, exact=True).click()
        shows_it = partial(shows, page, color)
        image = shot_when(page, shows_it)
        assert shows_it(image), channel
        assert image[SKY[1], SKY[0]].max() < 0.02


def shows(page, color, image):
    return is_finished(page) and np.abs(image[CENTRE[1], CENTRE[0]] - color).max() < 0.1


def test_a_click_on_a_photograph_goes_there_and_it_does_not_stand_in_the_way(panel):
    page, found = panel(ball_scene())
    page.get_by_role("checkbox", name="photographs").click()
    found._angle.value = 120.0
    assert until(page, lambda: found.client.camera.fov > 2)
    own, *others = found._frustums._nodes
    assert until(page, lambda: not own.visible and all(node.visible for node in others))
    camera = found.look().cameras((1000, 400))
    places = found._stage.page_from_world.inverse().points(found._stage.photographs.centres)
    seen = (places - camera.centres[0]) @ camera.world_from_camera[0, :, :3]
    fx, fy, cx, cy = camera.intrinsics[0]
    across, down = fx * seen[:, 0] / seen[:, 2] + cx, fy * seen[:, 1] / seen[:, 2] + cy
    left = [i for i in range(4) if seen[i, 2] > 1 and across[i] < CENTRE[0] - 50]  # clear of the panel
    (chosen,) = left
    page.mouse.move(float(across[chosen]) + 2, float(down[chosen]))
    page.wait_for_timeout(300)
    page.mouse.click(float(across[chosen]), float(down[chosen]), delay=100)
    wanted = places[chosen].numpy()
    assert until(page, lambda: np.abs(found.look().world_from_camera[:, 3].numpy() - wanted).max() < 1e-3)
    assert until(page, lambda: own.visible and not found._frustums._nodes[chosen].visible)


def test_handles_and_numbers_of_a_place_agree(panel):
    _, found = panel(ball_scene())
    placing = found._cropping._placing
    placing._turn.value = (0.0, 0.0, 90.0)
    placing._place.value = (0.5, 0.0, 0.0)
    placed = placing.similarity()
    assert isinstance(placed, Similarity)
    torch.testing.assert_close(
        placed.points(torch.tensor([1.0, 0.0, 0.0])), torch.tensor([0.5, 1.0, 0.0]), atol=1e-6, rtol=0
    )
    found._cropping._on.value = True
    crop = found.look().crop
    assert crop is not None
    corner = found._stage.page_from_world.inverse().points(placed.points(torch.tensor([0.5, 0.5, 0.5]).double()))
    torch.testing.assert_close(crop[:, :3] @ corner + crop[:, 3], torch.ones(3, dtype=torch.float64))


def test_the_curve_of_training_and_its_buttons_reach_the_page(open_page):
    with LiveView([ball_scene()]) as live:
        page = open_page(live.url)
        shot_when(page, lambda image: shows_sky(image) and is_finished(page))
        assert page.get_by_role("button", name="save", exact=True).count() == 0
        saved = []

        def steps():
            for step in range(1000):
                page.wait_for_timeout(20)
                yield step

        for step in live.follow(steps(), lambda: saved.append(1)):
            live.update(f"ball: step {step}")
            live.score(step, 20.0 + step)
            if step == 80:
                press(page, "save")
            if saved:
                break
        assert saved
        assert page.locator(".uplot").count() == 1


def test_a_training_pauses_is_saved_meanwhile_and_goes_on_as_the_page_says(open_page):
    done, ends = [], threading.Event()

    def steps():
        while not ends.is_set():
            time.sleep(0.005)
            yield len(done)

    def train(live):
        for step in live.follow(steps(), lambda: None):
            done.append(step)
            live.update(f"ball: step {step}")

    with LiveView([ball_scene()]) as live:
        page = open_page(live.url)
        training = threading.Thread(target=train, args=(live,))
        training.start()
        try:
            pause = page.get_by_role("checkbox", name="pause")
            pause.click()
            assert until(page, lambda: live._progress._pause.value)
            page.wait_for_timeout(500)
            held = len(done)
            press(page, "save")
            page.locator("input[value^='saved after: ball: step']").wait_for(timeout=20_000)
            assert len(done) == held > 0
            pause.click()
            assert until(page, lambda: len(done) > held)
            page.locator("input[value^='ball: step']").wait_for(timeout=20_000)
        finally:
            ends.set()
            live._progress._pause.value = False
            training.join()
