"""Damaged splat files by the hundred thousand, guided by coverage: ``python -m tests.fuzz.guided spz --cases 100000``.

Wants ``pip install atheris``. An input is a seed's number and its parts, each with its length before it, so that
what is inside archives and packed streams is damaged too. Findings do not stop it: the first input for each place in
the code is written to ``--output`` and all are counted at the end; the exit code is 1 if there were any.
"""

from __future__ import annotations

import argparse
import os
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np  # noqa: F401 - what is loaded here is not instrumented
import torch

if __name__ == "__main__":
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["scenekit.assets.splats", "scenekit.data.ply"]):
        import scenekit.assets.splats.files  # noqa: F401

from scenekit.assets.splats import CODECS
from tests.fuzz.splats import MEMORY, Seed, seeds_of, survives


def joined(which: int, parts: Sequence[bytes]) -> bytes:
    """An input: the seed's number, then each part with its length before it."""
    return bytes([which]) + b"".join(struct.pack("<H", len(part)) + part for part in parts)


def file_of(seeds: Sequence[Seed], data: bytes) -> bytes:
    """The file that an input stands for; lengths that lie are cut to what is there."""
    seed = seeds[data[0] % len(seeds)] if data else seeds[0]
    parts, at = [], 1
    for index in range(len(seed.parts)):
        length = int.from_bytes(data[at : at + 2], "little") if index + 1 < len(seed.parts) else len(data)
        parts.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return seed.whole(parts)


class Findings:
    """Faults by their place in the code; the first input of each is kept."""

    def __init__(self, name: str, cases: int, folder: Path) -> None:
        self.name, self.wanted, self.folder = name, cases, folder
        self.places: dict[str, int] = {}
        self.cases = self.read = 0
        self.longest = 0.0
        self.began = time.perf_counter()

    def try_one(self, data: bytes) -> None:
        """Read one file and take note."""
        began = time.perf_counter()
        try:
            self.read += survives(self.name, data)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}: {str(error)[:100]}"
            key = f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"
            if key not in self.places:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / f"{self.name}-{len(self.places)}{CODECS[self.name].extensions[0]}").write_bytes(data)
                print(place, flush=True)
            self.places[key] = self.places.get(key, 0) + 1
        self.cases += 1
        self.longest = max(self.longest, time.perf_counter() - began)
        if self.cases == self.wanted:
            self.report()

    def report(self) -> None:
        """Say how it went and leave, before libFuzzer does in a way of its own."""
        print(
            f"{self.name}: {self.cases} cases in {time.perf_counter() - self.began:.0f} s, {self.read} still read, "
            f"the longest {self.longest * 1000:.0f} ms, {len(self.places)} places with faults {self.places}",
            flush=True,
        )
        os._exit(1 if self.places else 0)


def main() -> None:
    """Fuzz one format, in memory that is limited."""
    parser = argparse.ArgumentParser(description="Damaged splat files against one reader, guided by coverage.")
    parser.add_argument("format", choices=list(CODECS))
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "scenekit-fuzz")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = seeds_of(options.format)
    for seed in seeds:  # what is imported at first use does not count
        survives(options.format, seed.whole(seed.parts))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    findings = Findings(options.format, options.cases, options.output)
    with tempfile.TemporaryDirectory() as corpus:
        for index, seed in enumerate(seeds):
            (Path(corpus) / f"seed-{index}").write_bytes(joined(index, seed.parts))
        flags = [
            f"-runs={options.cases}",
            f"-seed={options.seed}",
            "-timeout=20",
            "-max_len=16384",
            "-print_final_stats=0",
        ]
        atheris.Setup([sys.argv[0], corpus, *flags], lambda data: findings.try_one(file_of(seeds, data)))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
