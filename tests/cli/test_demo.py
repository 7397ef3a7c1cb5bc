from pathlib import Path

import pytest
from PIL import Image

from scenekit.cli import main

VIEW, TEST_VIEWS = 128, 3


def test_the_demo_trains_two_scenes_and_puts_them_beside_the_photographs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", "-o", str(folder), "--minutes", "0.02"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[0] == "gaussians"
    assert printed[1].split()[0] == "hash_grid"
    assert all("dB held-out PSNR" in line for line in printed[:2])
    assert printed[2] == f"scenekit view {folder / 'gaussians'} {folder / 'hash_grid'}"
    with Image.open(folder / "side-by-side.png") as picture:
        assert picture.size == (3 * VIEW, TEST_VIEWS * VIEW)
        columns = [picture.crop((i * VIEW, 0, (i + 1) * VIEW, picture.height)).tobytes() for i in range(3)]
    assert len(set(columns)) == 3
    for name in ("gaussians", "hash_grid"):
        assert main(["info", str(folder / name)]) == 0
        assert name in capsys.readouterr().out
