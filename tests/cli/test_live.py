"""``train --live`` and ``view``: what they hand to the browser's side, without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from scenekit.cli import main
from scenekit.live import Photographs
from scenekit.renderers.scene import Scene

FAST = ["--log2-table", "10", "--levels", "2", "--finest", "32", "--networks.width", "16", "--batch-samples", "4096",
        "--marching.steps", "32", "--marching.grid", "16", "--occupancy-cells", "4096", "--downscale", "8"]  # fmt: skip


class FakeLiveView:
    """Remembers what it is told."""

    made: list[FakeLiveView]
    url = "http://127.0.0.1:1/?token=fake"
    directions = (f"Open {url}", "From another machine: ssh -L 1:127.0.0.1:1 THERE")

    def __init__(self, scenes: Sequence[Scene], photographs: Callable[[], Photographs] | None) -> None:
        self.scenes = scenes
        self.photographs = photographs
        self.scores: list[int] = []
        self.events: list[str] = []
        self.made.append(self)

    def follow(self, steps: Iterable[Any], save: Callable[[], None]) -> Iterator[Any]:
        for step in steps:
            yield step
            save()
        self.events.append("followed to the end")

    def update(self, text: str) -> None:
        self.events.append(text)

    def score(self, step: int, psnr: float) -> None:
        assert psnr > 0
        self.scores.append(step)

    def wait(self) -> None:
        self.events.append("waited")

    def __enter__(self) -> FakeLiveView:
        return self

    def __exit__(self, *error: object) -> None:
        self.events.append("closed")


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[FakeLiveView]:
    made: list[FakeLiveView] = []
    monkeypatch.setattr(FakeLiveView, "made", made, raising=False)
    monkeypatch.setattr("scenekit.live.LiveView", FakeLiveView)
    return made


def test_a_live_training_is_followed_told_waited_for_and_closed(
    views: list[FakeLiveView], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", "synthetic", "-r", "hash_grid", "-o", str(run), "--live", "--steps", "3", *FAST]) == 0
    [live] = views
    assert live.url in capsys.readouterr().err
    names = ["hash_grid: step 0", "hash_grid: step 1", "hash_grid: step 2"]
    assert [event.split(",")[0] for event in live.events[:3]] == names
    assert live.scores == [0, 1, 2]
    assert live.photographs is not None
    found = live.photographs()
    assert len(found.cameras) == len(found.images) == len(found.names) > 0
    assert live.events[3:] == ["followed to the end", "waited", "closed"]
    assert (run / "scene.safetensors").exists()
    assert isinstance(live.scenes[0], Scene)


def test_an_interrupted_live_training_keeps_a_checkpoint_and_closes_the_view(
    views: list[FakeLiveView], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: FakeLiveView, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeLiveView, "update", interrupt)
    run = tmp_path / "run"
    assert main(["train", "synthetic", "-r", "hash_grid", "-o", str(run), "--live", "--steps", "3", *FAST]) == 130
    assert [folder.name for folder in (run / "checkpoints").iterdir()] == ["step-00000001"]
    assert not (run / "scene.safetensors").exists()
    assert views[0].events == ["closed"]


def test_view_shows_every_run_under_the_name_of_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Loaded:
        run: str
        device: str = "where it was saved"

        def to(self, device: torch.device) -> Loaded:
            return Loaded(self.run, str(device))

    shown: list[tuple[object, ...]] = []
    monkeypatch.setattr("scenekit.cli.view.load", lambda run: Loaded(str(run)))
    monkeypatch.setattr(
        "scenekit.cli.view.view", lambda *scenes, names, photographs, port: shown.append((scenes, list(names), port))
    )
    assert main(["view", "runs/a", "runs/b", "--port", "8123", "--device", "cpu"]) == 0
    assert shown == [((Loaded("runs/a", "cpu"), Loaded("runs/b", "cpu")), ["a", "b"], 8123)]
