"""Every CUDA source goes through NVRTC for every architecture, on machines without a GPU too."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from scenekit import resources
from scenekit.kernels.gpu import compile as compiling

from .sources import SOURCES

pytestmark = pytest.mark.skipif(find_spec("cuda") is None, reason="needs cuda-core and nvidia-cuda-nvrtc")


def test_every_source_is_compiled_here():
    assert {source.file for source in SOURCES} == {file.stem for file in resources.path("cuda").glob("*.cu")}


@pytest.mark.parametrize("architecture", compiling.ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES, ids=lambda s: "-".join([s.file, *(f"{k}={v}" for k, v in s.macros)]))
def test_source_compiles(source: compiling.Source, architecture: str):
    assert compiling.compile_cubin(source, architecture).startswith(b"\x7fELF")


def test_a_cubin_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENEKIT_CACHE", str(tmp_path))
    first = compiling.cubin(SOURCES[0], "sm_90")
    monkeypatch.setattr(compiling, "compile_cubin", lambda *_: pytest.fail("compiled again"))
    assert compiling.cubin(SOURCES[0], "sm_90") == first
    assert first.parent == tmp_path / "cubins"


def test_a_compiler_error_names_the_source(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiling, "_texts", lambda: {"wrong.cu": "this is no code"})
    with pytest.raises(RuntimeError, match=r"wrong\.cu"):
        compiling.compile_cubin(compiling.Source.of("wrong"), "sm_90")


def test_threads_import_a_library_one_after_another(monkeypatch: pytest.MonkeyPatch):
    inside, together = [0], [0]

    def slow(name: str) -> str:
        inside[0] += 1
        together[0] = max(together[0], inside[0])
        time.sleep(0.01)
        inside[0] -= 1
        return name

    monkeypatch.setattr(compiling.importlib, "import_module", slow)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(compiling.library, ["core"] * 8)) == {"cuda.core"}
    assert together == [1]
