"""The emulator finds what it is there to find; kernels of its own show it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scenekit import resources
from scenekit.kernels.gpu import launch
from scenekit.kernels.gpu.compile import Source

from .emulator import COMPILER, emulated

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")

KERNELS = """
extern "C" __global__ void beyond(float* out, long long count) { out[count + (count > 8 ? 4096 : 0)] = 1.0f; }

extern "C" __global__ void underneath(float* out, long long count) { out[-1 - count] = 1.0f; }

extern "C" __global__ void reversed(const float* in, float* out, long long fenced) {
  __shared__ float row[64];
  row[threadIdx.x] = in[threadIdx.x];
  if (fenced) __syncthreads();
  out[threadIdx.x] = row[63 - threadIdx.x];
}

extern "C" __global__ void warp_sums(float* out, long long lanes) {
  float sum = (float)(threadIdx.x + 1);
  if (threadIdx.x % 32 < lanes) {
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  }
  out[threadIdx.x] = sum;
}

extern "C" __global__ void torn_barrier(float* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 0.0f;
}

extern "C" __global__ void vectors(float* out) { *(float4*)(out + 1) = {1.0f, 2.0f, 3.0f, 4.0f}; }

extern "C" __global__ void counted(long long* out) {
  atomicAdd((unsigned long long*)out, 1ull);
  if (__syncthreads_count(threadIdx.x % 2) == 32 && threadIdx.x == 0) atomicMax(out + 1, 7ll);
}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    (tmp_path / "kernels.cu").write_text(KERNELS)
    monkeypatch.setattr(resources, "path", lambda _: tmp_path)

    def call(name: str, *arguments: Any, blocks: int = 1, threads: int = 64, copy: int = 0) -> None:
        with emulated(monkeypatch):
            # A folder of its own: libraries are kept by source and macros.
            source = Source.of("kernels", FOLDER=f'"{tmp_path}"', COPY=copy)
            launch.launch(source, name, blocks, threads, *arguments)

    return call


@pytest.mark.parametrize(("name", "count"), [("beyond", 8), ("beyond", 9), ("underneath", 8), ("underneath", 4096)])
def test_writes_beside_a_tensor_are_found(name: str, count: int, run: Callable[..., None]):
    with pytest.raises(AssertionError, match=r"access outside of all tensors|memory beside tensors"):
        run(name, torch.zeros(count), count)


def test_what_no_barrier_orders_goes_wrong(run: Callable[..., None]):
    values, out = torch.rand(64), torch.zeros(64)
    run("reversed", values, out, 1)
    assert torch.equal(out, values.flip(0))
    run("reversed", values, out, 0)
    assert not torch.equal(out, values.flip(0))


def test_lanes_exchange_values(run: Callable[..., None]):
    out = torch.zeros(64)
    run("warp_sums", out, 32)
    assert out[:32].eq(sum(range(1, 33))).all()
    assert out[32:].eq(sum(range(33, 65))).all()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("warp_sums", (torch.zeros(64), 31), "__shfl_xor_sync"),
        ("torn_barrier", (torch.zeros(64),), "different barriers"),
        ("vectors", (torch.zeros(64),), "misaligned"),
        ("vectors", (torch.zeros(64, dtype=torch.float64).to(torch.int64),), "another type"),
        ("vectors", (torch.zeros(64), 1), "2 arguments, the kernel takes 1"),
    ],
)
def test_mistakes_get_a_message(name: str, arguments: Any, message: str, run: Callable[..., None]):
    with pytest.raises(AssertionError, match=message):
        run(name, *arguments)


def test_atomics_count_every_thread(run: Callable[..., None]):
    out = torch.zeros(2, dtype=torch.int64)
    run("counted", out, blocks=5)
    assert out.tolist() == [5 * 64, 7]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of mappings")
def test_another_library_takes_few_mappings_of_which_a_process_has_so_many(run: Callable[..., None]):
    taken = []
    for copy in range(3):
        run("warp_sums", torch.zeros(1024), 32, threads=1024, copy=copy)
        taken.append(len(Path("/proc/self/maps").read_text().splitlines()))
    assert taken[2] - taken[0] < 100
