"""Splats as a medium: what a mixture of Gaussians looks like to whoever asks at points.

A splat of opacity ``o`` whose centre a ray passes at the Mahalanobis distance rho shows ``a = o exp(-rho^2 / 2)``:
the optical thickness ``-log(1 - a)`` of a Gaussian profile along that ray. A sample's density is the thickness of its
own step over the step's length, so that marching the medium shows what the rasterizer shows wherever splats do not
overlap in depth, however thin they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.protocols import Splats
from scenekit.core.rays import Samples
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.kernels.spherical_harmonics import C0

REACH = 3.0  # standard deviations beyond which a splat shows nothing
OPAQUE = 0.999  # the rasterizer lets no splat hide more
CHUNKS = {"cpu": 2**16, "cuda": 2**18}  # samples that are looked up at once
SIDE = 2**19  # cells along an axis of a level, at most


class MixtureMedium:
    """Density and mean colour of frozen splats; see :class:`~scenekit.core.protocols.Medium`."""

    def __init__(self, splats: Splats) -> None:
        turn = matrix_from_quaternion(splats.quaternions.detach())
        scales = splats.scales.detach()
        self.means = splats.means.detach().clone()
        self.whiten = turn.transpose(-1, -2) / scales[..., None]
        self.opacities = splats.opacities.detach().clamp(max=OPAQUE)
        # The constant part alone: what depends on direction belongs to surfaces, and is learnt from renderings.
        self.colors = (splats.harmonics_dc[:, 0].detach() * C0 + 0.5).clamp(0, 1)
        self.cells = Cells(self.means, REACH * scales.amax(-1)) if len(scales) else None

    @torch.no_grad()
    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 3"]]:
        """Mean extinction over each sample's step; the features are colours."""
        thickness = samples.deltas.new_zeros(len(samples))
        colors = samples.deltas.new_zeros(len(samples), 3)
        chunk = CHUNKS[thickness.device.type]
        for begin in range(0, len(samples) if self.cells is not None else 0, chunk):
            part = slice(begin, begin + chunk)
            self._add(samples[part], thickness[part], colors[part])
        colors /= thickness.clamp(min=1e-20)[:, None]
        return thickness / samples.deltas.clamp(min=1e-9), colors

    def color(self, features: Float[Tensor, "S 3"], samples: Samples) -> Float[Tensor, "S 3"]:
        """Colours of the splats around, weighted by how thick they are here."""
        return features

    def _add(self, samples: Samples, thickness: Tensor, colors: Tensor) -> None:
        """Add what every splat near a sample gives it."""
        assert self.cells is not None
        for rows, owners in self.cells.near(samples.positions):
            whiten = self.whiten[owners]
            offset = _times(whiten, samples.positions[rows] - self.means[owners])
            along = _times(whiten, samples.directions[rows])
            rate = along.norm(dim=-1)  # standard deviations per scene unit, along the ray
            middle = (offset * along).sum(-1) / rate
            squared = (offset.square().sum(-1) - middle.square()).clamp(min=0)
            shown = self.opacities[owners] * torch.exp(-0.5 * squared)
            half = 0.5 * samples.deltas[rows] * rate
            share = torch.special.ndtr(middle + half) - torch.special.ndtr(middle - half)
            own = -torch.log1p(-shown) * share
            thickness.index_add_(0, rows, own)
            colors.index_add_(0, rows, own[:, None] * self.colors[owners])


class Cells:
    """Which balls a point is in: grids of all space, each ball in the one whose cells are about its radius."""

    def __init__(self, centres: Float[Tensor, "N 3"], radii: Float[Tensor, " N"]) -> None:
        self.centres, self.squares = centres, radii.square()
        levels = radii.clamp(min=1e-6).log2().ceil()
        # The smallest balls share a grid: a grid costs a look-up for every point.
        levels = levels.clamp(min=float(levels.quantile(0.05) if len(levels) < 2**24 else levels.min()))
        self.sizes = torch.exp2(levels.unique())
        level = torch.searchsorted(self.sizes, torch.exp2(levels))
        size = self.sizes[level][:, None]
        low, high = _cell(centres - radii[:, None], size), _cell(centres + radii[:, None], size)
        keys, owners = [], []
        for step in itertools.product(range(3), repeat=3):  # a ball of two cells touches at most three along each axis
            cell = low + torch.tensor(step, device=low.device)
            touched = (cell <= high).all(-1).nonzero().squeeze(-1)
            keys.append(_key(level[touched], cell[touched]))
            owners.append(touched)
        self.keys, order = torch.cat(keys).sort(stable=True)
        self.owners = torch.cat(owners)[order]

    def near(self, points: Float[Tensor, "P 3"]) -> Iterator[tuple[Int[Tensor, " M"], Int[Tensor, " M"]]]:
        """Pairs (row of the point, ball it is in), grid by grid."""
        for level, size in enumerate(self.sizes):
            wanted = _key(torch.full_like(points[:, 0], level, dtype=torch.int64), _cell(points, size))
            first = torch.searchsorted(self.keys, wanted)
            counts = torch.searchsorted(self.keys, wanted, right=True) - first
            rows = torch.repeat_interleave(counts)
            if len(rows):
                begins = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
                place = torch.arange(len(rows), device=rows.device) - begins
                owners = self.owners[first[rows] + place]
                away = (points[rows] - self.centres[owners]).square().sum(-1)
                touching = (away < self.squares[owners]).nonzero().squeeze(-1)
                yield rows[touching], owners[touching]


def _times(matrices: Float[Tensor, "M 3 3"], vectors: Float[Tensor, "M 3"]) -> Float[Tensor, "M 3"]:
    """Products in float32 whatever torch's switch says, and on a GPU without millions of small ones for a library."""
    x, y, z = vectors.unsqueeze(1).unbind(-1)
    return (matrices[..., 0] * x).addcmul_(matrices[..., 1], y).addcmul_(matrices[..., 2], z)


def _cell(points: Tensor, size: Tensor) -> Int[Tensor, "P 3"]:
    return (points / size).floor().clamp(-SIDE // 2, SIDE // 2 - 1).long() + SIDE // 2


def _key(level: Int[Tensor, " P"], cell: Int[Tensor, "P 3"]) -> Int[Tensor, " P"]:
    return ((level * SIDE + cell[:, 0]) * SIDE + cell[:, 1]) * SIDE + cell[:, 2]
