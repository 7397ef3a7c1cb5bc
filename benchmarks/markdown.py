"""Figures as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """One line a row."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *map(list, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def size_of(scope: str) -> str:
    """``WIDTHxHEIGHT`` out of a scope's words."""
    found = re.search(r"\d+x\d+", scope)
    return found.group() if found else "several sizes"
