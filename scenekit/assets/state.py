"""Nested dictionaries of tensors and plain values, as one safetensors file and one JSON file beside it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scenekit.assets.tensors import read_tensors, write_tensors
from scenekit.core.checks import BadInput

TENSORS = "tensors.safetensors"
VALUES = "values.json"
CHECKSUM = "/crc32"  # of the other values; no key of a state begins with a slash


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` into the new folder ``folder``; keys are joined with slashes."""
    flat = dict(_leaves(state, ""))
    tensors = {key: value for key, value in flat.items() if isinstance(value, Tensor)}
    values = {key: value for key, value in flat.items() if not isinstance(value, Tensor)}
    folder.mkdir()
    write_tensors(folder / TENSORS, tensors)
    (folder / VALUES).write_text(json.dumps({**values, CHECKSUM: _checksum(values)}))


def read_state(folder: Path) -> dict[str, Any]:
    """Read what :func:`write_state` wrote; raises BadInput for a damaged folder."""
    flat: dict[str, Any] = dict(read_tensors(folder / TENSORS))
    flat |= _read_values(folder / VALUES)
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = key.split("/")
        place = nested
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise BadInput.of(
                    folder, wanted="a checkpoint's state", found=f"'{part}' twice", remedy="remove this checkpoint"
                )
        if name:  # an empty name stands for an empty dictionary
            place[name] = value
    return nested


def _read_values(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text())
        checksum = values.pop(CHECKSUM, None)
        if checksum not in (None, _checksum(values)):
            raise ValueError("another checksum")
        return values
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BadInput.of(
            file, wanted="a checkpoint's values", found=str(error), remedy="remove this checkpoint"
        ) from error


def _checksum(values: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(values).encode()):08x}"


def _leaves(state: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    if not state and prefix:
        yield prefix, None
    for key, value in state.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value
