import json
from pathlib import Path

import pytest
from PIL import Image

from scenekit.cli import demo, main

pytestmark = pytest.mark.long

VIEW, TEST_VIEWS = 128, 3


def test_the_demo_trains_two_scenes_compares_them_and_converts_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # After a second of training Gaussians show something already, a hash grid is fog still.
    monkeypatch.setattr(demo, "CONVERTED", ("gaussians", "hash_grid"))
    folder = tmp_path / "demo"
    assert main(["demo", "-o", str(folder), "--minutes", "0.02"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[0] == "gaussians"
    assert printed[1].split()[0] == "hash_grid"
    assert all("dB held-out PSNR" in line for line in printed[:2])
    runs = [str(folder / name) for name in ("gaussians", "hash_grid", "hash_grid-from-gaussians")]
    assert printed[-1] == f"scenekit view {' '.join(runs)}"
    report = json.loads((folder / "hash_grid-from-gaussians" / "report.json").read_text())
    assert report["scope"].startswith("learnt from the teacher alone")
    assert report["student_against_photographs"]["views"] == TEST_VIEWS
    assert any("PSNR against 3 held-out photographs" in line for line in printed)
    with Image.open(folder / "side-by-side.png") as picture:
        assert picture.size == (3 * VIEW, TEST_VIEWS * VIEW)
        columns = [picture.crop((i * VIEW, 0, (i + 1) * VIEW, picture.height)).tobytes() for i in range(3)]
    assert len(set(columns)) == 3
    for name in ("gaussians", "hash_grid", "hash_grid-from-gaussians"):
        assert main(["info", str(folder / name)]) == 0
        assert name.split("-")[0] in capsys.readouterr().out
