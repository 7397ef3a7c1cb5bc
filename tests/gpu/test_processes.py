"""Two processes with a GPU each, by NCCL, against one with the doubled batch: ``pytest tests/gpu -n 0``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scenekit.assets.state import read_state
from tests.training.team import alone_with_all_the_work
from tests.training.test_ranks import run_as_team

SPLATS = ("gaussians", "mcmc", "bent")
EARLY = 4  # steps before which Adam has not yet made steps of what atomics leave to chance


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    folder = tmp_path_factory.mktemp("team")
    for ended in run_as_team(["tests.training.team", str(folder), "cuda"], on_cpu=False):
        assert ended.returncode == 0, ended.stderr
    return folder


@pytest.mark.parametrize("name", SPLATS)
def test_two_gpus_find_what_one_with_the_doubled_batch_finds(team: Path, name: str) -> None:
    together, alone = read_state(team / f"{name}-0"), alone_with_all_the_work(name, "cuda:0")
    assert together["generator"].equal(alone["generator"])
    torch.testing.assert_close(together["losses"][:EARLY], alone["losses"][:EARLY], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(together["losses"], alone["losses"], rtol=2e-2, atol=1e-4)
    count = len(alone["objective"]["renderer"]["primitives.means"])
    assert abs(len(together["objective"]["renderer"]["primitives.means"]) - count) <= 0.02 * count
