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


def compile_library(root: Path, target: Path) -> list[Path]:
    """Build every variant for this machine's architecture into ``target``; raises CalledProcessError."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
    if compiler is None:
        return []
    x86 = platform.machine() in ("x86_64", "AMD64")
    variants = VARIANTS if x86 else {"generic": []}
    suffix = "dylib" if sys.platform == "darwin" else "so"
    target.mkdir(parents=True, exist_ok=True)
    jobs = [
        (name, source, [compiler, *FLAGS, *architecture, "-c", str(source)])
        for name, architecture in variants.items()
        for source in sorted((root / "cuda" / "cpu").glob("*.cpp"))
    ]
    objects = Path(tempfile.mkdtemp(prefix=".objects-", dir=target))  # two builds at once must not meet
    outputs = {name: [] for name in variants}

    def build(job: tuple[str, Path, list[str]]) -> None:
        name, source, command = job
        output = objects / f"{source.stem}_{name}.o"
        subprocess.run([*command, "-o", str(output)], check=True)
        outputs[name].append(str(output))

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(build, jobs))
    libraries = []
    for name, files in outputs.items():
        library = target / f"libscenekit_{name}.{suffix}"
        linked = objects / library.name
        subprocess.run([compiler, "-shared", "-pthread", *sorted(files), "-o", str(linked)], check=True)
        linked.replace(library)  # a process that has the old one mapped keeps it
        libraries.append(library)
    shutil.rmtree(objects)
    return libraries


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
