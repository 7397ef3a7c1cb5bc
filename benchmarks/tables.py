"""Writes what README and the results page publish out of ``benchmarks/results``, so that neither can say anything else.

    python -m benchmarks.tables            # write; --check only compares, and fails where they differ

A test compares, so that the gate fails too.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.browser_tables import baking, live, viewer
from benchmarks.conversion.table import tables as conversion_tables
from benchmarks.gpu_page import gpu_page
from benchmarks.limits_page import limits_page
from benchmarks.markdown import size_of, table
from benchmarks.photographs_page import photographs_page
from benchmarks.record import read
from benchmarks.results_page import TASKS, Task

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "results.md"
CONVERSION = ROOT / "docs" / "conversion.md"
LIMITS = ROOT / "docs" / "limits.md"
GPU = ROOT / "docs" / "gpu.md"
PHOTOGRAPHS = ROOT / "docs" / "photographs.md"
MIB = 2**20


def cpu_training() -> str:
    """README's table of trainings."""
    return table(
        ("capture", "representation", "training", "PSNR", "peak memory"),
        (
            (
                f"{row['scope'].split(',')[0]}, {size_of(row['scope'])}",
                name.partition("-")[2],
                f"{row['seconds']:.0f} s{_before(row)}",
                f"{row['psnr']:.1f} dB",
                f"{row['peak_memory_gib']:.1f} GiB",
            )
            for name, row in read("cpu_training")["rows"].items()
        ),
    )


def training() -> str:
    """README's table of trainings on a GPU."""
    return table(
        ("training", "GPU", "steps", "PSNR", "SSIM", "GPU memory", "a frame", "at 1920x1080"),
        (
            (
                f"{name}, in {row['seconds']:.0f} s" if "--steps" in row["arguments"] else name,
                str(row["device"]).split()[1],
                f"{row['steps']}",
                f"{row['psnr']:.1f} dB",
                f"{row['ssim']:.3f}",
                f"{row['peak_gib']:.1f} GiB",
                f"{row['frame_ms']:.1f} ms",
                f"{row['frame_1080p_ms']:.1f} ms",
            )
            for name, row in read("training")["rows"].items()
        ),
    )


def _before(row: Mapping[str, Any]) -> str:
    made = row["triangulation"]
    return "" if made is None else f", and {made['seconds']:.0f} s of triangulation"


def rasterizer() -> str:
    """README's table of Gaussians on a GPU, beside gsplat in the same run."""
    ways = (("forward", "picture"), ("both", "picture and gradients"))
    return table(
        ("Gaussians", "picture", "pass", "here", "gsplat 1.5.3"),
        (
            (
                f"{row['gaussians']:,}",
                f"{row['size'][0]}x{row['size'][1]}",
                words,
                *(_both_times(row, f"{side}_{way}") for side in ("ours", "gsplat")),
            )
            for row in read("rasterizer")["rows"].values()
            for way, words in ways
        ),
    )


SPOILT = {
    "poses": "training poses off by 1 degree and 1 %",
    "exposure": "exposures of -1 to 1 stop",
}


def corrections() -> str:
    """README's table of what corrections win back."""
    return table(
        ("photographs", "spoilt by", "representation", "clean", "spoilt", "corrected", "won back"),
        (
            (
                f"{row['scope'].split(',')[0]}, {size_of(row['scope'])}, {row['steps']} steps",
                SPOILT[name.partition("-")[0]],
                name.partition("-")[2],
                *(f"{row[f'{case}_psnr']:.1f} dB" for case in ("clean", "spoilt", "corrected")),
                f"{100 * row['recovered']:.0f} %",
            )
            for name, row in read("corrections")["rows"].items()
        ),
    )


TABLES: dict[str, Callable[[], str]] = {
    "corrections": corrections,
    "live": live,
    "training": training,
    "rasterizer": rasterizer,
    "viewer": viewer,
    "baking": baking,
    "cpu_training": cpu_training,
}


def with_tables(text: str) -> str:
    """A page with each block between ``<!-- table: NAME -->`` and ``<!-- end -->`` filled in anew."""

    def filled(block: re.Match[str]) -> str:
        return f"<!-- table: {block[1]} -->\n\n{TABLES[block[1]]()}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", filled, text, flags=re.DOTALL)


INTRODUCTION = """# Results

Written by `python -m benchmarks.tables` from `benchmarks/results/results_page.json`, which `python -m
benchmarks.results_page` measures. These are small pictures and short trainings, as a machine without a GPU gives them:
what the representations are worth beside each other, not what each can reach.

*Training* is by the wall clock, preparation (reading, triangulation) apart; *CPU* is the training process's CPU time
over all cores. The machine does other work too, which the load beside each capture tells: where CPU time is far below
cores times training, a row had fewer steps than a free machine would give it. *A frame* is the median over the held-out
views, rendered at their own size. *Bytes* are the trained scene's file. PSNR and SSIM are means over held-out views.
"""


def results_page() -> str:
    """The whole of ``docs/results.md``."""
    rows = read("results_page")["rows"]
    parts = [part for task in TASKS if (part := _capture(task, rows))]
    return "\n".join([INTRODUCTION, *parts])


def _capture(task: Task, rows: Mapping[str, Any]) -> str | None:
    found = {name: rows[f"{task.capture}-{name}"] for name in task.representations if f"{task.capture}-{name}" in rows}
    if not found:
        return None
    first = next(iter(found.values()))
    loads = [row[key] for row in found.values() for key in ("load_before", "load_after")]
    machines = [row["machine"] for row in found.values()]
    where = dict.fromkeys(f"{m['processor']}, {m['cores']} cores, torch {m['torch']}" for m in machines)
    scope = f"{first['scope']}; preset `{task.preset}`, {task.minutes:g} min of training; {' or '.join(where)}; "
    scope += f"load {min(loads):.1f} to {max(loads):.1f}."
    return "\n\n".join([f"## {task.capture}", scope, gallery(task.capture, list(found)), figures(found), ""])


def gallery(capture: str, names: list[str]) -> str:
    """The photograph and every representation's picture of it, five in a row."""
    tiles = [("photograph", capture), *((name, f"{capture}-{name}") for name in names)]
    rows = [tiles[begin : begin + 5] for begin in range(0, len(tiles), 5)]
    return "\n\n".join(
        table((title for title, _ in row), [[f"![{file}](results/{file}.webp)" for _, file in row]]) for row in rows
    )


def figures(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a representation, the best first."""
    ordered = sorted(rows.items(), key=lambda item: -item[1]["psnr"])
    head = ("representation", "PSNR", "SSIM", "steps", "training", "CPU", "preparation", "a frame", "bytes", "memory")
    return table(
        head,
        (
            (
                name,
                f"{row['psnr']:.2f} dB",
                f"{row['ssim']:.3f}",
                f"{row['steps']}",
                f"{row['seconds']:.0f} s",
                f"{row['cpu_seconds']:.0f} s",
                f"{row['seconds_of_preparation']:.0f} s",
                f"{row['milliseconds_a_frame']:.0f} ms",
                f"{row['bytes'] / MIB:.1f} MiB",
                f"{row['peak_memory_bytes'] / MIB:.0f} MiB",
            )
            for name, row in ordered
        ),
    )


def _both_times(row: Mapping[str, Any], key: str) -> str:
    return f"{row[f'{key}_ms']:.2f} ms ({row[f'{key}_wall_ms']:.2f})"


CONVERSION_INTRODUCTION = """# What conversions lose

Written by `python -m benchmarks.tables` from `benchmarks/results/conversion.json`, which `python -m
benchmarks.conversion lego --gpus 2 --keep` measures. A teacher of each kind is trained for 30 s, then every
ordered pair is converted without photographs in 20 s, preparation included; each kind is also trained from the
photographs for as long. All are judged on held-out photographs. *Active learning* means that hard rays
come again (in older rows hard points, too); in the pairs tried it has not helped. Where rows come from more than one
commit or device, others than most have a mark.

In a tenth of the time, 2 s, an mlp that learns from a hash grid is 1.5 dB above one that learns from photographs; in a
third of it, 6.7 s, Gaussians are 0.4 dB above (tables at the end). Either is below what 20 s from photographs give.

A student learns its teacher's errors and adds its own. Were these independent, squared errors would add; every cell is
better than that sum. Where both are large and of one size, as between an mlp and a dense grid, half a decibel below the
lower of the two asks for much less than that: what misses it is listed below the matrix, with the sum.

In rows of commits 975842f95a84 and ddbe45556377 students of an RBF field have density layers of their own, teachers
without a fused path (all but the grids) are asked for a third of the densities and show pictures sooner, Gaussians are
looked through in 0.7 s before the first step (2.4 in older rows), and an mlp compares all samples. In those of
ddbe45556377 and 91dcdb3861ab, which are all that an mlp is in, its layers learn by Muon: alone it comes to 30.99 dB in
20 s and to 31.37 in 30 s, with Adam it came to 30.30 and 30.80.

Rows of one capture come from several hosts, whose processors differ: the hash grid made 14,178 steps alone in 20 s on
one, and 20,949 on another. A cell into an mlp differs by as much as 0.3 dB from run to run. The pictures of room are
stylised, each by itself: no scene explains them, and little more than 21 dB can be learnt of it.
"""


def conversion_page() -> str:
    """The whole of ``docs/conversion.md``."""
    return f"{CONVERSION_INTRODUCTION}\n{conversion_tables(read('conversion')['rows'].values())}\n"


def published() -> dict[Path, str]:
    """Every page that publishes figures, as the results have it."""
    pages = {PAGE: results_page(), CONVERSION: conversion_page(), LIMITS: limits_page(), GPU: gpu_page()}
    pages[PHOTOGRAPHS] = photographs_page()
    return {README: with_tables(README.read_text()), **pages}


def disagreeing() -> list[Path]:
    """Pages that say something else than the results."""
    return [page for page, text in published().items() if not page.exists() or page.read_text() != text]


def main(arguments: list[str]) -> None:
    if arguments == ["--check"]:
        wrong = [str(page.relative_to(ROOT)) for page in disagreeing()]
        sys.exit(f"{', '.join(wrong)}: not what the results say; run python -m benchmarks.tables" if wrong else 0)
    for page, text in published().items():
        page.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
