"""Volumes as other programs write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def nrrd(path: Path, array: np.ndarray, **more: str) -> Path:
    sizes = " ".join(map(str, array.shape[::-1]))
    fields = {"type": "float", "dimension": str(array.ndim), "sizes": sizes, "encoding": "raw", "endian": "little"}
    fields |= {key.replace("_", " "): value for key, value in more.items()}
    head = "NRRD0004\n# a comment\n" + "".join(f"{key}: {value}\n" for key, value in fields.items())
    data = array.tobytes()
    path.write_bytes(head.encode() + b"\n" + (gzip.compress(data) if fields["encoding"] == "gzip" else data))
    return path
