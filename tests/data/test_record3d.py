"""Record3D: frames in the order of their numbers, depth in metres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.data import open_capture
from tests.data.captures import edit_json, sample
from tests.data.other_programs import write_record3d


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_record3d(tmp_path / "capture", sample())


def test_depth_is_in_metres(root: Path) -> None:
    openexr = pytest.importorskip("OpenEXR", reason="the extra photos is not installed")
    (root / "depth").mkdir()
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, {"R": np.full((9, 12), 2.5, np.float32)}).write(str(root / "depth" / "3.exr"))
    depths = open_capture(root).depths
    assert depths is not None
    torch.testing.assert_close(depths[3], torch.full((18, 24), 2.5))


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"K": [1, 2, 3]}, "rows of 9 numbers under 'K'"),
        ({"K": [0, 0, 0, 0, 0, 0, 0, 0, 1]}, "positive focal lengths"),
        ({"poses": [[0, 0, 0, 1, "a", 0, 0]]}, "rows of 7 numbers under 'poses'"),
        ({"poses": []}, "rows of 7 numbers under 'poses'"),
        ({"w": None}, "a finite number under 'w'"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused(root: Path, changes: dict[str, Any], found: str) -> None:
    edit_json(root / "metadata.json", **changes)
    with pytest.raises(BadInput, match=found):
        open_capture(root)
