"""Safetensors files with a checksum: written in blocks, without a copy of what they hold; read or refused.

The file is an ordinary one (eight bytes of length, a JSON header, the data). Its header begins with
``{"__metadata__":{"crc32":"........"``: the CRC-32 of the whole file with these eight digits as zeros.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from scenekit.core.checks import BadInput

NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
BLOCK = 1 << 22  # bytes written, or summed, at once: others may run Python in between
UNKNOWN = "00000000"
BEGINNING = b'{"__metadata__":{"crc32":"'
PLACE = 8 + len(BEGINNING)  # of the digits in the file


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device. Raises OSError where the disk is full."""
    entries: dict[str, object] = {"__metadata__": {"crc32": UNKNOWN}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # what follows is aligned
    with file.open("wb", buffering=0) as stream:
        total = _put(stream, struct.pack("<Q", len(header)) + header, 0)
        for tensor in tensors.values():
            for block in _blocks(tensor):
                total = _put(stream, block, total)
        stream.seek(PLACE)
        stream.write(f"{total:08x}".encode())


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; raises BadInput where it is missing, cut short or changed."""
    try:
        if not _is_as_written(file):
            raise BadInput.of(
                file,
                wanted="a safetensors file as it was written",
                found="another checksum",
                remedy="train again or restore the file",
            )
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise BadInput.of(
            file, wanted="a safetensors file", found=str(error), remedy="train again or restore the file"
        ) from error
    strange = next((name for name, tensor in tensors.items() if tensor.dtype not in NAMES), None)
    if strange is not None:
        raise BadInput.of(
            file,
            wanted=f"{strange} of real numbers",
            found=str(tensors[strange].dtype).removeprefix("torch."),
            remedy="train again or restore the file",
        )
    return tensors


def _put(stream: BinaryIO, block: bytes | memoryview, total: int) -> int:
    """Write all of a block and go on with the checksum; a disk that fills up may take a part of it first."""
    left = memoryview(block)
    while left:
        left = left[stream.write(left) :]
    return zlib.crc32(block, total)


def _blocks(tensor: Tensor) -> Iterator[memoryview]:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    for start in range(0, len(flat), BLOCK):
        yield flat[start : start + BLOCK].data


def _is_as_written(file: Path) -> bool:
    """Whether the checksum holds; a file of another program has none."""
    with file.open("rb") as stream:
        head = stream.read(PLACE + len(UNKNOWN))
        if head[8:PLACE] != BEGINNING:
            return True
        total = zlib.crc32(head[:PLACE] + UNKNOWN.encode())
        while block := stream.read(BLOCK):
            total = zlib.crc32(block, total)
    return head[PLACE:] == f"{total:08x}".encode()
