"""Training checkpoints of nerfstudio (splatfacto), gsplat and the first 3DGS trainer, as torch saves them. Read only.

Nothing in them is run: torch's own restricted unpickler builds tensors and plain containers and refuses the rest.
nerfstudio's Gaussians are in the frame that it normalised its cameras to; how that lies in the world stands in a file
beside the checkpoint, ``dataparser_transforms.json``, and is not undone here.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from typing import IO, Any, cast

import torch
from torch import Tensor

from scenekit.assets.splats.codec import Codec, Damaged, size_of
from scenekit.representations.gaussian_cloud import MAX_DEGREE, GaussianCloud

NERFSTUDIO = "_model.gauss_params."
# In the order of GaussianCloud, the constant harmonics before the others; by trainer.
NERFSTUDIO_NAMES = ("means", "scales", "quats", "opacities", "features_dc", "features_rest")
GSPLAT_NAMES = ("means", "scales", "quats", "opacities", "sh0", "shN")
INRIA_PLACES = (1, 4, 5, 6, 2, 3)
INRIA_LENGTH = 12


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """Read whichever of the three it is."""
    size = size_of(stream)
    found = _parts(_loaded(stream, size))
    if any(not isinstance(part, Tensor) or not part.is_floating_point() for part in found):
        raise Damaged("Gaussians that are no tensors")
    # A few bytes may claim to be a tensor of any shape: what is there has at least a byte for every number.
    if sum(part.numel() for part in found) > size:
        raise Damaged("tensors larger than the file")
    return _cloud([part.detach().float() for part in found])


def _loaded(stream: BufferedIOBase, size: int) -> Any:
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise Damaged(f"no checkpoint of torch 1.6 or later ({str(error)[:80]})") from None
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or sum(e.file_size for e in entries) > size:
        raise Damaged("entries larger than the file")
    stream.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types that are deprecated where the file was written
            return torch.load(cast("IO[bytes]", stream), map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler raises whatever its input makes it stumble over
        words = " ".join(str(error).split())
        raise Damaged(f"what cannot be loaded safely ({type(error).__name__}: {words[:120]})") from None


def _parts(saved: Any) -> Sequence[Any]:
    """Means, log scales, quaternions, opacity logits, constant and other harmonics."""
    if isinstance(saved, Mapping) and isinstance(saved.get("pipeline"), Mapping):
        return _named(saved["pipeline"], [NERFSTUDIO + name for name in NERFSTUDIO_NAMES])
    if isinstance(saved, Mapping) and isinstance(saved.get("splats"), Mapping):
        return _named(saved["splats"], GSPLAT_NAMES)
    if (
        isinstance(saved, tuple | list)
        and saved
        and isinstance(saved[0], tuple | list)
        and len(saved[0]) >= INRIA_LENGTH
    ):
        return [saved[0][place] for place in INRIA_PLACES]
    raise Damaged("no Gaussians of nerfstudio, gsplat or the first 3DGS trainer")


def _named(saved: Mapping[Any, Any], names: Sequence[str]) -> Sequence[Any]:
    missing = [name for name in names if name not in saved]
    if missing:
        raise Damaged(f"no {missing[0]}")
    return [saved[name] for name in names]


def _cloud(parts: Sequence[Tensor]) -> GaussianCloud:
    means, log_scales, quaternions, logits, constant, rest = parts
    count = means.shape[0] if means.dim() else 0
    if rest.dim() != 3 or count == 0:
        raise Damaged("harmonics or positions of an unusual shape")
    degree = math.isqrt(rest.shape[1] + 1) - 1
    if degree > MAX_DEGREE or (degree + 1) ** 2 != rest.shape[1] + 1:
        raise Damaged(f"{rest.shape[1]} harmonics, which is no degree")
    widths = ((means, 3), (log_scales, 3), (quaternions, 4), (logits, 1), (constant, 3), (rest, 3 * rest.shape[1]))
    if any(part.numel() != count * width or part.shape[0] != count for part, width in widths):
        raise Damaged("tensors of different lengths")
    return GaussianCloud(
        means.reshape(count, 3),
        log_scales.reshape(count, 3),
        quaternions.reshape(count, 4),
        logits.reshape(count),
        torch.cat([constant.reshape(count, 1, 3), rest], 1),
    )


CODEC = Codec(
    name="checkpoint",
    extensions=(".ckpt", ".pth", ".pt"),
    sniff=lambda head: head.startswith(b"PK\x03\x04") and b"/data.pkl" in head[:512],
    decode=decode,
    encode=None,
    degree=MAX_DEGREE,
)
