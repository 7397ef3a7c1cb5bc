"""A small file of every format, as bytes; those that we do not write are put together here."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch

from scenekit.assets.splats import CODECS
from scenekit.assets.splats.containers import stored, webp
from scenekit.representations.gaussian_cloud import GaussianCloud
from tests.representations.gaussian_clouds import sample_cloud

C0 = 0.28209479177387814


def encoded(name: str, cloud: GaussianCloud) -> bytes:
    stream = io.BytesIO()
    CODECS[name].encode(cloud, stream)  # type: ignore[misc]
    return stream.getvalue()


def colors_of(cloud: GaussianCloud) -> np.ndarray:
    rgb = cloud.harmonics[:, 0].numpy() * C0 + 0.5
    alpha = cloud.opacity_logits.sigmoid().numpy()[:, None]
    return np.rint(np.concatenate([rgb, alpha], 1).clip(0, 1) * 255).astype(np.uint8)


def ksplat(cloud: GaussianCloud, level: int, *, full: int = 2, size: int = 4) -> bytes:
    """One section of .ksplat: ``full`` buckets of ``size`` Gaussians, the others in two that are not full."""
    count, degree = len(cloud), cloud.degree
    header = bytearray(4096)
    header[:2] = 0, 1
    struct.pack_into("<IIIIH", header, 4, 1, 1, count, count, level)
    struct.pack_into("<ff", header, 36, -1.0, 1.0)
    rest = count - full * size
    sizes = [1, rest - 1]
    section, block, scale_range = bytearray(1024), 20.0, 32767
    struct.pack_into("<IIIIfH", section, 0, count, count, size, full + 2, block, 12 if level else 0)
    struct.pack_into("<III", section, 24, scale_range, 0, full)
    struct.pack_into("<IH", section, 36, 2 if level else 0, degree)
    bucket = np.minimum(np.arange(count) // size, full) + (np.arange(count) > full * size)
    centres = np.stack([np.arange(full + 2) * 0.1, np.zeros(full + 2), np.zeros(full + 2)], 1).astype("<f4")
    other, harmonic = ("<f4", "<f4") if level == 0 else ("<f2", "<f2" if level == 1 else "u1")
    coefficients = 3 * ((degree + 1) ** 2 - 1)
    row = np.dtype(
        [
            ("mean", "<u2" if level else "<f4", 3),
            ("scale", other, 3),
            ("rotation", other, 4),
            ("color", "u1", 4),
            ("rest", harmonic, coefficients),
        ]
    )
    table = np.zeros(count, row)
    means = cloud.means.numpy()
    if level:
        means = np.rint((means - centres[bucket]) / (block / 2 / scale_range)) + scale_range
    table["mean"], table["scale"] = means, cloud.log_scales.exp().numpy()
    table["rotation"], table["color"] = cloud.quaternions.numpy(), colors_of(cloud)
    bands = [cloud.harmonics[:, d * d : (d + 1) ** 2].transpose(1, 2).flatten(1) for d in range(1, degree + 1)]
    values = torch.cat([torch.zeros(count, 0), *bands], 1).numpy()
    table["rest"] = np.rint((values.clip(-1, 1) + 1) / 2 * 255) if level == 2 else values
    buckets = np.array(sizes, "<u4").tobytes() + centres.tobytes() if level else b""
    return bytes(header + section) + buckets + table.tobytes()


def spz(cloud: GaussianCloud, version: int) -> bytes:
    """Versions 1, 2 and 4 of .spz, in its own axes, from values that need no rounding to speak of."""
    count, q = len(cloud), torch.nn.functional.normalize(cloud.quaternions, dim=-1).numpy()
    q = q * np.where(q[:, :1] < 0, -1, 1)
    if version == 1:
        positions = cloud.means.numpy().astype("<f2").tobytes()
    else:
        fixed = np.rint(cloud.means.numpy() * 4096).astype("<i4")
        positions = fixed[..., None].view(np.uint8)[..., :3].tobytes()
    colors = cloud.harmonics[:, 0].numpy() * 0.15 * 255 + 127.5
    scales = (cloud.log_scales.numpy() + 10) * 16
    rest = cloud.harmonics[:, 1:].numpy() * 128 + 128
    alphas = cloud.opacity_logits.sigmoid().numpy() * 255
    three = [np.rint(part.clip(0, 255)).astype(np.uint8).tobytes() for part in (alphas, colors, scales, rest)]
    if version < 3:
        rotations = np.rint(q[:, 1:] * 127.5 + 127.5).clip(0, 255).astype(np.uint8).tobytes()
    else:
        rotations = b"".join(_smallest_three(row) for row in q[:, [1, 2, 3, 0]])
    parts = [positions, *three[:3], rotations, three[3]]
    flags, streams = int(cloud.antialiased), 0 if version < 4 else (6 if cloud.degree else 5)
    header = struct.pack("<4sIIBBBB", b"NGSP", version, count, cloud.degree, 12, flags, streams)
    if version < 4:
        packer = zlib.compressobj(9, wbits=31)
        return packer.compress(header + b"".join(parts)) + packer.flush()
    import zstandard

    packed = [zstandard.ZstdCompressor().compress(part) for part in parts[:streams]]
    table = b"".join(struct.pack("<QQ", len(p), len(raw)) for p, raw in zip(packed, parts[:streams], strict=True))
    return header + struct.pack("<I12x", 32) + table + b"".join(packed)


def _smallest_three(xyzw: np.ndarray) -> bytes:
    largest = int(np.abs(xyzw).argmax())
    xyzw = xyzw * np.sign(xyzw[largest])
    word = largest
    for index in range(4):
        if index != largest:
            steps = round(abs(float(xyzw[index])) * 511 * 2**0.5)
            word = (word << 10) | (int(xyzw[index] < 0) << 9) | min(511, steps)
    return struct.pack("<I", word)


def sog_of_version_1(cloud: GaussianCloud) -> bytes:
    """A .sog as its first version was: straight lines from least to most instead of codebooks."""
    count = len(cloud)
    side = int(np.ceil(np.sqrt(count)))

    def picture(values: np.ndarray, wide: int = side) -> bytes:
        flat = np.full((-(-count // wide) * wide if wide == side else len(values), 4), 255, np.uint8)
        flat[: len(values), : values.shape[1]] = values
        return webp(flat.reshape(-1, wide, 4))

    def lines(values: np.ndarray) -> tuple[np.ndarray, dict[str, list[float]]]:
        low, high = values.min(0), values.max(0)
        steps = np.rint((values - low) / (high - low) * 255)
        return steps.astype(np.uint8), {"mins": low.tolist(), "maxs": high.tolist()}

    logs = np.sign(cloud.means.numpy()) * np.log1p(np.abs(cloud.means.numpy().astype(np.float64)))
    words = np.rint((logs - logs.min(0)) / (logs.max(0) - logs.min(0)) * 65535).astype(np.int64)
    scales, scale_lines = lines(cloud.log_scales.numpy())
    colors = np.concatenate([cloud.harmonics[:, 0].numpy(), cloud.opacity_logits[:, None].numpy()], 1)
    colors, color_lines = lines(colors)
    q = torch.nn.functional.normalize(cloud.quaternions, dim=-1).numpy()
    largest = np.abs(q).argmax(1)
    q = q * np.sign(q[np.arange(count), largest])[:, None]
    three = np.stack([np.delete(row, index) for row, index in zip(q, largest, strict=True)])
    quats = np.concatenate([np.rint((three * 2**0.5 + 1) / 2 * 255), largest[:, None] + 252], 1)
    rest = cloud.harmonics[:, 1:].numpy()
    low, high = float(rest.min()), float(rest.max())
    entries = np.zeros((64, rest.shape[1], 3))
    entries[:count] = np.rint((rest - low) / (high - low) * 255)
    labels = np.stack([np.arange(count) % 256, np.arange(count) // 256], 1)
    meta = {
        "means": {"shape": [count, 3], "files": ["l", "u"], "mins": logs.min(0).tolist(), "maxs": logs.max(0).tolist()},
        "scales": {"files": ["s"], **scale_lines},
        "quats": {"files": ["q"]},
        "sh0": {"files": ["c"], **color_lines},
        "shN": {"files": ["p", "n"], "mins": low, "maxs": high},
    }
    palette = picture(entries.reshape(-1, 3), 64 * rest.shape[1])
    files: Sequence[tuple[str, bytes]] = [
        ("meta.json", json.dumps(meta).encode()), ("l", picture(words & 255)), ("u", picture(words >> 8)),
        ("s", picture(scales)), ("q", picture(quats)), ("c", picture(colors)), ("p", palette), ("n", picture(labels)),
    ]  # fmt: skip
    stream = io.BytesIO()
    stored(stream, files)
    return stream.getvalue()


def checkpoint(cloud: GaussianCloud, trainer: str) -> bytes:
    """What a trainer saves, its optimizer's state included."""
    parts = (cloud.means, cloud.log_scales, cloud.quaternions, cloud.opacity_logits[:, None])
    constant, rest = cloud.harmonics[:, :1], cloud.harmonics[:, 1:]
    learnt = [torch.nn.Parameter(part.clone()) for part in (*parts, constant, rest)]
    saved: object
    if trainer == "nerfstudio":
        learnt[4] = torch.nn.Parameter(constant[:, 0].clone())
        names = ("means", "scales", "quats", "opacities", "features_dc", "features_rest")
        model = {f"_model.gauss_params.{name}": part for name, part in zip(names, learnt, strict=True)}
        saved = {"step": 7, "pipeline": model | {"_model.other": torch.zeros(2)}, "optimizers": {}, "scalers": {}}
    elif trainer == "gsplat":
        learnt[3] = torch.nn.Parameter(cloud.opacity_logits.clone())
        names = ("means", "scales", "quats", "opacities", "sh0", "shN")
        saved = {"step": 7, "splats": dict(zip(names, learnt, strict=True))}
    else:
        optimizer = torch.optim.Adam([{"params": [part], "lr": 0.1} for part in learnt])
        means, scales, quats, opacities, dc, others = learnt
        counts = torch.zeros(len(cloud))
        state = optimizer.state_dict()
        saved = ((3, means, dc, others, scales, quats, opacities, counts, counts, counts, state, 4.5), 30_000)
    stream = io.BytesIO()
    torch.save(saved, stream)
    return stream.getvalue()


SAMPLES: dict[str, Callable[[], bytes]] = {
    "ply": lambda: encoded("ply", sample_cloud(20, 1)),
    "compressed_ply": lambda: encoded("compressed_ply", sample_cloud(20, 1)),
    "spz": lambda: encoded("spz", sample_cloud(20, 1)),
    "sogc": lambda: encoded("sogc", sample_cloud(20, 1)),
    "sog": lambda: encoded("sog", sample_cloud(20, 1)),
    "glb": lambda: encoded("glb", sample_cloud(20, 1)),
    "splat": lambda: encoded("splat", sample_cloud(20, 0)),
    "checkpoint": lambda: checkpoint(sample_cloud(20, 1), "gsplat"),
    "ksplat": lambda: ksplat(sample_cloud(20, 1), 1),
}
