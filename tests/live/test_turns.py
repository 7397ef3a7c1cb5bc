import threading
import time

from scenekit.live.turns import Turns


def train_and_view(turns, seconds, step, view):
    """Train in a tight loop beside a viewer that always wants more; returns steps, and seconds viewed."""
    ends = time.monotonic() + seconds
    viewed = []

    def look():
        while time.monotonic() < ends:
            with turns.viewing():
                begun = time.monotonic()
                time.sleep(view)
                viewed.append(time.monotonic() - begun)

    viewer = threading.Thread(target=look)
    viewer.start()
    steps = 0
    while time.monotonic() < ends:
        with turns.training():
            time.sleep(step)
        steps += 1
    viewer.join()
    return steps, sum(viewed)


def test_a_busy_viewer_takes_its_share_and_no_more():
    steps, viewed = train_and_view(Turns(share=0.5), seconds=0.6, step=0.002, view=0.02)
    assert 0.15 < viewed < 0.36
    assert steps > 60


def test_a_tight_training_loop_does_not_starve_the_viewer():
    _, viewed = train_and_view(Turns(share=0.5), seconds=0.4, step=0.03, view=0.001)
    assert viewed > 0.006


def test_without_training_nothing_is_held_back():
    turns = Turns(share=0.1)
    begun = time.monotonic()
    for _ in range(5):
        with turns.viewing():
            time.sleep(0.01)
    assert time.monotonic() - begun < 0.4  # held back to its share it would take 0.5


def test_training_and_viewing_never_overlap_and_steps_are_counted():
    turns = Turns()
    inside = []

    def enter(turn, times):
        for _ in range(times):
            with turn():
                inside.append(1)
                assert len(inside) == 1
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=enter, args=(turn, 30)) for turn in (turns.training, turns.viewing)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert turns.steps == 30


def test_a_step_that_fails_gives_the_scene_back():
    turns = Turns()
    try:
        with turns.training():
            raise RuntimeError
    except RuntimeError:
        pass
    with turns.viewing():
        pass
