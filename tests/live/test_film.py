import io
import threading
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenekit.live.film import film, screenshot
from scenekit.live.look import Look
from scenekit.live.path_panel import path_json
from scenekit.live.studio import Studio
from scenekit.live.turns import Turns
from scenekit.renderers.path_files import read_path

from .fakes import ball_scene


def looks(scene, count=4):
    return [
        Look(scene.cameras.world_from_camera[i % 4], field_of_view=0.8, aspect=1.5, height=60) for i in range(count)
    ]


def test_a_screenshot_is_the_finished_picture():
    scene = ball_scene()
    kept = []
    for _ in screenshot(looks(scene)[0], kept.append)(Studio([scene]), Turns()):
        pass
    with Image.open(io.BytesIO(kept[0])) as image:
        assert image.size == (90, 60)
        assert np.asarray(image).std() > 10


def test_a_film_has_a_frame_for_every_look_and_says_how_far_it_is():
    scene = ball_scene()
    done, kept, told = threading.Event(), [], []

    def keep(content):
        kept.append(content)
        done.set()

    errand = film(looks(scene), (64, 48), 10.0, told.append, keep)
    parts = sum(1 for _ in errand(Studio([scene]), Turns()))
    assert parts >= 4
    assert done.wait(30)
    assert kept[0][4:8] == b"ftyp"
    assert "frame 4 of 4" in told


def test_a_film_given_up_leaves_no_frames(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scene = ball_scene()
    running = film(looks(scene), (64, 48), 10.0, lambda words: None, lambda content: None)(Studio([scene]), Turns())
    for _ in range(3):
        next(running)
    assert any(Path(tmp_path).iterdir())
    running.close()
    assert not any(Path(tmp_path).iterdir())


def test_a_saved_path_is_one_that_render_reads(tmp_path):
    kept = [(look.world_from_camera, 0.5 + 0.1 * i) for i, look in enumerate(looks(ball_scene()))]
    file = tmp_path / "camera_path.json"
    file.write_text(path_json(kept))
    poses, angles = read_path(file)
    torch.testing.assert_close(poses, torch.stack([pose for pose, _ in kept]))
    torch.testing.assert_close(angles, torch.tensor([0.5, 0.6, 0.7, 0.8], dtype=torch.float64))
