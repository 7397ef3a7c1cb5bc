import dataclasses
import io
import json
import zipfile
from pathlib import Path

import pytest
import torch

from scenekit.assets.splats.files import is_splats, read_splats, write_splats
from scenekit.core.checks import BadInput
from tests.assets.splats.written import SAMPLES, sog_of_version_1
from tests.representations.gaussian_clouds import assert_same_bits, sample_cloud


def test_a_file_is_known_by_its_bytes_whatever_its_name(tmp_path: Path) -> None:
    cloud = sample_cloud(10)
    write_splats(tmp_path / "a.ply", cloud)
    (tmp_path / "a.ply").rename(tmp_path / "a.backup")
    found = read_splats(tmp_path / "a.backup")
    assert found.codec == "ply"
    assert_same_bits(found.cloud, cloud)
    assert found.describe()["gaussians"] == 10


def test_gaussians_that_nobody_can_show_are_left_out_and_said(tmp_path: Path) -> None:
    cloud = sample_cloud(10)
    cloud.means[1, 2] = torch.nan
    cloud.harmonics[2, 7, 1] = torch.inf
    cloud.quaternions[3] = 0
    cloud.opacity_logits[4] = torch.inf
    cloud.log_scales[5, 0] = -torch.inf
    write_splats(tmp_path / "a.ply", cloud)
    found = read_splats(tmp_path / "a.ply")
    assert found.notes == ("3 of 10 Gaussians have values that are not finite or no rotation; they are left out",)
    assert len(found.cloud) == 7
    assert found.cloud.opacity_logits[1].sigmoid() == 1
    assert found.cloud.log_scales[2, 0].exp() < 1e-15
    assert_same_bits(dataclasses.replace(found.cloud[3:]), cloud[6:])


@pytest.mark.bad_input
def test_names_without_a_format_and_files_that_are_absent_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"wanted a name that ends in \.ply"):
        write_splats(tmp_path / "a.doc", sample_cloud(3))
    with pytest.raises(BadInput, match="No such file"):
        read_splats(tmp_path / "absent.ply")
    (tmp_path / "a.doc").write_text("hello")
    with pytest.raises(BadInput, match="found none of these"):
        read_splats(tmp_path / "a.doc")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.doc"]


@pytest.mark.bad_input
def test_a_damaged_file_is_one_sentence_that_names_it(tmp_path: Path) -> None:
    write_splats(tmp_path / "a.ply", sample_cloud(10))
    (tmp_path / "a.ply").write_bytes((tmp_path / "a.ply").read_bytes()[:-4])
    with pytest.raises(BadInput, match=r"a\.ply: wanted a 3DGS PLY file, found a damaged one \(10 rows") as error:
        read_splats(tmp_path / "a.ply")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("version", [1, 2])
def test_an_unpacked_sog_is_read_by_its_meta(version: int, tmp_path: Path) -> None:
    packed = tmp_path / "a.sog"
    packed.write_bytes(sog_of_version_1(sample_cloud(40, 2)) if version == 1 else SAMPLES["sog"]())
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "folder")
        unpacked = sum(entry.file_size for entry in archive.infolist())
    found, wanted = read_splats(tmp_path / "folder" / "meta.json"), read_splats(packed)
    assert_same_bits(found.cloud, wanted.cloud)
    assert found.codec == "sog"
    assert unpacked < found.size <= wanted.size + 1000
    assert is_splats(tmp_path / "folder" / "meta.json")


@pytest.mark.bad_input
@pytest.mark.parametrize(
    "name", ["../secret.webp", "/etc/hostname", "absent.webp", "", "..", "meta.json", "a\0b", "\ud800"]
)
def test_a_meta_that_names_what_is_not_beside_it_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(SAMPLES["sog"]())) as archive:
        archive.extractall(tmp_path / "folder")
    file = tmp_path / "folder" / "meta.json"
    (tmp_path / "secret.webp").write_bytes((tmp_path / "folder" / "scales.webp").read_bytes())
    meta = json.loads(file.read_text())
    meta["scales"]["files"] = [name]
    file.write_text(json.dumps(meta))
    with pytest.raises(BadInput, match="a damaged one"):
        read_splats(file)
    file.write_text('{"means": 3, "scales": {"files": 7}}')
    with pytest.raises(BadInput, match="a damaged one"):
        read_splats(file)
