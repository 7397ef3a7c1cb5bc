import io
import struct

import numpy as np
import pytest
import torch

from scenekit.assets.splats import ply
from scenekit.assets.splats.codec import Damaged
from scenekit.representations.gaussian_cloud import GaussianCloud, joined
from tests.representations.gaussian_clouds import assert_same_bits, sample_cloud


def written(cloud: GaussianCloud) -> bytes:
    stream = io.BytesIO()
    ply.encode(cloud, stream)
    return stream.getvalue()


@pytest.mark.parametrize("degree", range(5))
@pytest.mark.parametrize("antialiased", [False, True])
def test_what_is_written_comes_back_bit_for_bit(degree: int, antialiased: bool) -> None:
    cloud = sample_cloud(50, degree, antialiased=antialiased)
    assert_same_bits(ply.decode(io.BytesIO(written(cloud))), cloud)


def test_columns_stand_as_the_first_trainer_wrote_them() -> None:
    cloud = sample_cloud(3, 1)
    head, _, body = written(cloud).partition(b"end_header\n")
    names = [line.split()[-1] for line in head.decode().splitlines() if line.startswith("property float")]
    row = dict(zip(names, struct.unpack(f"<{len(names)}f", body[: 4 * len(names)]), strict=True))
    assert names[:6] == ["x", "y", "z", "nx", "ny", "nz"]
    assert row["f_dc_1"] == cloud.harmonics[0, 0, 1]
    assert row["f_rest_0"] == cloud.harmonics[0, 1, 0]
    assert row["f_rest_2"] == cloud.harmonics[0, 3, 0]
    assert row["f_rest_3"] == cloud.harmonics[0, 1, 1]
    assert row["rot_0"] == cloud.quaternions[0, 0]
    assert row["opacity"] == cloud.opacity_logits[0]


@pytest.mark.parametrize("comment", ["SplatRenderMode: mip", "splatrendermode: MIP", "antialiased 1"])
def test_the_tag_of_other_tools_is_understood(comment: str) -> None:
    data = written(sample_cloud(2, 0)).replace(b"comment scenekit", f"comment {comment}\ncomment".encode())
    assert ply.decode(io.BytesIO(data)).antialiased


def test_columns_in_any_order_of_any_type_are_found_by_name() -> None:
    cloud = sample_cloud(4, 0)
    values = {"opacity": cloud.opacity_logits.double(), "extra": torch.arange(4)}
    for names, columns in [
        (("scale_0", "scale_1", "scale_2"), cloud.log_scales),
        (("rot_0", "rot_2", "rot_1", "rot_3"), cloud.quaternions[:, [0, 2, 1, 3]]),
        (("z", "y", "x"), cloud.means.flip(1)),
        (("f_dc_0", "f_dc_1", "f_dc_2"), cloud.harmonics[:, 0]),
    ]:
        values |= dict(zip(names, columns.T, strict=True))
    kinds = {"opacity": ("double", ">f8"), "extra": ("uchar", ">u1")}
    table = np.empty(4, [(name, kinds.get(name, ("", ">f4"))[1]) for name in values])
    for name, column in values.items():
        table[name] = column.numpy()
    lines = [f"property {kinds.get(name, ('float', ''))[0]} {name}" for name in values]
    head = "\n".join(["ply", "format binary_big_endian 1.0", "element vertex 4", *lines, "end_header", ""])
    assert_same_bits(ply.decode(io.BytesIO(head.encode() + table.tobytes())), cloud)


def test_blocks_of_rows_are_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenekit.data.ply.BLOCK", 20 * 248)
    cloud = sample_cloud(55)
    stream = io.BytesIO(written(cloud))
    blocks = list(ply.read_blocks(stream, ply.read_layout(stream)))
    assert [len(block) for block in blocks] == [20, 20, 15]
    assert_same_bits(joined(blocks), cloud)
    out = io.BytesIO()
    assert ply.write_blocks(out, blocks, 3) == 55
    assert out.getvalue() == stream.getvalue()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"property float opacity\n", b"", "no column opacity"),
        (b"f_dc_", b"dc_", "points without Gaussians"),
        (b"f_rest_8\n", b"other\n", "8 columns f_rest"),
        (b"f_rest_8\n", b"f_rest_9\n", "leave out a number"),
        (b"vertex 6", b"vertex 7", "7 rows of 'vertex' announced"),
        (b"vertex 6", b"vertex 999999999999999999999", "rows of 'vertex' announced"),
        (b"rot_1\n", b"rot_0\n", "two properties of one name"),
        (b"vertex", b"face", "no element 'vertex'"),
        (b"end_header", b"end", "no header"),
    ],
)
def test_what_is_no_splat_file_is_said_in_a_few_words(old: bytes, new: bytes, words: str) -> None:
    data = written(sample_cloud(6, 1))
    assert old in data
    with pytest.raises(Damaged, match=words):
        ply.decode(io.BytesIO(data.replace(old, new)))
