"""Signed distances at fixed points: what is learnt of a surface, and the files (.npz) that keep it.

Where a field is fitted to such a file, neither the mesh is needed nor what computes distances to one. Files are written
by :func:`scenekit.assets.distances.write_distances`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.data.numpyfile import DAMAGED_ARRAYS, of_any_age
from scenekit.data.signals.signal import Facts, Points

SUFFIX = ".npz"
FILLED = 0.9  # of the unit cube's side by the mesh's longest: a learnt surface needs some room around it
FINEST = 1024.0  # cells a side: no mesh says where its detail ends
ARRAYS = ("frame", "positions", "distances", "judged_positions", "judged_distances")


@dataclass(frozen=True)
class Frame:
    """Where the unit cube is: vertices of the file are ``(position - 0.5) * scale / FILLED + centre``."""

    scale: float
    centre: tuple[float, float, float]

    def facts(self, path: str) -> Facts:
        """Of a surface in such a frame."""
        return Facts("surface", path, 3, 1, FINEST, scale=self.scale, centre=self.centre)


@dataclass(frozen=True)
class SampledSurface:
    """Points of a surface's surroundings; values are distances in units of the cube's side, negative inside.

    Attributes:
        path: of the file.
        frame: of the cube.
        pool: what training draws from; on the surface where the distance is 0.
        judged: points anywhere in the surface's box, by which the inside is judged; None where nobody asks.
    """

    path: str
    frame: Frame
    pool: Points
    judged: Points | None = None

    @property
    def facts(self) -> Facts:
        """See :class:`Frame`."""
        return self.frame.facts(self.path)

    @property
    def device(self) -> torch.device:
        """Where the points are."""
        return self.pool.positions.device

    @property
    def nbytes(self) -> int:
        """Of the points."""
        return sum(tensor.nbytes for tensor in (*self.pool, *(self.judged or ())))

    def to(self, device: torch.device) -> SampledSurface:
        """See :class:`~scenekit.data.signals.signal.Signal`."""
        judged = None if self.judged is None else _moved(self.judged, device)
        return replace(self, pool=_moved(self.pool, device), judged=judged)

    def sample(self, count: int, generator: torch.Generator | None) -> Points:
        """Half on the surface, three eighths near it, one eighth anywhere (instant-ngp), as the pool has them."""
        index = torch.randint(len(self.pool.positions), (count,), generator=generator, device=self.device)
        return Points(self.pool.positions[index], self.pool.values[index])

    def detail(self, count: int, generator: torch.Generator | None) -> tuple[Float[Tensor, "M 3"], Float[Tensor, " M"]]:
        """Inverse distances (NeuRBF), of points drawn as training draws them."""
        points = self.sample(count, generator)
        return points.positions, 1 / (points.values[:, 0].abs() + 1e-9)

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file keeps; raises ValueError where nothing says how to judge."""
        if self.judged is None:
            raise ValueError("judged: wanted points, found none")
        frame = np.array([self.frame.scale, *self.frame.centre])
        numbers = [tensor.cpu().numpy() for tensor in (*self.pool, *self.judged)]
        return dict(zip(ARRAYS, [frame, *numbers], strict=True))


def _moved(points: Points, device: torch.device) -> Points:
    return Points(*(tensor.to(device) for tensor in points))


def read_distances(path: Path) -> SampledSurface:
    """What :meth:`SampledSurface.arrays` gave; raises BadInput where it is something else or damaged."""
    try:
        with of_any_age(), path.open("rb") as stream:  # numpy leaves a damaged file open that it opened itself
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            frame, *numbers = (torch.from_numpy(np.asarray(file[name])) for name in ARRAYS)
    except DAMAGED_ARRAYS as error:
        raise _bad(path, f"none that can be read ({' '.join(str(error).split())})") from None
    shapes = [tuple(tensor.shape) for tensor in (frame, *numbers)]
    pool, judged = (shapes[1] or (0,))[0], (shapes[3] or (0,))[0]
    if shapes != [(4,), (pool, 3), (pool, 1), (judged, 3), (judged, 1)] or not (pool and judged):
        raise _bad(path, f"arrays {shapes}")
    if any(tensor.is_complex() for tensor in (frame, *numbers)):
        raise _bad(path, "complex numbers")
    floats = [tensor.float() for tensor in numbers]
    if not all(bool(tensor.isfinite().all()) for tensor in (frame, *floats)) or float(frame[0]) <= 0:
        raise _bad(path, "numbers that are none, or no size")
    scale, x, y, z = frame.tolist()
    return SampledSurface(str(path), Frame(scale, (x, y, z)), Points(*floats[:2]), Points(*floats[2:]))


def _bad(path: Path, found: str) -> BadInput:
    wanted = "distances of a surface: " + ", ".join(ARRAYS)
    return BadInput.of(path, wanted=wanted, found=found, remedy="write it again from the mesh")
