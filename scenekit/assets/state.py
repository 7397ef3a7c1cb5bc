"""Nested dictionaries of tensors and plain values, as one safetensors file and one JSON file beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from scenekit.core.checks import BadInput

TENSORS = "tensors.safetensors"
VALUES = "values.json"


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` into the new folder ``folder``; keys are joined with slashes."""
    flat = dict(_leaves(state, ""))
    tensors = {key: value.contiguous() for key, value in flat.items() if isinstance(value, Tensor)}
    values = {key: value for key, value in flat.items() if not isinstance(value, Tensor)}
    folder.mkdir()
    # save_file writes through a memory map, which kills the process where the disk is full: bytes raise instead.
    (folder / TENSORS).write_bytes(save(tensors))
    (folder / VALUES).write_text(json.dumps(values))


def read_state(folder: Path) -> dict[str, Any]:
    """Read what :func:`write_state` wrote; raises BadInput for a damaged folder."""
    flat: dict[str, Any] = dict(read_tensors(folder / TENSORS))
    try:
        flat |= json.loads((folder / VALUES).read_text())
    except (OSError, ValueError) as error:
        raise BadInput.of(
            folder / VALUES, wanted="a checkpoint's values", found=str(error), remedy="remove this checkpoint"
        ) from error
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = key.split("/")
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        if name:  # an empty name stands for an empty dictionary
            place[name] = value
    return nested


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; raises BadInput where it is missing or damaged."""
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise BadInput.of(
            file, wanted="a safetensors file", found=str(error), remedy="train again or restore the file"
        ) from error


def _leaves(state: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    if not state and prefix:
        yield prefix, None
    for key, value in state.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value
