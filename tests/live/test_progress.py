import threading
import time

import numpy as np
import pytest

from scenekit.live import LiveView
from scenekit.live.progress import MOST_POINTS, Curve

from .fakes import ball_scene


def test_a_curve_of_any_length_has_few_points_and_keeps_its_shape():
    curve = Curve()
    for step in range(10_000):
        curve.add(step, 2.0 * step)
    steps, values = curve.points()
    assert MOST_POINTS / 2 <= len(steps) <= MOST_POINTS
    np.testing.assert_allclose(values, 2 * steps)
    assert (np.diff(steps) > 0).all()
    assert steps[-1] > 9900


@pytest.fixture
def training():
    """A training of a hundred thousand short steps, and what it has done."""
    with LiveView([ball_scene()]) as live:
        done, saved, ends = [], [], threading.Event()

        def steps():
            while not ends.is_set() and len(done) < 100_000:
                time.sleep(0.001)
                yield len(done)

        def run():
            done.extend(live.follow(steps(), lambda: saved.append(len(done))))

        thread = threading.Thread(target=run)
        thread.start()
        yield live, done, saved
        live._progress._pause.value = False
        ends.set()
        thread.join()


def test_a_pause_holds_the_next_step_until_it_ends(training):
    live, done, _ = training
    live._progress._pause.value = True
    time.sleep(0.2)
    before = len(done)
    time.sleep(0.3)
    assert len(done) == before > 0
    live._progress._pause.value = False
    time.sleep(0.3)
    assert len(done) > before


def test_saving_happens_between_steps_and_while_paused(training):
    live, _, saved = training
    for paused in (False, True):
        live._progress._pause.value = paused
        count = len(saved)
        live._progress._save_asked.set()
        ends = time.monotonic() + 5
        while len(saved) == count and time.monotonic() < ends:
            time.sleep(0.02)
        assert len(saved) == count + 1


def test_a_full_disk_is_told_and_ends_nothing():
    def save():
        raise OSError("no space left")

    with LiveView([ball_scene()]) as live:
        live._progress._save_asked.set()
        assert list(live.follow(range(3), save)) == [0, 1, 2]
        assert live._progress.line.value == "not saved: no space left"
