"""pycolmap, loaded in a process of its own."""

import subprocess
import sys

import pytest

BODY = """
import os, threading
from scenekit.cli.signals import Terminated, terminating
def load():
    from scenekit.data import colmap_library
try:
    with terminating():
        {load}
        os.kill(os.getpid(), 15)
        threading.Event().wait(10)
except Terminated:
    print("answered")
"""
LOADS = {"main": "load()", "another": "thread = threading.Thread(target=load); thread.start(); thread.join()"}


@pytest.mark.parametrize("thread", LOADS)
def test_a_request_to_end_is_answered_after_colmap_was_loaded(thread):
    body = BODY.format(load=LOADS[thread])
    ended = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("answered\n", "", 0)
