import itertools
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenekit.assets.edits import edited, read_edits, stream_edits, streams
from scenekit.assets.edits.edit import Subject
from scenekit.assets.exporters import Source
from scenekit.assets.splats import ply
from scenekit.assets.splats.files import read_splats, write_splats
from scenekit.cli import main
from scenekit.core.checks import BadInput
from scenekit.recipes.imported import scene_of_file
from scenekit.representations.gaussian_cloud import GaussianCloud, joined
from tests.representations.gaussian_clouds import assert_same_bits, sample_cloud


def _after(cloud: GaussianCloud, *words: str) -> GaussianCloud:
    edits, rest = read_edits(words)
    assert rest == []
    subject = Subject(cloud)
    for edit in edits:
        subject = edit.apply(subject)
    return subject.cloud


@pytest.fixture
def cloud() -> GaussianCloud:
    return sample_cloud(200, 2)


@pytest.fixture
def file(tmp_path: Path, cloud: GaussianCloud) -> Path:
    write_splats(tmp_path / "a.ply", cloud)
    return tmp_path / "a.ply"


def test_a_box_and_a_sphere_keep_the_centres_inside(cloud: GaussianCloud):
    x, z = cloud.means[:, 0], cloud.means[:, 2]
    assert_same_bits(_after(cloud, "--crop", "box:-1,-9e9,0,0.5,9e9,9e9"), cloud[(x >= -1) & (x <= 0.5) & (z >= 0)])
    inside = (cloud.means.double() - torch.tensor([0.1, 0.2, 0.3])).norm(dim=-1) <= 1.1
    assert_same_bits(_after(cloud, "--crop=sphere:0.1,0.2,0.3,1.1"), cloud[inside])


def test_edits_are_carried_out_in_the_order_given(cloud: GaussianCloud):
    crop, shift = ("--crop", "box:0,-9e9,-9e9,9e9,9e9,9e9"), ("--translate", "-1,0,0")
    first, second = _after(cloud, *crop, *shift), _after(cloud, *shift, *crop)
    assert float(first.means[:, 0].min()) < 0 <= float(second.means[:, 0].min())
    assert len(first) == int((cloud.means[:, 0] >= 0).sum())
    assert len(second) == int((cloud.means[:, 0] - 1 >= 0).sum())


def test_a_quarter_turn_moves_positions_rotations_and_colors_together(cloud: GaussianCloud):
    turned = _after(cloud, "--rotate", "z,90")
    wanted = torch.stack([-cloud.means[:, 1], cloud.means[:, 0], cloud.means[:, 2]], -1)
    torch.testing.assert_close(turned.means, wanted)
    back = _after(turned, "--rotate", "z,-90")
    torch.testing.assert_close(back.harmonics, cloud.harmonics, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(turned.harmonics, cloud.harmonics)


def test_growing_moves_centres_and_sizes(cloud: GaussianCloud):
    grown = _after(cloud, "--resize", "2")
    torch.testing.assert_close(grown.means, 2 * cloud.means)
    torch.testing.assert_close(grown.log_scales, cloud.log_scales + math.log(2))


def test_pruning_by_opacity_and_size(cloud: GaussianCloud):
    opacities = cloud.opacity_logits.double().sigmoid()
    assert_same_bits(_after(cloud, "--prune", "opacity:0.5"), cloud[opacities >= 0.5])
    largest = cloud.log_scales.amax(-1).double().exp()
    middle = float(largest.median())
    assert_same_bits(_after(cloud, "--prune", f"size:{middle!r}"), cloud[largest <= middle])


def test_what_floats_far_from_the_bulk_is_pruned():
    bulk, speck = sample_cloud(3000, 0), sample_cloud(20, 0)
    bulk, speck = (replace(part, opacity_logits=torch.full((len(part),), 2.0)) for part in (bulk, speck))
    bulk = replace(bulk, means=bulk.means / bulk.means.norm(dim=-1, keepdim=True))
    speck = replace(speck, means=0.02 * speck.means + torch.tensor([0.0, 3.0, 0.0]))
    assert_same_bits(_after(joined([bulk, speck]), "--prune", "floaters"), bulk)


def test_merging_adds_a_file_and_degrees_are_cut(cloud: GaussianCloud, file: Path):
    merged = _after(cloud[:7], "--merge", str(file), "--degree", "1")
    assert_same_bits(merged, joined([cloud[:7], cloud]).of_degree(1))


def test_a_budget_keeps_what_pictures_show(file: Path, cloud: GaussianCloud):
    hidden = replace(cloud[:50], opacity_logits=torch.full((50,), -7.0))
    source = Source(
        scene_of_file(read_splats(file)), joined([hidden, replace(cloud, opacity_logits=cloud.opacity_logits + 5)])
    )
    left = edited(source, read_edits(["--budget", "0.2k"])[0])
    assert left.gaussians is not None
    assert len(left.gaussians) == 200
    assert float(left.gaussians.opacity_logits.min()) > -7


def test_moving_a_scene_and_its_cameras_leaves_pictures_alone(file: Path):
    source = Source(scene_of_file(read_splats(file)), read_splats(file).cloud)
    moved = edited(source, read_edits(["--rotate", "x,30", "--translate", "5,0,1", "--resize", "3"])[0])
    before, after = (s.scene.render(s.scene.cameras[:1]).color for s in (source, moved))
    assert float((before - after).abs().max()) < 2e-3


def test_files_are_edited_in_blocks_like_in_memory(tmp_path: Path, file: Path, cloud: GaussianCloud):
    words = ["--crop", "sphere:0,0,0,1.5", "--rotate", "y,90", "--prune", "opacity:0.3", "--degree", "1"]
    edits, _ = read_edits(words)
    assert streams(file, tmp_path / "b.ply", edits)
    facts = stream_edits(file, tmp_path / "b.ply", edits)
    wanted = _after(cloud, *words)
    assert_same_bits(read_splats(tmp_path / "b.ply").cloud, wanted)
    assert (facts["gaussians"], facts["harmonics_degree"]) == (len(wanted), 1)
    assert not streams(file, tmp_path / "b.ply", read_edits(["--prune", "floaters"])[0])
    assert not streams(file, tmp_path / "b.sog", edits)


def test_files_are_merged_in_blocks_like_in_memory(tmp_path: Path, file: Path, cloud: GaussianCloud):
    small, large = tmp_path / "small.ply", tmp_path / "large.ply"
    write_splats(small, sample_cloud(50, 0))
    write_splats(large, sample_cloud(60, 3))
    words = ["--translate", "1,0,0", "--degree", "1", "--merge", str(small), "--crop", "sphere:0,0,0,2",
             "--merge", str(large), "--rotate", "y,90", "--degree", "2"]  # fmt: skip
    edits, _ = read_edits(words)
    assert streams(file, tmp_path / "b.ply", edits)
    facts = stream_edits(file, tmp_path / "b.ply", edits)
    wanted = _after(cloud, *words)
    assert facts["harmonics_degree"] == wanted.degree == 2
    assert_same_bits(read_splats(tmp_path / "b.ply").cloud, wanted)


PEAK = """
import sys
from scenekit.cli import main
from scenekit.data.memory import most_held
assert main(sys.argv[1:]) == 0
print(most_held())
"""


def test_files_larger_than_what_it_takes_are_edited_and_merged(tmp_path: Path):
    small, large = tmp_path / "small.ply", tmp_path / "large.ply"
    block, blocks = sample_cloud(1 << 14, 3), 24
    for file, count in ((small, 1), (large, blocks)):
        with file.open("w+b") as stream:
            ply.write_blocks(stream, itertools.repeat(block, count), 3)
    words = ["--crop", "box:-9,-9,-9,9,9,9", "--rotate", "x,30", "--resize", "2", "--prune", "opacity:0.01",
             "--prune", "size:100", "--translate", "1,2,3"]  # fmt: skip

    def peak(file: Path) -> int:
        """In bytes, of a process that reads the file twice over."""
        merged = ["export", str(file), *words, "--merge", str(file), str(tmp_path / "edited.ply")]
        done = subprocess.run([sys.executable, "-c", PEAK, *merged], check=True, capture_output=True, text=True)
        return int(done.stdout.splitlines()[-1])

    fixed = peak(small)
    assert peak(large) - fixed < 0.25 * large.stat().st_size
    with (tmp_path / "edited.ply").open("rb") as stream:
        assert 1.5 * blocks < ply.read_layout(stream).count / len(block) <= 2 * blocks


@pytest.mark.bad_input
def test_other_kinds_and_damaged_files_are_not_merged(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_splats(tmp_path / "mip.ply", sample_cloud(9, 2, antialiased=True))
    (tmp_path / "short.ply").write_bytes(file.read_bytes()[:-20])
    for other, words in (("mip.ply", "antialiased like the others"), ("short.ply", "short.ply: wanted a 3DGS PLY")):
        assert main(["export", str(file), "--merge", str(tmp_path / other), str(tmp_path / "b.ply")]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "b.ply").exists()


def test_the_command_line_edits_from_file_to_file(tmp_path: Path, file: Path, cloud: GaussianCloud):
    target = tmp_path / "b.sog"
    assert main(["export", str(file), "--prune", "opacity:0.4", "--budget", "50", str(target)]) == 0
    assert len(read_splats(target).cloud) == 50


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--crop", "box:1,2,3"], "--crop box: wanted 6 numbers"),
        (["--crop", "box:1,0,0,0,1,1"], "the lower corner first"),
        (["--crop", "cone:1"], "wanted box:"),
        (["--rotate", "w,90"], "AXIS,DEGREES"),
        (["--resize", "-1"], "a positive number"),
        (["--prune", "dust"], "opacity:LEAST"),
        (["--budget", "many"], "a number"),
        (["--degree", "9"], "0 to 4"),
        (["--translate"], "wanted a value"),
        (["--translate", "nan,0,0"], "3 numbers"),
    ],
)
def test_verbs_that_mean_nothing_are_refused(words: list[str], sentence: str):
    with pytest.raises(BadInput, match=sentence):
        read_edits(words)


@pytest.mark.bad_input
def test_an_empty_scene_is_not_written(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]):
    for target in ("b.ply", "b.sog"):
        assert main(["export", str(file), "--crop", "sphere:99,99,99,1", str(tmp_path / target)]) == 2
        assert "at least one Gaussian left" in capsys.readouterr().err
        assert not (tmp_path / target).exists()
