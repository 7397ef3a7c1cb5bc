"""Every splat format reads what it writes, says what it cannot keep, and refuses what is damaged."""

from __future__ import annotations

import io
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from scenekit.assets.allowance import PARTS
from scenekit.assets.splats import CODECS
from scenekit.assets.splats.codec import FINEST, Coarser, Damaged
from scenekit.assets.splats.files import codec_of, read_splats, write_splats
from scenekit.core.checks import BadInput
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.representations.gaussian_cloud import GaussianCloud
from tests.assets.splats.written import SAMPLES
from tests.representations.gaussian_clouds import assert_same_bits, sample_cloud

every_codec = pytest.mark.parametrize("name", CODECS)
every_writer = pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if codec.encode])


def through(name: str, cloud: GaussianCloud) -> tuple[GaussianCloud, GaussianCloud]:
    """What a format makes of a cloud, and the cloud in the order of the file."""
    codec, stream = CODECS[name], io.BytesIO()
    assert codec.encode is not None
    wanted = cloud[codec.order(cloud, torch.device("cpu"))] if codec.order else cloud
    codec.encode(wanted, stream)
    return codec.decode(stream), wanted


def covariances(cloud: GaussianCloud) -> torch.Tensor:
    axes = matrix_from_quaternion(cloud.quaternions.double()) * cloud.log_scales.double().exp()[:, None]
    return axes @ axes.transpose(1, 2)


def test_extensions_are_lower_case_and_belong_to_one_format() -> None:
    extensions = [extension for codec in CODECS.values() for extension in codec.extensions]
    assert len(extensions) == len(set(extensions))
    assert all(extension.startswith(".") and extension == extension.lower() for extension in extensions)


def test_every_format_has_a_sample_in_the_tests() -> None:
    assert set(SAMPLES) == set(CODECS)


@every_writer
@pytest.mark.parametrize("degree", range(5))
def test_what_is_written_is_read_back_within_the_formats_steps(name: str, degree: int) -> None:
    if degree > CODECS[name].degree:
        return
    cloud = sample_cloud(400, degree)
    cloud.harmonics[:, 0].clamp_(-1.7, 1.7)  # .splat keeps no colours outside [0, 1], .spz none far outside
    found, wanted = through(name, cloud)
    assert (len(found), found.degree) == (400, degree)
    torch.testing.assert_close(found.means, wanted.means, atol=5e-3, rtol=0)
    torch.testing.assert_close(found.log_scales, wanted.log_scales, atol=0.07, rtol=0)
    torch.testing.assert_close(found.opacity_logits.sigmoid(), wanted.opacity_logits.sigmoid(), atol=3e-3, rtol=0)
    torch.testing.assert_close(found.harmonics[:, 0], wanted.harmonics[:, 0], atol=0.06, rtol=0)
    size = covariances(wanted).diagonal(dim1=1, dim2=2).sum(-1)[:, None, None]
    torch.testing.assert_close(covariances(found) / size, covariances(wanted) / size, atol=0.15, rtol=0)
    if degree:
        error = (found.harmonics - wanted.harmonics)[:, 1:].square().mean().sqrt()
        assert error < 0.9 * wanted.harmonics[:, 1:].square().mean().sqrt()


@pytest.mark.parametrize("part", [item.name for item in fields(Coarser)])
@pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if codec.encode_coarser])
def test_a_part_with_coarser_steps_takes_less_and_leaves_the_others_alone(name: str, part: str) -> None:
    codec, cloud = CODECS[name], sample_cloud(3000, 1)
    encode = codec.encode_coarser
    assert encode is not None
    sizes, read = [], []
    for bits in (0, 2, 5):
        stream = io.BytesIO()
        encode(cloud, stream, replace(FINEST, **{part: bits}))
        sizes.append(stream.tell())
        read.append(codec.decode(stream))
    assert sizes[0] > sizes[1] > sizes[2]
    for other, mixed in PARTS.items():
        change = [
            (_values(mixed(read[0], found)) - _values(read[0])).double().square().mean().sqrt() for found in read[1:]
        ]
        if other == part:
            # Steps four and 32 times as wide, of parts that are 16 to 65,536 steps wide.
            assert 0 < change[0] < change[1] < 2
        else:
            assert change == [0, 0]


@pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if codec.draft])
def test_a_draft_holds_what_the_file_does(name: str) -> None:
    codec, cloud = CODECS[name], sample_cloud(3000, 1)
    draft, encode, coarser = codec.draft, codec.encode_coarser, replace(FINEST, harmonics=3, scales=1)
    assert draft is not None
    assert encode is not None
    streams = [io.BytesIO(), io.BytesIO()]
    draft(cloud, streams[0], coarser)
    encode(cloud, streams[1], coarser)
    assert torch.equal(*(_values(codec.decode(stream)) for stream in streams))
    assert streams[1].tell() < streams[0].tell() < 1.3 * streams[1].tell()


def _values(cloud: GaussianCloud) -> torch.Tensor:
    opacity = cloud.opacity_logits.sigmoid()[:, None]
    return torch.cat([cloud.means, cloud.log_scales, cloud.quaternions, opacity, cloud.harmonics.flatten(1)], 1)


@every_writer
def test_formats_that_are_exact_are_exact(name: str) -> None:
    codec, cloud = CODECS[name], sample_cloud(60, CODECS[name].degree, antialiased=CODECS[name].keeps_antialiased)
    found, wanted = through(name, cloud)
    if codec.exact:
        assert_same_bits(found, wanted)
    assert found.antialiased == codec.keeps_antialiased


@every_writer
@pytest.mark.parametrize("count", [1, 3, 257])
def test_few_gaussians_are_written_too(name: str, count: int, tmp_path: Path) -> None:
    file = tmp_path / f"a{CODECS[name].extensions[0]}"
    write_splats(file, sample_cloud(count, 1))
    assert len(read_splats(file).cloud) == count


@every_writer
@pytest.mark.bad_input
def test_none_at_all_are_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least one Gaussian"):
        write_splats(tmp_path / f"a{CODECS[name].extensions[0]}", sample_cloud(0, 1))
    assert not list(tmp_path.iterdir())


@every_writer
def test_the_same_gaussians_give_the_same_bytes(name: str) -> None:
    streams = [io.BytesIO(), io.BytesIO()]
    for stream in streams:
        CODECS[name].encode(sample_cloud(300, 1), stream)  # type: ignore[misc]
    assert streams[0].getvalue() == streams[1].getvalue()


@every_codec
def test_samples_are_known_by_their_bytes_or_their_names(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"sample{CODECS[name].extensions[0]}"
    file.write_bytes(SAMPLES[name]())
    assert codec_of(file) == name
    found = read_splats(file)
    assert len(found.cloud) > 0
    assert found.notes == ()


@every_codec
@pytest.mark.bad_input
def test_files_that_end_early_are_refused_in_a_few_words(name: str) -> None:
    data = SAMPLES[name]()
    for end in sorted({0, 1, 3, 11, 15, 31, *range(0, len(data), max(1, len(data) // 40))}):
        if name == "splat" and end and end % 32 == 0:  # no mark and no length: some other whole number of Gaussians
            assert len(CODECS[name].decode(io.BytesIO(data[:end]))) == end // 32
            continue
        with pytest.raises(Damaged) as error:
            CODECS[name].decode(io.BytesIO(data[:end]))
        assert 0 < len(str(error.value)) < 300


@every_codec
@pytest.mark.bad_input
def test_something_else_is_refused(name: str) -> None:
    for data in (b"", b"\0" * 100, b"ply\n" * 40, b"NGSP" * 30, b"PK\x03\x04" + b"x" * 99, b"glTF" + b"\xff" * 99):
        with pytest.raises(Damaged):
            CODECS[name].decode(io.BytesIO(data + b"!"))
