"""README's table of the live view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.markdown import table
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
