"""README's tables of what stands in a browser: the live view, pages at size, baked fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.markdown import size_of, table
from benchmarks.record import read


def live() -> str:
    """What moving browsers find."""
    rows = read("live")["rows"]
    return table(("live view", "found", "load"), (_live(name, row) for name, row in rows.items()))


def _live(name: str, row: Mapping[str, Any]) -> Iterator[str]:
    troubles = len(row["errors"]) + row["troubles"]
    if name == "delay":
        yield f"a pointer's move to the next picture, {row['moves']} moves"
        yield f"{row['median_ms']:.0f} ms (median), {row['p90_ms']:.0f} ms (nine of ten)"
    else:
        yield f"{row['minutes']:g} minutes of {row['clients']} moving browsers"
        memory = f"{row['mib_settled']:.0f} MiB at first, {row['mib_at_end']:.0f} MiB at the end"
        yield f"{sum(row['pictures'])} pictures, {troubles} errors, {memory}"
    yield f"{row['load_before']:.1f} to {row['load_after']:.1f}"


def viewer() -> str:
    """Splats in a page."""
    return table(
        ("splats", "page", "first picture", "all of it", "a sort", "memory", "load"),
        (
            (
                f"{int(name):,}",
                f"{row['megabytes']:.0f} MB",
                f"{row['first_picture_ms_least'] / 1000:.1f} s ({row['first_picture_ms_median'] / 1000:.1f})",
                f"{row['loaded_ms'] / 1000:.0f} s",
                f"{row['sort_ms_least']:.0f} ms ({row['sort_ms_median']:.0f})",
                f"{row['memory_megabytes']:.0f} MB",
                f"{row['load_before']:.1f} to {row['load_after']:.1f}",
            )
            for name, row in read("viewer")["rows"].items()
        ),
    )


def baking() -> str:
    """Fields that were baked for pages, beside themselves."""
    return table(
        ("hash grid of", "PSNR of the field", "of its page", "lost", "page against field", "page", "baking"),
        (
            (
                f"{name}, {size_of(row['scope'])}",
                f"{row['psnr_of_field']:.2f} dB",
                f"{row['psnr_of_twin']:.2f} dB",
                f"{row['psnr_lost']:.2f} dB",
                f"{row['psnr_against_field']:.2f} dB",
                f"{row['page_megabytes']:.1f} MB",
                f"{row['baking']['resolution']} cells a side, {row['baking']['steps']} steps, {row['seconds']:.0f} s",
            )
            for name, row in read("baking")["rows"].items()
        ),
    )
