from pathlib import Path

import torch

from scenekit.assets.report import page, write_report

FIGURES = {
    "scope": "<script>alert(1)</script>",
    "history": [{"from": "a", "to": "b & c", "teacher": "x"}],
    "stages": {"points": 1.25},
    "teacher": {"representation": "a", "bytes": 2**20, "parameters": 1234, "milliseconds_per_frame": 5.0,
                "frame": [4, 3]},
    "student": {"representation": "b & c", "bytes": 2**19, "parameters": 99, "milliseconds_per_frame": 2.0,
                "frame": [4, 3]},
    "student_against_teacher": {"psnr": 31.5, "ssim": 0.97, "views": 2},
}  # fmt: skip


def test_the_page_holds_its_pictures_and_escapes_every_text(tmp_path: Path) -> None:
    picture = torch.zeros(3, 4, 3, dtype=torch.uint8)
    write_report(tmp_path, FIGURES, [("view <1>", picture, picture, picture)])
    text = (tmp_path / "report.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "b &amp; c" in text
    assert "view &lt;1&gt;" in text
    assert text.count("data:image/png;base64,") == 3
    assert "31.50" in text
    assert (tmp_path / "report.json").exists()


def test_without_depth_and_photographs_their_rows_are_left_out() -> None:
    text = page(FIGURES, [])
    assert "photographs" not in text
    assert "depth" not in text
