"""Two processes on one training: the same bits in both, and what one with the doubled batch finds."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scenekit.assets.state import read_state
from scenekit.core.context import WHOLE, Context, Share
from tests.training.team import CASES, STEPS, alone_with_all_the_work

pytestmark = pytest.mark.long


def run_as_team(module: list[str], count: int = 2, *, on_cpu: bool = True) -> list[subprocess.CompletedProcess[str]]:
    """A command in ``count`` processes with the variables that torchrun sets; GPUs are hidden ``on_cpu``."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    team = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    team |= {"OMP_NUM_THREADS": "1"} | ({"CUDA_VISIBLE_DEVICES": ""} if on_cpu else {})
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *module],
            env=team | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    ended = [process.communicate(timeout=200) for process in started]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *output)
        for process, output in zip(started, ended, strict=True)
    ]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("team")
    for ended in run_as_team(["tests.training.team", str(folder)]):
        assert ended.returncode == 0, ended.stderr
    return folder


def flat(state: dict, prefix: str = "") -> dict[str, object]:
    leaves: dict[str, object] = {}
    for key, value in state.items():
        leaves |= flat(value, f"{prefix}{key}/") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


@pytest.mark.parametrize("name", CASES)
def test_both_processes_end_with_the_same_bits_and_the_first_has_the_second_s_rows(team: Path, name: str) -> None:
    first, second = (flat(read_state(team / f"{name}-{rank}")) for rank in range(2))
    owners = second.pop("owners", None)
    assert first.keys() == second.keys()
    divided = 0
    for key, value in first.items():
        other = second[key]
        if not (isinstance(value, Tensor) and isinstance(other, Tensor)):
            assert value == other, key
            continue
        apart = isinstance(owners, Tensor) and value.shape != other.shape
        assert torch.equal(value[owners == 1] if apart else value, other), key
        divided += apart
    assert divided == {"gaussians": 6 * 3 + 2, "bent": 6 * 3 + 2, "mcmc": 6 * 3}.get(
        name, 0
    )  # parameters, moments, what is gathered


@pytest.mark.parametrize("name", CASES)
def test_two_processes_find_what_one_with_the_doubled_batch_finds(team: Path, name: str) -> None:
    together, alone = read_state(team / f"{name}-0"), alone_with_all_the_work(name)
    assert torch.equal(together["generator"], alone["generator"])  # as many numbers were drawn
    assert len(alone["losses"]) == STEPS
    torch.testing.assert_close(together["losses"], alone["losses"], rtol=1e-5, atol=1e-7)
    ours, theirs = flat(together["objective"]), flat(alone["objective"])
    for key, value in theirs.items():
        if not isinstance(value, Tensor):
            continue
        found = ours[key]
        assert isinstance(found, Tensor)
        assert found.shape == value.shape, key  # densification left as many
        # Adam turns a gradient of rounding errors into a whole step: nearly all values agree, and all about.
        apart = (found.double() - value.double()).abs()
        assert apart.mean() <= 1e-4 * value.double().abs().mean() + 1e-7, (key, float(apart.mean()))


def test_a_share_s_numbers_are_its_rows_of_what_one_process_draws() -> None:
    def drawn(share: Share) -> Tensor:
        context = Context(True, torch.Generator().manual_seed(3), share=share)
        return context.uniform((4 // share.of * 2, 3), torch.device("cpu"))

    whole = drawn(WHOLE)
    assert torch.equal(torch.cat([drawn(Share(0, 2)), drawn(Share(1, 2))]), whole)


def test_shares_cover_the_rows_once_but_for_the_few_that_do_not_divide() -> None:
    rows = [row for rank in range(3) for row in range(100)[Share(rank, 3).rows(100)]]
    assert rows == list(range(99))


def test_there_is_no_third_of_two() -> None:
    with pytest.raises(ValueError, match=r"wanted a rank in \[0, 2\), found 2"):
        Share(2, 2)
