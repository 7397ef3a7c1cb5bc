"""From where kernels may be launched on a GPU: any thread, any stream, any device, and into graphs."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from scenekit.kernels import OPS, ssim


def _pictures(device: torch.device, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(33, 21, 3, generator=g).to(device), torch.rand(33, 21, 3, generator=g).to(device)


def _assert_right(found: Tensor, image: Tensor, target: Tensor) -> None:
    wanted = OPS["ssim"].reference(image.cpu().double(), target.cpu().double())
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=1e-4, atol=1e-4)


def test_a_new_thread_begins_with_a_launch(gpu: torch.device):
    image, target = _pictures(gpu)
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(ssim(image, target)))
    thread.start()
    thread.join()
    _assert_right(found[0], image, target)


def test_many_threads_launch_the_same_kernel_at_once(gpu: torch.device):
    pairs = [_pictures(gpu, seed) for seed in range(8)]
    found: dict[int, Tensor] = {}

    def run(seed: int) -> None:
        for _ in range(200):
            found[seed] = ssim(*pairs[seed])

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, pair in enumerate(pairs):
        _assert_right(found[seed], *pair)


def test_a_stream_of_its_own(gpu: torch.device):
    image, target = _pictures(gpu)
    stream = torch.cuda.Stream(gpu)
    stream.wait_stream(torch.cuda.current_stream(gpu))
    with torch.cuda.stream(stream):
        found = ssim(image, target)
    stream.synchronize()
    _assert_right(found, image, target)


def test_forward_and_backward_are_recorded_in_a_graph(gpu: torch.device):
    image, target = _pictures(gpu)
    image.requires_grad_()
    wanted = torch.autograd.grad(ssim(image, target).sum(), image)  # loads the kernels
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        value = ssim(image, target)
        found = torch.autograd.grad(value.sum(), image)
    for seed in (0, 1):
        with torch.no_grad():
            for place, x in zip((image, target), _pictures(gpu, seed), strict=True):
                place.copy_(x)
        graph.replay()
        _assert_right(value, image.detach(), target)
        if seed == 0:
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("begin", [0, 1])
def test_two_devices_in_turn(begin: int, gpu: torch.device):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    pairs = [_pictures(torch.device("cuda", index), index) for index in (0, 1)]
    found: list[tuple[int, Tensor, Tensor]] = []

    def run() -> None:
        for turn in range(6):
            index = (begin + turn) % 2
            image = pairs[index][0].clone().requires_grad_()
            value = ssim(image, pairs[index][1])
            found.append((index, value.detach(), torch.autograd.grad(value.sum(), image)[0]))
            assert torch.cuda.current_device() == 0

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(found) == 6
    for index, value, gradient in found:
        assert value.device == gradient.device == torch.device("cuda", index)
        _assert_right(value, *pairs[index])
