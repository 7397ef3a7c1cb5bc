"""What single formats do that others do not: old versions, axes, placed meshes."""

import io
import json
import math
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from scenekit.assets.splats import CODECS
from scenekit.assets.splats.codec import Damaged
from scenekit.assets.splats.files import made_finite
from scenekit.assets.splats.packing import half_turned
from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.representations.gaussian_cloud import GaussianCloud
from tests.assets.splats.written import checkpoint, encoded, ksplat, sog_of_version_1, spz
from tests.conformance.test_codecs import covariances
from tests.representations.gaussian_clouds import assert_same_bits, sample_cloud


def decoded(name: str, data: bytes) -> GaussianCloud:
    return CODECS[name].decode(io.BytesIO(data))


def same_turns(found: GaussianCloud, wanted: GaussianCloud, least: float = 0.999) -> bool:
    unit = [torch.nn.functional.normalize(cloud.quaternions, dim=-1) for cloud in (found, wanted)]
    return bool(((unit[0] * unit[1]).sum(-1).abs() > least).all())


@pytest.mark.parametrize("axis", ["x", "z"])
def test_a_half_turn_is_the_turn_it_says(axis: str) -> None:
    cloud = sample_cloud(40)
    turn = torch.diag(torch.tensor({"x": [1.0, -1, -1], "z": [-1.0, -1, 1]}[axis])).double()
    found, wanted = half_turned(cloud, axis), cloud.moved(Similarity.of(rotation=turn))
    assert torch.equal(found.means, wanted.means)
    assert torch.equal(found.harmonics, wanted.harmonics)
    torch.testing.assert_close(covariances(found), covariances(wanted))
    back = half_turned(found, axis)
    assert torch.equal(back.quaternions, cloud.quaternions)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("degree", [0, 1, 2])
def test_ksplat_of_every_level_and_degree(level: int, degree: int) -> None:
    cloud = sample_cloud(20, degree)
    cloud.means.clamp_(-8, 8)
    found = decoded("ksplat", ksplat(cloud, level))
    assert found.degree == degree
    torch.testing.assert_close(found.means, cloud.means, atol=1e-3 if level else 0, rtol=0)
    torch.testing.assert_close(found.log_scales, cloud.log_scales, atol=2e-3, rtol=0)
    assert same_turns(found, cloud)
    torch.testing.assert_close(found.harmonics[:, 1:], cloud.harmonics[:, 1:].clamp(-1, 1), atol=5e-3, rtol=0)


@pytest.mark.bad_input
@pytest.mark.parametrize("centre", [0.0, math.inf, -math.inf])
def test_a_ksplat_of_places_beyond_all_numbers_leaves_them_out(centre: float) -> None:
    data = bytearray(ksplat(sample_cloud(20, 1), 1))
    struct.pack_into("<f", data, 4096 + 16, math.inf)  # how large the section's blocks are
    struct.pack_into("<fff", data, 4096 + 1024 + 2 * 4, centre, centre, centre)  # of the first bucket
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cloud, notes = made_finite(decoded("ksplat", bytes(data)))
    assert len(cloud) < 20
    assert "not finite" in notes[0]


@pytest.mark.parametrize("version", [1, 2, 4])
@pytest.mark.parametrize("degree", [0, 2, 4])
def test_spz_of_versions_that_we_do_not_write(version: int, degree: int) -> None:
    cloud = sample_cloud(20, degree, antialiased=True)
    found = half_turned(decoded("spz", spz(cloud, version)), "x")
    assert found.antialiased
    torch.testing.assert_close(found.means, cloud.means, atol=2e-3, rtol=0)
    torch.testing.assert_close(found.log_scales, cloud.log_scales, atol=0.04, rtol=0)
    assert same_turns(found, cloud, 0.99)
    torch.testing.assert_close(found.harmonics[:, 1:], cloud.harmonics[:, 1:], atol=0.01, rtol=0)


def test_spz_keeps_small_scenes_where_they_are() -> None:
    cloud = sample_cloud(200, 0).moved(Similarity.of(0.001))
    found = decoded("spz", encoded("spz", cloud))
    error = (found.means - cloud.means).abs().max()
    assert error < 1e-6  # 12 fractional bits would leave 1.2e-4, the width of a Gaussian here


def test_sog_of_version_1() -> None:
    cloud = sample_cloud(50, 2)
    found = decoded("sog", sog_of_version_1(cloud))
    torch.testing.assert_close(found.means, cloud.means, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.log_scales, cloud.log_scales, atol=0.02, rtol=0)
    torch.testing.assert_close(found.opacity_logits, cloud.opacity_logits, atol=0.04, rtol=0)
    torch.testing.assert_close(found.harmonics, cloud.harmonics, atol=0.03, rtol=0)
    assert same_turns(found, cloud)


@pytest.mark.parametrize("trainer", ["nerfstudio", "gsplat", "inria"])
def test_checkpoints_of_other_trainers_are_taken_in_bit_for_bit(trainer: str) -> None:
    cloud = sample_cloud(20, 3)
    assert_same_bits(decoded("checkpoint", checkpoint(cloud, trainer)), cloud)


@pytest.mark.bad_input
def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    class Mine:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "run",)

    stream = io.BytesIO()
    torch.save({"splats": Mine(), "step": 1}, stream)
    with pytest.raises(Damaged, match="cannot be loaded safely"):
        decoded("checkpoint", stream.getvalue())
    assert not list(tmp_path.iterdir())


@pytest.mark.bad_input
def test_a_checkpoint_whose_few_bytes_claim_to_be_many_is_refused() -> None:
    cloud = sample_cloud(1, 1)
    wide = {name: torch.zeros(1).expand(10**9, 3) for name in ("means", "scales", "quats", "opacities", "sh0", "shN")}
    stream = io.BytesIO()
    torch.save({"splats": wide}, stream)
    with pytest.raises(Damaged, match="tensors larger than the file"):
        decoded("checkpoint", stream.getvalue())
    assert len(decoded("checkpoint", checkpoint(cloud, "gsplat"))) == 1


def glb_with(change: object, cloud: GaussianCloud) -> bytes:
    """A .glb whose JSON ``change`` has altered in place."""
    data = encoded("glb", cloud)
    (length,) = struct.unpack_from("<I", data, 12)
    document = json.loads(data[20 : 20 + length])
    change(document)  # type: ignore[operator]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    return data[:12] + struct.pack("<I4s", len(text), b"JSON") + text + data[20 + length :]


def test_nodes_of_a_glb_place_its_gaussians_colours_included() -> None:
    cloud = sample_cloud(15, 2)
    turn = torch.nn.functional.normalize(torch.tensor([0.4, 0.1, -0.7, 0.2], dtype=torch.float64), dim=0)

    def place(document: dict) -> None:
        x, y, z = (float(turn[i]) for i in (1, 2, 3))
        document["scenes"][0]["nodes"] = [1]
        document["nodes"] += [{"children": [0], "rotation": [x, y, z, float(turn[0])], "scale": [2, 2, 2]}]
        document["nodes"][0]["matrix"] = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]

    found = half_turned(decoded("glb", glb_with(place, cloud)), "z")
    outer = Similarity.of(2.0, rotation=matrix_from_quaternion(turn))
    wanted = half_turned(cloud, "z").moved(outer.after(Similarity.of(centre=torch.tensor([-5.0, -6, -7]))))
    torch.testing.assert_close(found.means, wanted.means)
    torch.testing.assert_close(found.harmonics, wanted.harmonics)
    torch.testing.assert_close(covariances(found), covariances(wanted))


def test_scales_of_a_glb_may_be_small_whole_numbers() -> None:
    cloud = sample_cloud(4, 0)
    data = bytearray(encoded("glb", cloud))
    found = decoded("glb", bytes(data))

    def shrink(document: dict) -> None:
        attributes = document["meshes"][0]["primitives"][0]["attributes"]
        scale = document["accessors"][attributes["KHR_gaussian_splatting:SCALE"]]
        view = document["bufferViews"][scale["bufferView"]]
        scale |= {"componentType": 5121, "normalized": True}
        view["byteStride"] = 12

    changed = decoded("glb", glb_with(shrink, cloud))
    assert len(changed) == len(found)
    assert bool((changed.log_scales <= 0).all())


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["nodes"][0].update(scale=[1, 2, 1]), "stretches or mirrors"),
        (lambda d: d["nodes"][0].update(scale=[-1, -1, -1]), "stretches or mirrors"),
        (lambda d: d["nodes"][0].update(children=[0]), "stands in two places"),
        (lambda d: d["meshes"][0]["primitives"][0].update(extensions={}), "no mesh with KHR_gaussian_splatting"),
        (lambda d: d["accessors"][0].update(count=10**9), "POSITION"),
        (lambda d: d["bufferViews"][0].update(byteOffset=10**6), "POSITION"),
        (lambda d: d["buffers"][0].update(uri="../../secret.bin"), "outside the file"),
        (lambda d: d["accessors"][0].update(type="MAT4"), "a type that it cannot have"),
        (lambda d: d.update(scenes=7), "no scenes"),
    ],
)
def test_a_glb_that_asks_for_too_much_is_refused(change: object, words: str) -> None:
    with pytest.raises(Damaged, match=words):
        decoded("glb", glb_with(change, sample_cloud(5, 0)))


def test_compressed_ply_without_bounds_of_colours_has_plain_bytes() -> None:
    cloud = sample_cloud(10, 0)
    cloud.harmonics.clamp_(-1.7, 1.7)
    data = encoded("compressed_ply", cloud)
    head, _, body = data.partition(b"end_header\n")
    lines = [line for line in head.decode().splitlines() if not line.endswith(("_r", "_g", "_b"))]
    bounds = np.frombuffer(body[: 18 * 4], "<f4")
    found = decoded(
        "compressed_ply", "\n".join([*lines, "end_header", ""]).encode() + bounds[:12].tobytes() + body[72:]
    )
    whole = decoded("compressed_ply", data)
    share = (whole.harmonics[:, 0] * 0.28209479 + 0.5 - torch.from_numpy(bounds[12:15].copy())) / torch.from_numpy(
        bounds[15:] - bounds[12:15]
    )
    torch.testing.assert_close(found.harmonics[:, 0] * 0.28209479 + 0.5, share, atol=1e-5, rtol=0)
