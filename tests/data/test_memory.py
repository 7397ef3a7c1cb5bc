import platform
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scenekit.data import memory
from scenekit.data.memory import give_back, held_now, most_held

CHILD = f"import runpy; print(runpy.run_path({memory.__file__!r})['most_held']())"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what a program alone has held")
def test_the_peak_is_of_the_process_itself_whoever_started_it():
    assert held_now() <= most_held()
    child = int(subprocess.run([sys.executable, "-S", "-c", CHILD], check=True, capture_output=True, text=True).stdout)
    assert child < held_now() / 3  # this one has torch in memory


def test_where_the_system_does_not_say_what_it_counts_serves(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    assert runpy.run_path(memory.__file__)["most_held"]() >= most_held()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives back what lies between blocks in use")
def test_freed_blocks_between_others_are_given_back():
    blocks = [torch.ones(2**14) for _ in range(4096)]  # 256 MiB in pieces that stay with the process
    del blocks[::2], blocks[::2]
    held = held_now()
    give_back()
    assert held_now() < held - 100 * 2**20
    assert all(float(block[-1]) == 1 for block in blocks)
