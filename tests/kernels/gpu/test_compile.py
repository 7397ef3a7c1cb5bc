"""Every CUDA source goes through NVRTC for every architecture, on machines without a GPU too."""

from __future__ import annotations

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
