"""Every CUDA source goes through NVRTC for every architecture, on machines without a GPU too."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from scenekit import resources
from scenekit.kernels.gpu import compile as compiling

from .sources import SOURCES

BRANCHES = ("sm_75", "sm_80", "sm_90")

pytestmark = pytest.mark.skipif(find_spec("cuda") is None, reason="needs cuda-core and nvidia-cuda-nvrtc")


def test_every_source_is_compiled_here():
    assert {source.file for source in SOURCES} == {file.stem for file in resources.path("cuda").glob("*.cu")}


def specialisations() -> Iterator[object]:
    """Every source for every architecture; by day each file once for all, other macros where another branch is taken.

    ``cuda/ptx.cuh`` and ``warp.cuh`` tell architectures before 8.0, up to 9.0 and from it on apart, no others.
    """
    seen: set[str] = set()
    for source in SOURCES:
        name = "-".join([source.file, *(f"{k}={v}" for k, v in source.macros)])
        for architecture in compiling.ARCHITECTURES:
            by_day = source.file not in seen or architecture in BRANCHES
            marks = () if by_day else pytest.mark.nightly
            yield pytest.param(source, architecture, marks=marks, id=f"{name}-{architecture}")
        seen.add(source.file)


@pytest.mark.parametrize(("source", "architecture"), specialisations())
def test_source_compiles(source: compiling.Source, architecture: str):
    assert compiling.compile_cubin(source, architecture).startswith(b"\x7fELF")


def test_branches_are_all_that_sources_tell_apart():
    """A new condition on the architecture wants a new branch here."""
    files = [file for kind in ("h", "cuh", "cu") for file in resources.path("cuda").glob(f"*.{kind}")]
    told = {number for file in files for number in re.findall(r"__CUDA_ARCH__\s*[<>=!]+\s*(\d+)", file.read_text())}
    assert told == {f"{branch.removeprefix('sm_')}0" for branch in BRANCHES[1:]}


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
