"""Volumes as .nrrd files with attached data, raw or gzip (teem.sourceforge.net/nrrd/format.html)."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np

from scenekit.core.checks import BadInput

TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "f4": ("float",),
    "f8": ("double",),
}
CODES = {name: code for code, names in TYPES.items() for name in names}
LARGEST_BYTES = 2**32


def read_nrrd(path: Path) -> np.ndarray:
    """``[Z Y X]``, or ``[Z Y X C]`` where the first or the last of four axes has four entries.

    Raises BadInput for data in another file, an unknown type or encoding, or fewer bytes than the sizes say.
    """
    data = path.read_bytes()
    head, blank, body = data.partition(b"\n\n")
    fields = _fields(head)
    if not data.startswith(b"NRRD") or not blank or not {"type", "sizes", "encoding"} <= fields.keys():
        raise _bad(path, "a NRRD header with type, sizes and encoding", repr(data[:16]))
    if "data file" in fields or "datafile" in fields:
        raise _bad(path, "data in the same file", f"a reference to {fields.get('data file', 'another')}")
    code = CODES.get(fields["type"])
    if code is None:
        raise _bad(path, "numbers of 8 to 32 bits, float or double", fields["type"])
    try:
        sizes = [int(size) for size in fields["sizes"].split()]
    except ValueError:
        sizes = [0]
    kind = np.dtype(("<" if fields.get("endian", "little") == "little" else ">") + code)
    wanted = math.prod(sizes) * kind.itemsize
    if min(sizes, default=0) < 1 or wanted > LARGEST_BYTES:
        raise _bad(path, f"positive sizes of at most {LARGEST_BYTES >> 30} GiB together", fields["sizes"])
    raw = _decoded(path, fields["encoding"], body, wanted)
    if len(raw) < wanted:
        raise _bad(path, f"{wanted} bytes of data", str(len(raw)))
    array = np.frombuffer(raw[:wanted], dtype=kind).reshape(sizes[::-1])  # the first axis is the fastest
    return np.moveaxis(array, 0, -1) if array.ndim == 4 and array.shape[0] == 4 != array.shape[-1] else array


def _fields(head: bytes) -> dict[str, str]:
    lines = head.decode("ascii", errors="replace").splitlines()[1:]
    pairs = (line.split(": ", 1) for line in lines if ": " in line and not line.startswith("#"))
    return {key.strip().lower(): value.strip().lower() for key, value in pairs}


def _decoded(path: Path, encoding: str, body: bytes, wanted: int) -> bytes:
    if encoding == "raw":
        return body
    if encoding not in ("gzip", "gz"):
        raise _bad(path, "the encoding raw or gzip", encoding)
    try:
        return zlib.decompressobj(wbits=31).decompress(body, wanted)
    except zlib.error as error:
        raise _bad(path, "whole gzip data", str(error)) from None


def _bad(path: Path, wanted: str, found: str) -> BadInput:
    return BadInput.of(path, wanted=wanted, found=found, remedy="write the volume again, as attached raw or gzip data")
