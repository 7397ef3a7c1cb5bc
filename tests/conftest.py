import os
import signal

# Two test processes share two cores: a pool of torch threads in each would only wait for the other's.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# isort: split
import scenekit  # noqa: F401 - before torch, which reads while it is imported that its idle threads shall sleep

# isort: split
from collections.abc import Iterator

import pytest
import torch

# A shell's background jobs begin deaf to Ctrl-C; trainings that tests begin must hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def the_process_is_left_as_it_was_found() -> Iterator[None]:
    """A test that leaves threads or the environment changed fails by its own name, not by another's."""
    before = _state()
    yield
    assert _state() == before


@pytest.fixture
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A GPU that is pretended while the test lasts."""
    from tests.pretend_gpu import DEVICE, pretended

    with pretended(monkeypatch):
        yield DEVICE


def _state() -> tuple[object, ...]:
    # Ours alone: libraries set variables of their own while they are imported.
    variables = {name: value for name, value in os.environ.items() if name.startswith(("SCENEKIT_", "OMP_"))}
    return torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype(), os.getcwd(), variables
