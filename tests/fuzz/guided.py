"""Damaged splat files guided by coverage, which instruments a process of its own: ``tests.nightly.fuzz`` begins it.

Wants ``pip install atheris``. An input is a seed's number and its parts, each with its length before it, so that
what is inside archives and packed streams is damaged too. Findings do not stop it: the first input for each place in
the code is kept and all are counted in the tally. A process that was ended goes on where it was, with the inputs that
had reached new code.
"""

from __future__ import annotations

import argparse
import os
import resource
import struct
import sys
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
from tests.fuzz.tally import Tally


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

    def __init__(self, tally: Tally, cases: int, until: float) -> None:
        self.tally, self.wanted, self.until = tally, cases, until
        self.folder = tally.file.parent / tally.name
        self.used = time.process_time()

    def try_one(self, data: bytes) -> None:
        """Read one file and take note."""
        tally = self.tally
        began = time.perf_counter()
        try:
            tally.read += survives(tally.name, data)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"
            if place not in tally.places:
                kept = self.folder / f"fault-{len(tally.places)}{CODECS[tally.name].extensions[0]}"
                kept.write_bytes(data)
                print(f"{place}: {str(error)[:100]}; {kept}", flush=True)
            tally.places[place] += 1
        tally.cases += 1
        now = time.perf_counter()
        tally.longest = max(tally.longest, now - began)
        done = tally.cases >= self.wanted or now > self.until
        if done or tally.cases % 10_000 == 0:
            self.used, before = time.process_time(), self.used
            tally.cpu_seconds += self.used - before
            tally.save()
        if done:  # before libFuzzer ends in a way of its own
            os._exit(0)


def main() -> None:
    """Fuzz one format, in memory that is limited."""
    parser = argparse.ArgumentParser(description="Damaged splat files against one reader, guided by coverage.")
    parser.add_argument("format", choices=list(CODECS))
    parser.add_argument("--cases", type=int, required=True, help="those that --output counts already too")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tally = Tally.of(options.format, options.output)
    seeds = seeds_of(options.format)
    for seed in seeds:  # what is imported at first use does not count
        survives(options.format, seed.whole(seed.parts))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    corpus = options.output / options.format / "corpus"  # libFuzzer adds what reached new code
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds):
        (corpus / f"seed-{index}").write_bytes(joined(index, seed.parts))
    findings = Findings(tally, options.cases, time.perf_counter() + 60 * options.minutes)
    flags = [f"-seed={1 + tally.cases}", "-timeout=20", "-max_len=16384", "-print_final_stats=0",
             f"-artifact_prefix={corpus.parent}/"]  # fmt: skip
    atheris.Setup([sys.argv[0], str(corpus), *flags], lambda data: findings.try_one(file_of(seeds, data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
