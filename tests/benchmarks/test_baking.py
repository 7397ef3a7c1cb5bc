"""The benchmark of baked fields, on a capture that is made in a moment."""

from pathlib import Path

import pytest
from PIL import Image

from benchmarks import baking
from scenekit.distill.bake import Baking

QUICK = ("hash_grid", "--downscale", "4", "--steps", "120", "--log2-table", "14", "--networks.width", "16")
SHORT = ("--batch-samples", "16384", "--marching.steps", "128", "--marching.grid", "32")
COARSE = Baking(resolution=64, planes=64, march_steps=192, steps=60, rays=1024)


@pytest.mark.long
def test_a_baked_field_is_judged_beside_the_field_it_came_from(tmp_path: Path) -> None:
    run = baking.train("synthetic", (*QUICK, *SHORT), tmp_path)
    found = baking.measure(run, baking.Options(views=2, pictures=tmp_path / "pictures", bake=COARSE))
    assert found["psnr_of_field"] > 17
    assert found["psnr_lost"] == pytest.approx(found["psnr_of_field"] - found["psnr_of_twin"], abs=2e-4)
    assert found["psnr_lost"] < 1.5
    assert found["psnr_against_field"] > 25
    assert 0.01 < found["page_megabytes"] < 5
    assert found["baking"]["resolution"] == 64
    assert found["scope"].startswith("synthetic, 2 test views at 32x32")
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) == 2
    with Image.open(pictures[0]) as image:
        assert image.size == (3 * 32, 32)


def test_held_out_views_are_spread_evenly() -> None:
    assert baking._spread(range(200), 4) == [0, 50, 100, 150]
    assert baking._spread([3, 5], 4) == [3, 5]
