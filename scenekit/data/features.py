"""SIFT features of a capture's photographs, and matches between those that see the same things.

Poses are known, so a match is looked for along its epipolar line only: far fewer candidates are wrong, and
the ratio test compares a feature with rivals that geometry allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.transforms import invert_rigid
from scenekit.data.store import Images
from scenekit.data.threads import two_at_a_time

MOST_FEATURES = 3200
MANY_IMAGES = 45
PEAK_THRESHOLD = 0.003  # of contrast: half of COLMAP's, for more points on plain walls
EPIPOLAR_PIXELS = 2.5
BAND_ROWS = 512
PENALTY = 0.02  # of cosine, for each squared pixel off the line
LARGEST_RATIO = 0.85
SMALLEST_COSINE = 0.75  # between unit descriptors of a match
MOST_TURN = 0.5  # cosine of the largest angle between the viewing directions of a pair


@dataclass(frozen=True)
class Features:
    """N keypoints of an image: pixel positions, centres at +0.5, and unit descriptors."""

    positions: Float[Tensor, "N 2"]
    descriptors: Float[Tensor, "N 128"]


def detect(images: Images) -> list[Features]:
    """SIFT of every image, two images at a time."""
    most = most_features(len(images))
    return two_at_a_time(lambda index: _detect(most, images[index]), range(len(images)))


def most_features(images: int) -> int:
    """Of each of so many: of many fewer, for matching costs their square, and more views see every point."""
    return round(MOST_FEATURES * min(1.0, (MANY_IMAGES / max(1, images)) ** 0.5))


def _detect(most: int, image: UInt8[Tensor, "H W C"]) -> Features:
    grey = image[..., :3].float() @ torch.tensor([0.299, 0.587, 0.114])
    if image.shape[-1] == 4:  # transparent pixels go to white, which is what they are seen against
        grey = grey * (image[..., 3] / 255) + (255 - image[..., 3].float())
    positions, descriptors = _extracted(np.ascontiguousarray(grey.round().byte().numpy()), most)
    return Features(positions, torch.nn.functional.normalize(descriptors, dim=-1))


def _extracted(grey: NDArray[np.uint8], most: int) -> tuple[Tensor, Tensor]:
    """Positions [N 2] and descriptors [N 128] from whichever interface this version of pycolmap has."""
    from scenekit.data.colmap_library import pycolmap

    sift = pycolmap.SiftExtractionOptions()
    sift.max_num_features = most
    sift.max_num_orientations = 1
    sift.peak_threshold = PEAK_THRESHOLD
    if "FeatureExtractor" in dir(pycolmap):  # since 4.0
        options = pycolmap.FeatureExtractionOptions()
        options.sift = sift
        options.use_gpu = False
        extractor = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
        keypoints, descriptors = extractor.extract(pycolmap.Bitmap.from_array(grey))
        positions = [(keypoint.x, keypoint.y) for keypoint in keypoints]
        descriptors = descriptors.data
    else:
        detector = pycolmap.Sift(sift, pycolmap.Device.cpu)  # pyright: ignore[reportArgumentType]
        keypoints, descriptors = detector.extract(grey)
        positions = keypoints[:, :2]
    rows = torch.from_numpy(np.array(descriptors, dtype=np.float32).reshape(-1, 128))
    return torch.from_numpy(np.array(positions, dtype=np.float32).reshape(-1, 2)), rows


def neighbours(cameras: Cameras, count: int) -> list[tuple[int, int]]:
    """Pairs (i < j) of cameras: each with the ``count`` nearest that look the same way.

    Near means a short way between centres and a small turn; the way is measured in the cameras' mean spread.
    """
    centres, forward = cameras.centres, cameras.forward
    spread = (centres - centres.mean(0)).norm(dim=-1).mean().clamp(min=1e-12)
    cosines = forward @ forward.T
    cost = torch.cdist(centres, centres) / spread + 2 * (1 - cosines)
    cost = cost.masked_fill(cosines < MOST_TURN, torch.inf).fill_diagonal_(torch.inf)
    chosen = cost.topk(min(count, len(cameras) - 1), largest=False)
    pairs = {
        (min(i, int(j)), max(i, int(j)))
        for i, (values, columns) in enumerate(zip(chosen.values, chosen.indices, strict=True))
        for value, j in zip(values, columns, strict=True)
        if torch.isfinite(value)
    }
    return sorted(pairs)


def fundamental(cameras: Cameras, first: int, second: int) -> Float[Tensor, "3 3"]:
    """F with ``x2^T F x1 = 0`` for pixels x1 of the first and x2 of the second camera."""
    second_from_first = _compose(invert_rigid(cameras.world_from_camera[second]), cameras.world_from_camera[first])
    x, y, z = second_from_first[:, 3].tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return (
        _inverse_intrinsics(cameras, second).T @ cross @ second_from_first[:, :3] @ _inverse_intrinsics(cameras, first)
    )


def _compose(a_from_b: Tensor, b_from_c: Tensor) -> Tensor:
    turned = a_from_b[:, :3] @ b_from_c
    return torch.cat([turned[:, :3], turned[:, 3:] + a_from_b[:, 3:]], -1)


def _inverse_intrinsics(cameras: Cameras, index: int) -> Tensor:
    fx, fy, cx, cy = cameras.intrinsics[index].tolist()
    return torch.tensor([[1 / fx, 0, -cx / fx], [0, 1 / fy, -cy / fy], [0, 0, 1]], dtype=torch.float64)


def match_pairs(
    cameras: Cameras, features: Sequence[Features], pairs: Sequence[tuple[int, int]], width: float = EPIPOLAR_PIXELS
) -> list[Int[Tensor, "M 2"]]:
    """Matches of every pair, two pairs at a time; ``width`` as :func:`match` has it."""

    def of_pair(pair: tuple[int, int]) -> Tensor:
        return match(features[pair[0]], features[pair[1]], fundamental(cameras, *pair), width)

    return two_at_a_time(of_pair, pairs)


def match(
    first: Features, second: Features, geometry: Float[Tensor, "3 3"], width: float = EPIPOLAR_PIXELS
) -> Int[Tensor, "M 2"]:
    """Mutual best matches within ``width`` pixels of their epipolar lines that beat the runner-up by the ratio test.

    What is best is the cosine of the descriptors less a penalty for the squared distance ``(l . x)^2`` to the
    epipolar line. That is linear in the products of coordinates, so one matrix product scores every pair.
    """
    if min(len(first.positions), len(second.positions)) < 2:
        return torch.zeros(0, 2, dtype=torch.int64)
    # About their middle, coordinates are so small that float32 keeps a hundredth of a pixel of their squares.
    middle = second.positions.mean(0).double()
    lines = _homogeneous(first.positions) @ geometry.T
    lines[:, 2] += lines[:, :2] @ middle
    lines = lines / lines[:, :2].norm(dim=-1, keepdim=True).clamp(min=1e-12)
    points = _homogeneous(second.positions.double() - middle)
    penalty = PENALTY * (EPIPOLAR_PIXELS / width) ** 2 * _products(lines)
    penalty[:, 3:] *= 2
    left = torch.cat([first.descriptors, -penalty.float()], -1)
    right = torch.cat([second.descriptors, _products(points).float()], -1)
    best, column, rival, mutual = _mutual_best(left, right)
    cosines = (first.descriptors * second.descriptors[column]).sum(-1)
    away = (lines * points[column]).sum(-1).abs()
    kept = mutual & (cosines > SMALLEST_COSINE) & (away < width)
    rows = (kept & (1 - best < LARGEST_RATIO**2 * (1 - rival))).nonzero().squeeze(-1)
    return torch.stack([rows, column[rows]], -1)


def _mutual_best(left: Float[Tensor, "N F"], right: Float[Tensor, "M F"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of every row: its best score, whose it is, the runner-up's score, and whether the choice is mutual.

    Scores are inner products, made in bands of rows that stay in the cache.
    """
    best, rival = left.new_empty(len(left)), left.new_empty(len(left))
    column = torch.empty(len(left), dtype=torch.int64)
    highest = left.new_full((len(right),), -torch.inf)
    for start in range(0, len(left), BAND_ROWS):
        band = slice(start, start + BAND_ROWS)
        scores = left[band] @ right.T
        best[band], column[band] = scores.max(1)
        highest = torch.maximum(highest, scores.amax(0))
        rival[band] = scores.scatter_(1, column[band, None], -torch.inf).amax(1)
    return best, column, rival, best == highest[column]


def _homogeneous(positions: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    return torch.nn.functional.pad(positions.double(), (0, 1), value=1.0)


def _products(x: Float[Tensor, "N 3"]) -> Float[Tensor, "N 6"]:
    """Squares and mixed products: ``(a . b)^2`` is the inner product of these, mixed ones counted twice."""
    return torch.cat([x.square(), x * x.roll(-1, 1)], -1)
