"""The pretended GPU refuses what a real one would."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.pretend_gpu import MixedDevicesError, WaitedError, is_there, recording


def test_what_is_made_of_its_tensors_is_there_too(pretended_gpu: torch.device) -> None:
    there = torch.arange(6.0, device=pretended_gpu).reshape(2, 3)
    weight = torch.nn.Linear(3, 2).to(pretended_gpu).weight
    assert there.is_cuda
    for made in (there + 1, there[0], there.sum(), there @ weight.T, torch.nn.functional.pad(there, (1, 1)), weight):
        assert made.device == pretended_gpu
    (there @ weight.T).sum().backward()
    assert weight.grad is not None
    assert weight.grad.device == pretended_gpu
    assert there.cpu().device.type == "cpu"
    assert is_there(there)
    assert there.cpu().numpy().tolist() == [[0, 1, 2], [3, 4, 5]]


MIXED: dict[str, Callable[[torch.Tensor, torch.Tensor], object]] = {
    "a sum": lambda here, there: here + there,
    "an index": lambda here, there: here[there.long()],
    "a product": lambda here, there: torch.stack([here, there]),
    "a generator": lambda here, there: torch.rand(3, generator=torch.Generator(), device=there.device),
    "numbers drawn in place": lambda here, there: there.uniform_(generator=torch.Generator()),
}


@pytest.mark.parametrize("what", MIXED)
def test_devices_do_not_mix(what: str, pretended_gpu: torch.device) -> None:
    with pytest.raises(MixedDevicesError):
        MIXED[what](torch.zeros(3), torch.zeros(3, device=pretended_gpu))


def test_numpy_does_not_get_its_memory(pretended_gpu: torch.device) -> None:
    with pytest.raises(TypeError, match="can't convert"):
        torch.zeros(3, device=pretended_gpu).numpy()


WAITING: dict[str, Callable[[torch.Tensor], object]] = {
    "a number": lambda there: float(there.sum()),
    "numbers": lambda there: there.tolist(),
    "a question": lambda there: bool((there > 0).any()),
    "places": lambda there: there.nonzero(),
    "a mask": lambda there: there[there > 0],
    "values for a mask": lambda there: there.__setitem__(there > 0, there[:1].expand(2)),
    "a copy from the host": lambda there: torch.tensor([1.0], device=there.device),
    "an index from the host": lambda there: there[[0, 1]],
    "a copy to the host": lambda there: there.cpu(),
}


@pytest.mark.parametrize("what", WAITING)
def test_a_recorded_step_neither_waits_nor_copies(what: str, pretended_gpu: torch.device) -> None:
    there = torch.tensor([1.0, 0.0, 2.0], device=pretended_gpu)
    with recording(), pytest.raises(WaitedError):
        WAITING[what](there)


def test_what_a_graph_holds_may_be_recorded(pretended_gpu: torch.device) -> None:
    there = torch.rand(3, device=pretended_gpu)
    with recording():
        filled = torch.where(there > 0.5, there, 0) + torch.full((3,), 2.0, device=pretended_gpu)
        filled[filled > 2.2] = 0.0
        assert filled.scatter_add(0, there.argsort(), there).device == pretended_gpu
