"""Real splat files in small formats: ``python -m benchmarks.splat_files [FILE ...]``, all of ``$SCENEKIT_DATA/splats``.

Each is exported with ``--verify`` as .spz, .sog and .sogc: with usual steps, and as coarse as ``--allow-loss``
(0.5 dB) lets them be. ``results/splat_files.json`` says how many bytes that takes, how many times fewer than the
float32 values of the Gaussians (no normals counted, which a 3DGS .ply may have besides), and what it lost, by part: as
there are no photographs, the fall of a scene 30 dB from them, at 12 of the cameras put around it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import call, data, keep

RESULTS = "splat_files"
FILES = ("guitar.ply", "playbot_lod4.ply", "biker.spz")
FORMATS = (".spz", ".sog", ".sogc")
KEPT = ("bytes", "times_smaller", "psnr_lost", "psnr_between", "psnr_lost_by_part", "bits_coarser", "scope")


def export(source: Path, target: Path, *flags: str) -> dict[str, Any]:
    """One file, what it lost, and how long all that took."""
    began = time.perf_counter()
    facts = call("export", str(source), str(target), "--verify", "--json", *flags)
    seconds = round(time.perf_counter() - began, 1)
    return {**{key: facts[key] for key in KEPT if key in facts}, "seconds": seconds, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--allow-loss", type=float, default=0.5, help="dB")
    options = parser.parse_args()
    for name in options.files:
        source = data() / "splats" / name
        facts = call("info", str(source), "--json")
        about = {key: facts[key] for key in ("gaussians", "harmonics_degree")}
        for extension in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / f"a{extension}"
                keep(RESULTS, f"{name} {extension} usual", about | export(source, target))
                coarse = export(source, target, "--allow-loss", str(options.allow_loss))
                keep(RESULTS, f"{name} {extension} {options.allow_loss:g} dB", about | coarse)


if __name__ == "__main__":
    main()
