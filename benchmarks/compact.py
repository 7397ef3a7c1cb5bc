"""Small files of a plain training and of one with ``--compact``: ``python -m benchmarks.compact``.

Both are trained as a user would, ``scenekit train lego -r gaussians --preset gpu --steps 30000``, judged on held-out
photographs and exported with ``--verify``: with each format's usual steps, and with ``--allow-loss`` as coarse as that
lets them be. What was trained and judged stays in the folder ``-o`` and is not done again by another call.

A row of ``results/compact.json`` is one training; ``files`` says of each of its exports how many times smaller it is
than the float32 values of the *plain* training (no normals counted), and how much further it is from the photographs
than the plain scene: what compact training lost, and what the file lost on the views that ``--verify`` takes.

    python -m benchmarks.compact --preset blender --downscale 4 --steps 1000      # on a CPU
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.record import call, data, keep
from scenekit.representations.gaussian_cloud import floats_of

RESULTS = "compact"
FORMATS = (".sogc", ".sog", ".spz")


def train(options: argparse.Namespace, run: Path, *, compact: bool) -> dict[str, Any]:
    """One training, and how good it is; found in its folder where another call has done it."""
    figures = run.with_suffix(".json")
    if figures.exists():
        return json.loads(figures.read_text())
    trained = call(
        "train", str(data() / options.capture), "-r", "gaussians", "--preset", options.preset,
        "--downscale", str(options.downscale), "--steps", str(options.steps), "-o", str(run), "--json",
        *["--compact"] * compact,
    )  # fmt: skip
    judged = call("evaluate", str(run), "--json")
    found = {
        "psnr": round(judged["psnr"], 3),
        "scope": judged["scope"],
        "steps": trained["steps"],
        "seconds": trained["seconds"],
        "cpu_seconds": trained["cpu_seconds"],
        "preset": options.preset,
    }
    figures.write_text(json.dumps(found))
    return found


def export(run: Path, target: Path, *flags: str) -> dict[str, Any]:
    """One file and what it lost, read back and rendered."""
    facts = call("export", str(run), str(target), "--verify", "--json", *flags)
    kept = ("bytes", "gaussians", "harmonics_degree", "psnr_lost", "psnr_lost_by_part", "bits_coarser", "scope")
    return {key: facts[key] for key in kept if key in facts}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, dict[str, Any]]:
    """Both trainings with all their files."""
    rows: dict[str, dict[str, Any]] = {}
    for name in ("plain", "compact"):
        run = folder / name
        row = train(options, run, compact=name == "compact")
        row["files"] = {}
        for extension in options.formats:
            row["files"][f"{extension} usual"] = export(run, folder / f"{name}{extension}")
            if options.allow_loss is not None:
                coarse = ("--allow-loss", str(options.allow_loss))
                row["files"][f"{extension} coarse"] = export(run, folder / f"{name}-coarse{extension}", *coarse)
        rows[name] = row
    plain = rows["plain"]
    first = plain["files"][f"{options.formats[0]} usual"]
    whole = 4 * floats_of(first["gaussians"], first["harmonics_degree"])
    for row in rows.values():
        for file in row["files"].values():
            file["times_smaller"] = round(whole / file["bytes"], 2)
            file["lost_against_plain"] = round(plain["psnr"] - row["psnr"] + file["psnr_lost"], 3)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", default="lego")
    parser.add_argument("--preset", default="gpu")
    parser.add_argument("--downscale", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=30000)
    parser.add_argument("--formats", nargs="*", default=FORMATS)
    parser.add_argument("--allow-loss", type=float, help="dB; makes files of every format that are as coarse as that")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/compact"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = measure(options, options.output)
    for name, row in rows.items():
        keep(RESULTS, f"{options.capture}/{options.downscale:g} {options.steps} steps {name}", row)
        for kind, file in row["files"].items():
            print(f"  {kind:14} {file['times_smaller']:6.2f} times smaller, {file['lost_against_plain']:6.3f} dB lost")


if __name__ == "__main__":
    main()
