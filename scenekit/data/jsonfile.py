"""JSON from outside: read or refused in one sentence, numbers checked by key."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenekit.core.checks import BadInput

LARGEST = sys.float_info.max  # a number of JSON may have any number of digits


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises BadInput for anything else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput.of(
            path,
            wanted="a JSON file",
            found=f"one that cannot be read ({error})",
            remedy="write the file again",
        ) from None
    if not isinstance(values, dict):
        raise BadInput.of(
            path, wanted="a JSON object", found=type(values).__name__, remedy="use the transforms.json format"
        )
    return values


def frames_of(path: Path, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list under ``frames``, each with a ``file_path`` and a ``transform_matrix``. Raises BadInput."""
    frames = values.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise BadInput.of(
            path,
            wanted="a list under 'frames'",
            found=type(frames).__name__,
            remedy="use the transforms.json format",
        )
    for index, frame in enumerate(frames):
        if not isinstance(frame.get("file_path"), str) or "transform_matrix" not in frame:
            raise BadInput.of(
                path,
                wanted=f"'file_path' and 'transform_matrix' in frame {index}",
                found=", ".join(frame) or "nothing",
                remedy="complete that frame or remove it",
            )
    return frames


def number(path: Path, values: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """A finite number under ``key``. Raises BadInput if it is missing without a default, or no number."""
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise BadInput.of(
            path,
            wanted=f"a finite number under '{key}'",
            found=repr(value),
            remedy=f"set '{key}' in the file",
        )
    return float(value)
