"""Compiles the C library of CPU loops while the package is built; an absent compiler is no error."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ["-std=c++17", "-O3", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
         "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi", "-pthread"]  # fmt: skip
VARIANTS = {"v3": ["-march=x86-64-v3"], "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}


def variants() -> dict[str, list[str]]:
    """Compiler flags by variant, for this machine's architecture."""
    return VARIANTS if platform.machine() in ("x86_64", "AMD64") else {"generic": []}


def is_current(root: Path, libraries: list[Path]) -> bool:
    """Whether every library is newer than every source: pip asks for the same build twice."""
    sources = [Path(__file__), *(file for file in (root / "cuda").rglob("*") if file.is_file())]
    if not all(library.exists() for library in libraries):
        return False
    return max(file.stat().st_mtime for file in sources) < min(library.stat().st_mtime for library in libraries)


def compile_library(root: Path, target: Path) -> list[Path]:
    """Build every variant into ``target``; raises CalledProcessError. Empty where there is no compiler."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
    if compiler is None:
        return []
    suffix = "dylib" if sys.platform == "darwin" else "so"
    libraries = {name: target / f"libscenekit_{name}.{suffix}" for name in variants()}
    if is_current(root, list(libraries.values())):
        return list(libraries.values())
    target.mkdir(parents=True, exist_ok=True)
    # A folder of its own: two builds at once must not meet.
    with tempfile.TemporaryDirectory(prefix=".objects-", dir=target) as folder:
        objects = compile_sources(compiler, root / "cuda" / "cpu", Path(folder))
        for name, library in libraries.items():
            linked = Path(folder) / library.name
            subprocess.run([compiler, "-shared", "-pthread", *map(str, objects[name]), "-o", str(linked)], check=True)
            linked.replace(library)  # a process that has the old one mapped keeps it
    return list(libraries.values())


def compile_sources(compiler: str, sources: Path, folder: Path) -> dict[str, list[Path]]:
    """Compile every source for every variant, as many at once as there are cores; objects by variant."""
    jobs = {
        (name, file): folder / f"{file.stem}_{name}.o" for name in variants() for file in sorted(sources.glob("*.cpp"))
    }

    def build(name: str, file: Path, output: Path) -> None:
        command = [compiler, *FLAGS, *variants()[name], "-c", str(file), "-o", str(output)]
        subprocess.run(command, check=True)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done in [pool.submit(build, name, file, output) for (name, file), output in jobs.items()]:
            done.result()
    return {name: [output for (owner, _), output in jobs.items() if owner == name] for name in variants()}


class NativeBuild(BuildHookInterface):
    """Hatchling calls this for wheels and editable installs alike."""

    def initialize(self, version: str, build_data: dict) -> None:
        root = Path(self.root)
        try:
            built = compile_library(root, root / "scenekit" / "_native")
        except subprocess.CalledProcessError as error:
            self.app.display_warning(f"scenekit: {error}; the torch references will serve, slowly")
            built = []
        if not built:
            self.app.display_warning("scenekit: no C++ compiler worked; the torch references will serve, slowly")
            return
        build_data["pure_python"] = False
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{tag}"


if __name__ == "__main__":
    here = Path(__file__).parent
    for file in compile_library(here, here / "scenekit" / "_native"):
        print(file)
