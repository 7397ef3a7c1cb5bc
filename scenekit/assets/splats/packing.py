"""What packed formats share: opacities and colours in bytes, quaternions by their smallest three, an order in space."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from scenekit.kernels.harmonic_rotation import harmonic_rotation
from scenekit.kernels.spherical_harmonics import C0
from scenekit.representations.gaussian_cloud import GaussianCloud

# A byte of 0 or 255 stands for a quarter of a step off the end, so that its logit is finite.
FARTHEST = 0.25 / 255
HALF_TURNS = {"x": (1.0, -1.0, -1.0), "z": (-1.0, -1.0, 1.0)}
MORTON_BITS = 16
CPU = torch.device("cpu")


def half_turned(cloud: GaussianCloud, axis: str) -> GaussianCloud:
    """Turned by 180 degrees about x or z, which are their own inverses; every bit but signs is kept.

    The quaternions become those of ``F R F`` rather than ``F R``: F turns a Gaussian's own axes onto themselves.
    """
    signs = torch.tensor(HALF_TURNS[axis])
    harmonic = harmonic_rotation(torch.diag(signs), cloud.degree).diagonal().float()
    return GaussianCloud(
        cloud.means * signs,
        cloud.log_scales,
        cloud.quaternions * torch.cat([torch.ones(1), signs]),
        cloud.opacity_logits,
        cloud.harmonics * harmonic[:, None],
        cloud.antialiased,
    )


def whole_steps(values: np.ndarray, count: int, coarser: int = 0) -> np.ndarray:
    """Values to the nearest whole numbers from 0 to 2^count - 1, as int64; what is no number to 0.

    To multiples of 2^coarser, so that the last bits are 0 and compress away; the last number counts as one.
    """
    last, step = (1 << count) - 1, 1 << coarser
    return np.nan_to_num(np.clip(np.rint(values / step) * step, 0, last)).astype(np.int64)


def to_byte(values: np.ndarray, coarser: int = 0) -> np.ndarray:
    """Values in [0, 255] to the nearest byte; what lies beyond goes to the end, what is no number to 0."""
    return whole_steps(values, 8, coarser).astype(np.uint8)


def opacity_bytes(logits: Float[Tensor, " N"], coarser: int = 0) -> np.ndarray:
    """Opacities as the nearest bytes."""
    return to_byte(logits.sigmoid().numpy() * 255, coarser)


def opacity_logits(opacity: np.ndarray) -> Float32[Tensor, " N"]:
    """Logits of opacities in bytes, always finite."""
    share = np.clip(opacity.astype(np.float64) / 255, FARTHEST, 1 - FARTHEST)
    return torch.from_numpy(np.log(share / (1 - share)).astype(np.float32))


def color_bytes(constant: Float[Tensor, "N 3"]) -> np.ndarray:
    """The constant harmonics' colours as bytes; colours outside [0, 1] are cut off."""
    return to_byte((constant.numpy() * C0 + 0.5) * 255)


def constant_harmonics(colors: np.ndarray) -> Float32[Tensor, "N 3"]:
    """Constant harmonics of colours in [0, 1]."""
    return torch.from_numpy(((colors - 0.5) / C0).astype(np.float32))


def smallest_three(quaternions: Float[Tensor, "N 4"]) -> tuple[np.ndarray, np.ndarray]:
    """Which component of each unit quaternion is largest, and the other three, in order, divided by sqrt(1/2).

    The three lie in [-1, 1]; the largest is positive and follows from them.
    """
    q = torch.nn.functional.normalize(quaternions.double(), dim=-1).numpy()
    largest = np.abs(q).argmax(-1)
    rows = np.arange(len(q))
    q = q * np.where(q[rows, largest] < 0, -1.0, 1.0)[:, None]
    others = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    return largest, q[rows[:, None], others] * math.sqrt(2)


def from_smallest_three(largest: np.ndarray, three: np.ndarray) -> Float32[Tensor, "N 4"]:
    """Quaternions from what :func:`smallest_three` gives."""
    others = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    q = np.zeros((len(largest), 4))
    rows = np.arange(len(q))
    q[rows[:, None], others] = three / math.sqrt(2)
    q[rows, largest] = np.sqrt(np.maximum(0, 1 - np.square(q).sum(-1)))
    return torch.from_numpy(q.astype(np.float32))


def morton_order(cloud: GaussianCloud, device: torch.device = CPU) -> Int[Tensor, " N"]:
    """The Gaussians (at least one) along a Z-curve through their box: neighbours in a file are neighbours in space."""
    means = cloud.means.to(device)
    low, high = means.amin(0), means.amax(0)
    cells = (means - low) / (high - low).clamp(min=1e-20) * ((1 << MORTON_BITS) - 1)
    code = torch.zeros(len(cloud), dtype=torch.int64, device=device)
    for axis, cell in enumerate(cells.long().unbind(-1)):
        for bit in range(MORTON_BITS):
            code |= ((cell >> bit) & 1) << (3 * bit + axis)
    return code.argsort(stable=True).cpu()


def bits(values: np.ndarray, count: int, coarser: int = 0) -> np.ndarray:
    """Values in [0, 1] as the nearest of 2^count steps, uint32."""
    return whole_steps(values * ((1 << count) - 1), count, coarser).astype(np.uint32)
