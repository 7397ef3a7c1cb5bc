"""antimatter15's .splat: 32 bytes a Gaussian, no header, no spherical harmonics."""

from __future__ import annotations

from io import BufferedIOBase

import numpy as np
import torch

from scenekit.assets.splats.codec import Codec, Damaged, size_of
from scenekit.assets.splats.packing import color_bytes, constant_harmonics, opacity_bytes, opacity_logits, to_byte
from scenekit.representations.gaussian_cloud import GaussianCloud

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 3), ("opacity", "u1"), ("rotation", "u1", 4)])


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """Read a file of any number of rows but none."""
    size = size_of(stream)
    if size == 0 or size % ROW.itemsize:
        raise Damaged(f"{size} bytes, which is no number of rows of {ROW.itemsize}")
    table = np.frombuffer(stream.read(), ROW)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(table["scale"]).astype(np.float32)
    return GaussianCloud(
        torch.from_numpy(table["mean"].astype(np.float32)),
        torch.from_numpy(log_scales),
        torch.from_numpy((table["rotation"].astype(np.float32) - 128) / 128),
        opacity_logits(table["opacity"]),
        constant_harmonics(table["color"] / 255.0)[:, None],
    )


def encode(cloud: GaussianCloud, stream: BufferedIOBase) -> None:
    """Write the constant colours alone; what depends on direction is left out."""
    table = np.empty(len(cloud), ROW)
    table["mean"] = cloud.means.numpy()
    table["scale"] = cloud.log_scales.exp().numpy()
    table["color"] = color_bytes(cloud.harmonics[:, 0])
    table["opacity"] = opacity_bytes(cloud.opacity_logits)
    unit = torch.nn.functional.normalize(cloud.quaternions, dim=-1)
    table["rotation"] = to_byte(unit.numpy() * 128 + 128)
    stream.write(table.tobytes())


CODEC = Codec(
    name=".splat",
    extensions=(".splat",),
    sniff=lambda head: False,
    decode=decode,
    encode=encode,
    degree=0,
)
