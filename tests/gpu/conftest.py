"""What runs on an NVIDIA GPU alone: ``pytest tests/gpu -n 0``; elsewhere each test skips and says so."""

from __future__ import annotations

import pytest
import torch

from scenekit.kernels.gpu import launch


@pytest.fixture(autouse=True)
def gpu() -> torch.device:
    """The GPU that tests run on."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU and a torch that was built for it")
    assert launch.available(), "this GPU must be served by our kernels, not by the references"
    return torch.device("cuda", 0)
