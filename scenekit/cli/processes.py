"""One training in several processes: joined from what torchrun says, or started here by ``train --processes``."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch
import torch.distributed as processes

from scenekit.cli.options import say
from scenekit.core.checks import BadInput
from scenekit.core.context import WHOLE, Share

PATIENCE = 30.0  # seconds that a process may take to save and end before it is killed
MOMENT = 2.0  # seconds that the first may take to end once another has
REFUSED = 2  # the code of a process that was given what it cannot take


@contextmanager
def joined() -> Iterator[Share]:
    """This process's share of the work, as torchrun's variables say; the whole of it where they are not set.

    CPU tensors travel by gloo, those on a GPU by NCCL. Ctrl-C is the first process's business: it saves.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield WHOLE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    processes.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        _begin(count)
    share = Share(int(os.environ["RANK"]), count)
    if share.rank > 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # it may wait for the others, where Python cannot answer
    yield share
    gc.collect()  # NCCL waits for the last CUDA graph that it is in, and trainings are cycles
    processes.destroy_process_group()


def _begin(count: int) -> None:
    """NCCL takes seconds to connect processes, for each kind of talk: they are no training's."""
    sent = torch.zeros(count, device="cuda")
    processes.all_reduce(sent)
    processes.all_to_all_single(torch.empty_like(sent), sent)


def launched() -> bool:
    """Whether this process is one of several already."""
    return "WORLD_SIZE" in os.environ


def launch(arguments: Sequence[str], count: int) -> int:
    """Run ``scenekit train`` in ``count`` processes on this machine and return the exit code of the first that ended
    badly, else 0; when one does, the others are ended.

    Raises BadInput for none, and where there are GPUs, but fewer than processes.
    """
    gpus = torch.cuda.device_count()
    if count < 1:
        raise BadInput.of("--processes", wanted="at least one", found=str(count), remedy="ask for more")
    if gpus and count > gpus:
        found = f"{count} for {gpus} GPUs"
        raise BadInput.of("--processes", wanted="one GPU for each", found=found, remedy="ask for fewer")
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(count),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count))),
    }
    command = [sys.executable, "-m", "scenekit", "train", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / str(rank) for rank in range(count)]
        team = [_started(command, shared, rank, logs[rank]) for rank in range(count)]
        try:
            rank, code = _watched(team)
        except KeyboardInterrupt:
            team[0].send_signal(signal.SIGINT)  # it saves; the others only follow
            rank, code = 0, team[0].wait(PATIENCE)
        finally:
            _end(team)
        if rank > 0:
            say(f"process {rank} of {count} ended with {team[rank].returncode}:")
            say(logs[rank].read_text(errors="replace").strip())
    return code


def _started(command: list[str], shared: dict[str, str], rank: int, log: Path) -> subprocess.Popen[bytes]:
    """The first process has our output; what the others say is only of interest when they fail."""
    environment = os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    # In sessions of their own: a terminal's Ctrl-C comes to us alone, and we pass it on once.
    if rank == 0:
        return subprocess.Popen(command, env=environment, start_new_session=True)
    with log.open("wb") as output:
        return _quiet(command, environment, output)


def _quiet(command: list[str], environment: dict[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=output)


def _watched(team: list[subprocess.Popen[bytes]]) -> tuple[int, int]:
    """Wait until all are done, or one fails: its rank and exit code."""
    while True:
        codes = [process.poll() for process in team]
        bad = next(((rank, code) for rank, code in enumerate(codes) if code), None)
        if bad is not None:
            return (0, REFUSED) if _refuses(team[0]) else (bad[0], max(bad[1], 1))
        if all(code == 0 for code in codes):
            return 0, 0
        time.sleep(0.1)


def _refuses(first: subprocess.Popen[bytes]) -> bool:
    """Whether the first process has refused what it was given, or is about to: others may end of that before it."""
    try:
        return first.wait(MOMENT) == REFUSED
    except subprocess.TimeoutExpired:
        return False


def _end(team: list[subprocess.Popen[bytes]]) -> None:
    for process in team:
        if process.poll() is None:
            process.terminate()
    for process in team:
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
