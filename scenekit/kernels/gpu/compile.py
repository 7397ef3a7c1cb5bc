"""Compiles ``cuda/*.cu`` with NVRTC, through ``cuda.core``; needs no GPU. Cubins are kept on disk.

A cubin's name is a hash of everything that it follows from: its source, all headers, macros, architecture and
compiler, so that a stale one is never found. The folder is ``$SCENEKIT_CACHE``, else ``~/.cache/scenekit``.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from scenekit import resources

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
_LOCKS: dict[str, threading.Lock] = {}
_IMPORTING = threading.RLock()


@dataclass(frozen=True, eq=False)
class Source:
    """One translation unit: a file of ``cuda/`` and the macros that specialise it; made by ``of`` alone.

    Equal ones are the same object, so that a launch finds its kernel without comparing macros.

    Attributes:
        file: its name, without ``.cu``.
        macros: names and values, sorted.
    """

    file: str
    macros: tuple[tuple[str, str], ...] = ()

    @staticmethod
    @cache
    def of(file: str, **macros: int | str) -> Source:
        """With ``-Dname=value`` for every keyword."""
        plain = {name: int(value) if isinstance(value, bool) else value for name, value in macros.items()}
        return _the_source(file, tuple(sorted((name, str(value)) for name, value in plain.items())))


@cache
def _the_source(file: str, macros: tuple[tuple[str, str], ...]) -> Source:
    return Source(file, macros)


def library(name: str) -> Any:
    """The module ``cuda.<name>``, which has no type stubs; imported late, for it loads the CUDA driver's bindings.

    One thread at a time: ``cuda.core`` puts another module in its own place, which others would find half made.
    """
    with _IMPORTING:
        return importlib.import_module(f"cuda.{name}")


def missing() -> list[str]:
    """Packages that compiling needs and that are not installed: NVRTC, and the headers of half precision."""
    packages = []
    try:
        library("bindings.nvrtc").nvrtcVersion()
    except (ImportError, RuntimeError):
        packages.append("nvidia-cuda-nvrtc")
    try:
        if not _runtime_headers():
            packages.append("nvidia-cuda-runtime")
    except ImportError:
        packages.append("cuda-pathfinder")
    return packages


def cubin(source: Source, architecture: str) -> Path:
    """The file of ``source`` compiled for ``architecture`` (as ``sm_90``); compiles it where it is not kept.

    Raises RuntimeError with the compiler's log.
    """
    path = _folder() / f"{source.file}-{architecture}-{_key(source, architecture)}.cubin"
    with _LOCKS.setdefault(path.name, threading.Lock()):
        if not path.exists():
            _keep(path, compile_cubin(source, architecture))
    return path


def prepare(sources: Iterable[Source], architecture: str) -> list[Future[Path]]:
    """Begin to compile what is not kept yet, in the background and several at once: NVRTC is one thread a source.

    A launch that comes before its kernel is ready waits for it; one that cannot be compiled tells whoever launches it.
    """
    return [_compilers().submit(cubin, source, architecture) for source in sources]


@cache
def _compilers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(16, os.cpu_count() or 1), thread_name_prefix="scenekit-compiler")


def compile_cubin(source: Source, architecture: str) -> bytes:
    """Compile now, whatever is kept; raises RuntimeError with the compiler's log."""
    core = library("core")
    options = core.ProgramOptions(
        name=f"{source.file}.cu",
        arch=architecture,
        std="c++17",
        include_path=[str(resources.path("cuda")), *_runtime_headers()],
        define_macro=list(source.macros) or None,
        fma=True,
        extra_device_vectorization=True,
    )
    try:
        return bytes(core.Program(_texts()[f"{source.file}.cu"], "c++", options).compile("cubin").code)
    except Exception as error:
        raise RuntimeError(f"{source.file}.cu, {dict(source.macros)}, {architecture}: {error}") from error


class _Waited:
    """Seconds that launches have waited for their kernels to be compiled."""

    seconds: ClassVar[float] = 0.0


@contextmanager
def waiting() -> Generator[None]:
    """Count the time within as :func:`waited`."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _Waited.seconds += time.perf_counter() - began


def waited() -> float:
    """Seconds that launches of this process have waited for their kernels to be compiled."""
    return _Waited.seconds


def _runtime_headers() -> list[str]:
    """Where cuda_fp16.h is: in the wheel that torch for CUDA brings along, or in a toolkit."""
    from cuda.pathfinder import find_nvidia_header_directory

    found = find_nvidia_header_directory("cudart")
    return [] if found is None else [found]


@cache
def _texts() -> Mapping[str, str]:
    """All sources and headers by name."""
    files = sorted(f for f in resources.path("cuda").iterdir() if f.suffix in (".cu", ".h", ".cuh"))
    return {file.name: file.read_text() for file in files}


@cache
def _everything() -> bytes:
    """What every cubin follows from, whatever its source: headers and compiler."""
    headers = "".join(text for name, text in _texts().items() if not name.endswith(".cu"))
    return hashlib.sha256(f"{library('bindings.nvrtc').nvrtcVersion()}{headers}".encode()).digest()


def _key(source: Source, architecture: str) -> str:
    own = f"{_texts()[f'{source.file}.cu']}{source.macros}{architecture}"
    return hashlib.sha256(_everything() + own.encode()).hexdigest()[:32]


def _folder() -> Path:
    told = os.environ.get("SCENEKIT_CACHE")
    base = Path(told) if told else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "scenekit"
    return base / "cubins"


def _keep(path: Path, code: bytes) -> None:
    """Moved into place whole: another process may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(code)
    Path(file.name).replace(path)
