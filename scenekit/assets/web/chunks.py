"""Pieces of a page's data: packed, named after their content, listed in the manifest with size and hash."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Chunk:
    """One file of a page.

    Attributes:
        part: what it holds, a word; the file's name begins with it.
        level: pages load lower levels first.
        raw: the bytes as the page will use them.
        values: what the manifest says about them besides.
    """

    part: str
    level: int
    raw: bytes
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PackedChunk:
    """A chunk as it is written: its file's name, its gzipped bytes, and what the manifest says about it."""

    file: str
    packed: bytes
    entry: dict[str, Any]


def pack(chunk: Chunk) -> PackedChunk:
    """Compress and name a chunk.

    The hash is of the raw bytes: a server that unpacks on the way (Content-Encoding) changes nothing then. The
    name holds 12 of its digits, so that browsers may keep a file for ever.
    """
    digest = hashlib.sha256(chunk.raw).hexdigest()
    packed = gzip.compress(chunk.raw, compresslevel=6, mtime=0)
    file = f"{chunk.part}_{digest[:12]}.bin"
    entry = {
        "file": file,
        "part": chunk.part,
        "level": chunk.level,
        "codec": "gzip",
        "bytes": len(packed),
        "raw_bytes": len(chunk.raw),
        "sha256": digest,
    }
    return PackedChunk(file, packed, entry | dict(chunk.values))
