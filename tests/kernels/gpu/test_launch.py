"""The way from a call in Python to the driver, with a driver that writes down what it is told."""
# ruff: noqa: N802 - the driver's names

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scenekit.kernels.gpu import launch
from scenekit.kernels.gpu.compile import Source

SOURCE = Source.of("imagined", WIDTH=3)
PARAMETERS = 4


@dataclass(frozen=True)
class Status:
    """As the driver's bindings have it: true where something is wrong."""

    name: str

    def __bool__(self) -> bool:
        return self.name != "SUCCESS"


FINE = Status("SUCCESS")


class Driver(threading.local):
    """Of two GPUs; each thread begins on the first of them, bound to no context, as torch leaves it."""

    CUfunction_attribute = SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES="room")
    CUdevice = int

    def __init__(self, launches: list[dict[str, Any]], asked: list[int]) -> None:
        self.launches, self.asked = launches, asked
        self.context, self.device = None, 0

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[Status, int]:
        return FINE, device

    def cuCtxSetCurrent(self, context: int) -> tuple[Status]:
        self.context = context
        return (FINE,)

    def cuLibraryGetKernel(self, library: str, name: bytes) -> tuple[Status, str]:
        return FINE, name.decode()

    def cuKernelGetFunction(self, kernel: str) -> tuple[Status, tuple[str, int | None]]:
        return Status("INVALID_CONTEXT" if self.context is None else "SUCCESS"), (kernel, self.context)

    def cuFuncSetAttribute(self, function: Any, attribute: str, shared: int) -> tuple[Status]:
        self.asked.append(shared)
        return (Status("SUCCESS" if shared < 200_000 else "INVALID_VALUE"),)

    def cuLaunchKernel(self, function: tuple[str, int], *rest: Any) -> tuple[Status]:
        *grid, threads, _, _, shared, stream, parameters, _ = rest
        if self.context != function[1]:
            return (Status("INVALID_CONTEXT"),)
        addresses = (ctypes.c_void_p * PARAMETERS).from_address(parameters)
        values = [ctypes.c_longlong.from_address(x or 0).value for x in addresses]
        values[2] = ctypes.c_float.from_address(addresses[2] or 0).value
        self.launches.append(
            {"name": function[0], "context": self.context, "grid": grid, "threads": threads, "shared": shared,
             "stream": stream, "values": values}
        )  # fmt: skip
        return (FINE,)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver([], [])

    @contextmanager
    def on(index: int) -> Iterator[None]:
        """Leaving a device binds the one before, as torch does."""
        before, driver.device, driver.context = driver.device, index, index
        yield
        driver.device = driver.context = before

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(launch, "_THREAD", launch._Thread())
    monkeypatch.setattr(launch, "_driver", lambda: driver)
    monkeypatch.setattr(launch, "_calls", lambda: (lambda: driver.device, lambda i: 100 + i, driver.cuLaunchKernel))
    monkeypatch.setattr(launch, "architecture", lambda _: "sm_90")
    monkeypatch.setattr(launch, "_library", lambda source, _: source.file)
    monkeypatch.setattr(launch, "_function", launch._function.__wrapped__)
    monkeypatch.setattr(launch, "_context", launch._context.__wrapped__)
    monkeypatch.setattr(launch, "_kernel", launch._kernel.__wrapped__)
    return driver


def _launch(index: int = 0, shared: int = 0, name: str = "paint") -> None:
    launch.launch_on(index, SOURCE, name, (5, 2), 64, (torch.zeros(3), -7, 0.5, None), shared)


def test_parameters_reach_the_driver(driver: Driver):
    x = torch.ones(3)
    for whole, real in ((-7, 0.5), (2**40, 1e-30)):
        launch.launch_on(0, SOURCE, "paint", (5, 2), 64, (x, whole, real, None), 16)
        found = driver.launches.pop()
        assert found.pop("values") == [x.data_ptr(), whole, pytest.approx(real), 0]
        wanted = {"name": "paint", "context": 0, "grid": [5, 2, 1], "threads": 64, "shared": 16, "stream": 100}
        assert found == wanted


def test_every_thread_is_bound_to_the_device_before_its_first_launch(driver: Driver):
    _launch()
    thread = threading.Thread(target=_launch)  # as autograd's
    thread.start()
    thread.join()
    _launch()
    assert [x["context"] for x in driver.launches] == [0, 0, 0]


def test_one_thread_may_use_two_devices_in_turn(driver: Driver):
    for index in (0, 1, 0, 1):
        _launch(index)
        assert driver.device == 0
    assert [(x["context"], x["stream"]) for x in driver.launches] == [(0, 100), (1, 101), (0, 100), (1, 101)]


def test_a_thread_may_begin_on_the_second_device(driver: Driver):
    _launch(1)
    _launch(0)
    assert [x["context"] for x in driver.launches] == [1, 0]


def test_threads_do_not_share_the_memory_of_parameters(driver: Driver):
    _launch()
    mine = launch._THREAD.kernels[SOURCE, "paint", 0]
    others: list[launch.Kernel] = []

    def elsewhere() -> None:
        _launch()
        others.append(launch._THREAD.kernels[SOURCE, "paint", 0])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert others[0].values is not mine.values


def test_much_shared_memory_is_asked_for_once(driver: Driver):
    for shared in (1000, 60_000, 60_000, 50_000, 70_000):
        _launch(shared=shared)
    assert driver.asked == [60_000, 70_000]
    with pytest.raises(RuntimeError, match=r"paint: 300000 bytes of shared memory: .* INVALID_VALUE"):
        _launch(shared=300_000)


def test_a_refused_launch_names_the_kernel(driver: Driver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch, "_calls", lambda: (lambda: 0, lambda _: 0, lambda *_: (Status("REFUSED"),)))
    with pytest.raises(RuntimeError, match=r"paint: .*REFUSED"):
        _launch()


def test_nothing_is_launched_for_no_blocks(driver: Driver):
    launch.launch(SOURCE, "paint", (4, 0), 64, torch.zeros(3))
    assert driver.launches == []


def test_equal_sources_are_one_object():
    assert Source.of("grid", B=1, A="short") is Source.of("grid", A="short", B=True)
    assert Source.of("grid", B=1) is not Source.of("grid", B=2)
