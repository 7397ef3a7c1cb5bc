"""Radiance volumes as signals: a grid of densities and colours (instant-ngp's NVR)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.data.numpyfile import DAMAGED_ARRAY, of_any_age
from scenekit.data.signals.nrrd import read_nrrd
from scenekit.data.signals.signal import Facts, Points

SYNTHETIC = ("synthetic-volume",)
LARGEST_VALUES = 2**29  # 2 GiB as float32
GREY_DENSITY = 40.0  # of the brightest voxel of a volume without colours, per side of its longest axis


@dataclass(frozen=True)
class VolumeSignal:
    """Voxels [Z Y X 4]: density / ``scale`` in [0, 1], then colour; each axis runs over [0, 1], centres at +0.5."""

    path: str
    voxels: Float[Tensor, "Z Y X 4"]
    scale: float

    @property
    def facts(self) -> Facts:
        """Detail ends at a voxel."""
        z, y, x = self.voxels.shape[:3]
        return Facts("volume", self.path, 3, 4, float(max(x, y, z)), (x, y, z), scale=self.scale)

    @property
    def device(self) -> torch.device:
        """Where the voxels are."""
        return self.voxels.device

    @property
    def nbytes(self) -> int:
        """Of the voxels."""
        return self.voxels.nbytes

    def to(self, device: torch.device) -> VolumeSignal:
        """See :class:`~scenekit.data.signals.signal.Signal`."""
        return replace(self, voxels=self.voxels.to(device))

    def sample(self, count: int, generator: torch.Generator | None) -> Points:
        """Uniform."""
        positions = torch.rand(count, 3, generator=generator, device=self.device)
        return Points(positions, self.values(positions))

    def values(self, positions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 4"]:
        """Trilinear between voxel centres; the outermost reach to the faces."""
        grid = (2 * positions - 1).view(1, 1, 1, -1, 3)
        volume = self.voxels.permute(3, 0, 1, 2)[None]
        found = torch.nn.functional.grid_sample(volume, grid, padding_mode="border", align_corners=False)
        return found.view(4, -1).T

    def detail(self, count: int, generator: torch.Generator | None) -> tuple[Float[Tensor, "M 3"], Float[Tensor, " M"]]:
        """Changes over about a voxel."""
        positions, here = self.sample(count, generator)
        aside = positions + torch.randn(count, 3, generator=generator, device=self.device) / self.facts.finest
        return positions, (self.values(aside.clamp(0, 1)) - here).norm(dim=-1)


def sniff(path: Path) -> bool:
    """By its extension or name."""
    return path.suffix.lower() in (".npy", ".nrrd") or str(path) in SYNTHETIC


def read(path: Path) -> VolumeSignal:
    """Read ``[Z Y X 4]`` (density per side of the longest axis, colour in [0, 1] or as bytes) or ``[Z Y X]``.

    Without colours the values become both density and grey. Raises BadInput for other shapes, for values that are
    not finite or negative, and for damaged files.
    """
    if str(path) in SYNTHETIC:
        return synthetic()
    array = read_nrrd(path) if path.suffix.lower() == ".nrrd" else _read_npy(path)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 4) or min(array.shape[:3], default=0) < 2:
        raise BadInput.of(path, wanted="a grid [Z Y X] or [Z Y X 4] of at least 2 voxels a side",
                          found=str(list(array.shape)), remedy="reorder its axes")  # fmt: skip
    if array.size > LARGEST_VALUES:
        raise BadInput.of(path, wanted=f"at most {LARGEST_VALUES} values", found=str(array.size),
                          remedy="shrink the volume")  # fmt: skip
    if array.dtype.kind not in "uif":
        raise BadInput.of(path, wanted="numbers", found=str(array.dtype), remedy="write it as float32")
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large, or no number in odd bits, is refused below
        values = torch.from_numpy(array.astype(np.float32))
    if not bool(values.isfinite().all()) or (float(values.min()) < 0 and array.ndim == 4):
        raise BadInput.of(path, wanted="densities and colours that are finite and not negative", found="others",
                          remedy="repair the volume")  # fmt: skip
    return _colored(path, values, array.dtype == np.uint8) if array.ndim == 4 else _grey(path, values)


def _colored(path: Path, values: Tensor, in_bytes: bool) -> VolumeSignal:
    colors = values[..., 1:] / 255 if in_bytes else values[..., 1:]
    if float(colors.max()) > 1:
        raise BadInput.of(path, wanted="colours in [0, 1]", found=f"{float(colors.max()):g}",
                          remedy="divide by their range, or store all four channels as bytes")  # fmt: skip
    density = values[..., :1]
    scale = float(density.max())
    if scale <= 0:
        raise BadInput.of(path, wanted="a density above 0 somewhere", found="none", remedy="check the channels' order")
    return VolumeSignal(str(path), torch.cat([density / scale, colors], -1), scale)


def _grey(path: Path, values: Tensor) -> VolumeSignal:
    low, high = float(values.min()), float(values.max())
    if high <= low:
        raise BadInput.of(path, wanted="values that differ", found="one value everywhere", remedy="check the file")
    grey = ((values / 2 - low / 2) / (high / 2 - low / 2))[..., None]  # the whole range may be more than float32 holds
    return VolumeSignal(str(path), grey.expand(*grey.shape[:3], 4).contiguous(), GREY_DENSITY)


def _read_npy(path: Path) -> np.ndarray:
    try:
        with of_any_age():
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED_ARRAY as error:
        raise BadInput.of(path, wanted="one array of numbers (.npy)",
                          found=f"none that can be read ({' '.join(str(error).split())})",
                          remedy="save it with numpy.save") from None  # fmt: skip


def synthetic(side: int = 64) -> VolumeSignal:
    """A ball of smoke with bands of colour in a thin shell: smooth, sharp and empty parts."""
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    radius = (x * x + y * y + z * z).sqrt()
    smoke = 0.5 * (1 - radius / 0.55).clamp(min=0) * (1 + torch.sin(9 * x) * torch.sin(9 * y) * torch.sin(9 * z))
    shell = torch.exp(-(((radius - 0.75) / 0.04) ** 2)) * (torch.sin(6 * z + 3 * torch.atan2(y, x)) > 0)
    colors = torch.stack([0.5 + 0.5 * x, 0.5 + 0.5 * torch.sin(4 * z), 0.5 - 0.5 * y], -1)
    density = (smoke + shell)[..., None]
    return VolumeSignal(SYNTHETIC[0], torch.cat([density / density.max(), colors.clamp(0, 1)], -1), 30.0)
