"""Splat files in and out: the format is told by the bytes or the name, and every reader's mishap is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from scenekit.assets.atomic import replacing
from scenekit.assets.splats import CODECS
from scenekit.assets.splats.codec import HEAD, Coarser, Codec, Damaged, size_of
from scenekit.assets.splats.packing import CPU
from scenekit.core.checks import BadInput
from scenekit.representations.gaussian_cloud import GaussianCloud

# What stands for an opacity of exactly 0 or 1, and for an extent of exactly 0: far beyond what eight bits tell apart.
LARGEST_LOGIT = 20.0
SMALLEST_LOG_SCALE = -40.0
ROWS = 1 << 14  # judged at once


@dataclass(frozen=True)
class SplatFile:
    """What was read: the Gaussians, of which format the file is, its bytes, and what had to be said about it."""

    path: Path
    codec: str
    cloud: GaussianCloud
    size: int
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Plain facts: format, count, degree, bounds, sizes, opacity, bytes."""
        cloud, size = self.cloud, self.size
        facts: dict[str, Any] = {
            "file": str(self.path),
            "format": CODECS[self.codec].name,
            "gaussians": len(cloud),
            "harmonics_degree": cloud.degree,
            "antialiased": cloud.antialiased,
            "bytes": size,
            "bytes_per_gaussian": round(size / max(1, len(cloud)), 2),
            "memory_bytes": cloud.floats() * 4,
            "times_smaller": round(cloud.floats() * 4 / size, 2),
            "notes": list(self.notes),
        }
        if len(cloud):
            facts["lowest"] = cloud.means.amin(0).tolist()
            facts["highest"] = cloud.means.amax(0).tolist()
            facts["median_size"] = float(cloud.log_scales.mean(-1).median().exp())
            facts["median_opacity"] = float(cloud.opacity_logits.median().sigmoid())
        return facts


def read_splats(path: str | Path) -> SplatFile:
    """Read a splat file of any format in ``CODECS``, in the axes of :class:`GaussianCloud`.

    Gaussians with values that are not finite are left out, and a note says how many; an opacity of exactly 0 or 1
    and an extent of exactly 0 become very small or large numbers. Raises BadInput for what cannot be read.
    """
    file = Path(path)
    name = codec_of(file)
    try:
        with _opened(file, CODECS[name]) as stream:
            cloud, size = CODECS[name].decode(stream), size_of(stream)
    except Damaged as error:
        raise BadInput.of(
            file,
            wanted=f"a {CODECS[name].name} file",
            found=f"a damaged one ({error})",
            remedy="write the file again",
        ) from None
    cloud, notes = made_finite(cloud)
    return SplatFile(file, name, cloud, size, notes)


def write_splats(
    path: str | Path,
    cloud: GaussianCloud,
    device: torch.device = CPU,
    steps: Callable[[Codec, GaussianCloud], Coarser] | None = None,
) -> tuple[GaussianCloud, Coarser | None]:
    """Write ``cloud`` in the format that the name asks for; whole or not at all.

    Args:
        path: of the file.
        cloud: harmonics beyond the format's highest degree are left out.
        device: where the order of the file is found.
        steps: how coarse the file is to be, of a format that leaves a choice and what will be encoded; as usual
            where None.

    Returns the Gaussians in the order of the file, and how coarse it is if that was asked.

    Raises BadInput for a name of no format that we write, and where there is nothing to write.
    """
    file = Path(path)
    codec = writer_of(file)
    if len(cloud) == 0:
        raise BadInput.of(file, wanted="at least one Gaussian", found="none", remedy="keep more of the scene")
    arranged = cloud if codec.order is None else cloud[codec.order(cloud, device)]
    encoded = arranged.of_degree(min(cloud.degree, codec.degree))
    coarser = None if steps is None else steps(codec, encoded)
    with replacing(file) as temporary, temporary.open("w+b") as stream:
        if coarser is None:
            assert codec.encode is not None
            codec.encode(encoded, stream)
        else:
            assert codec.encode_coarser is not None
            codec.encode_coarser(encoded, stream, coarser)
    return arranged, coarser


def is_splats(file: Path) -> bool:
    """Whether an existing file has the bytes or the name of a splat format."""
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    return any(codec.sniff(head) for codec in CODECS.values()) or _by_name(file) is not None


def codec_of(file: Path) -> str:
    """The format of an existing file, by its first bytes, else by its name; raises BadInput for none."""
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as error:
        raise BadInput.of(
            file, wanted="a splat file", found=error.strerror or str(error), remedy="check the path"
        ) from None
    for name, codec in CODECS.items():
        if codec.sniff(head):
            return name
    named = _by_name(file)
    if named is None:
        raise BadInput.of(file, wanted=f"a splat file ({_known(reading=True)})", found="none of these",
                          remedy="convert it to one of them")  # fmt: skip
    return named


def writer_of(file: Path) -> Codec:
    """The format that a new file's name asks for; raises BadInput where we do not write it."""
    name = _by_extension(file)
    if name is None or CODECS[name].encode is None:
        raise BadInput.of(file, wanted=f"a name that ends in {_known(reading=False)}", found=f"'{file.name}'",
                          remedy="choose one of them")  # fmt: skip
    return CODECS[name]


def made_finite(cloud: GaussianCloud) -> tuple[GaussianCloud, tuple[str, ...]]:
    """Without what no renderer can show; and a note if anything was left out."""
    logits = cloud.opacity_logits
    if bool(logits.isinf().any()):
        cloud = replace(cloud, opacity_logits=logits.nan_to_num(torch.nan, LARGEST_LOGIT, -LARGEST_LOGIT))
    flat = cloud.log_scales == -torch.inf
    if bool(flat.any()):
        cloud = replace(cloud, log_scales=cloud.log_scales.masked_fill(flat, SMALLEST_LOG_SCALE))
    usable = torch.cat([_usable(cloud[start : start + ROWS]) for start in range(0, max(1, len(cloud)), ROWS)])
    left_out = len(cloud) - int(usable.sum())
    if left_out == 0:
        return cloud, ()
    note = f"{left_out} of {len(cloud)} Gaussians have values that are not finite or no rotation; they are left out"
    return cloud[usable], (note,)


def _usable(cloud: GaussianCloud) -> Bool[Tensor, " N"]:
    """Which Gaussians a renderer can show: a sum is finite where no value spoils it."""
    parts = (
        cloud.means,
        cloud.log_scales,
        cloud.quaternions,
        cloud.opacity_logits[:, None],
        cloud.harmonics.flatten(1),
    )
    finite = torch.stack([(part * 0).sum(-1) == 0 for part in parts]).all(0)
    return finite & cloud.quaternions.ne(0).any(-1)


def _opened(file: Path, codec: Codec) -> BufferedIOBase:
    if codec.unpacked is not None and file.name == codec.unpacked.name:
        return codec.unpacked.gathered(file)
    return file.open("rb")


def _by_name(file: Path) -> str | None:
    """The format whose name or extension this is, of files that exist."""
    for name, codec in CODECS.items():
        if codec.unpacked is not None and file.name == codec.unpacked.name:
            return name
    return _by_extension(file)


def _by_extension(file: Path) -> str | None:
    fitting = [
        (len(extension), name)
        for name, codec in CODECS.items()
        for extension in codec.extensions
        if file.name.lower().endswith(extension)
    ]
    return max(fitting)[1] if fitting else None


def _known(*, reading: bool) -> str:
    return ", ".join(e for c in CODECS.values() if reading or c.encode is not None for e in c.extensions)
