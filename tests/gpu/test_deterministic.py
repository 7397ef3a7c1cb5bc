"""torch's switch for deterministic algorithms, on a GPU: the same bits every time, or an error that names the op."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from conformance.op_samples import SAMPLES
from conformance.test_ops import _arguments, _tensors
from torch import Tensor
from torch.utils._pytree import tree_map

from scenekit.data import synthetic
from scenekit.kernels import OPS
from scenekit.recipes import Fitting, prepare
from scenekit.training.steps import steps
from tests.conformance.small import small_configs

NAMES = sorted(name for name, op in OPS.items() if op.cuda is not None)


@pytest.fixture(autouse=True)
def fixed_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch's products want it
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", NAMES)
def test_an_op_gives_the_same_bits_every_time(name: str, gpu: torch.device):
    given = _arguments(name, torch.float32, SAMPLES[name].rows)
    runs = []
    for _ in range(3):
        arguments = tree_map(lambda x: x.detach().to(gpu, copy=True) if isinstance(x, Tensor) else x, given)
        runs.append([*_tensors(OPS[name](*arguments)), *_tensors(arguments)])
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))


@pytest.mark.parametrize("name", ["hash_grid", "simplex_grid", "gaussians", "mcmc"])
def test_a_training_gives_the_same_bits_every_time(name: str, gpu: torch.device):
    try:
        first, second = (_trained(name, gpu) for _ in range(2))
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        pytest.skip(f"one of torch's operators has no fixed order: {str(error).splitlines()[0]}")
    assert first.keys() == second.keys()
    assert all(torch.equal(x, second[key]) for key, x in first.items())


def _trained(name: str, gpu: torch.device) -> dict[str, Tensor]:
    """The parameters after some steps."""
    config, fitting = small_configs("gaussians" if name == "mcmc" else name)
    config = replace(config, densification="mcmc") if name == "mcmc" else config
    capture = synthetic.make(views=8, size=(48, 48))
    session = prepare(capture, config, Fitting(steps=60, seed=1, device=str(gpu)), fitting)
    for _ in steps(session.training):
        pass
    return {key: x.detach().clone() for key, x in session.scene.renderer.state_dict().items()}
