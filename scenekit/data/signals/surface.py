"""Closed surfaces as signals: signed distances to a mesh, negative inside."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.checks import BadInput
from scenekit.core.signals import put_off
from scenekit.data.signals.distances import FILLED, SUFFIX, Frame, SampledSurface, read_distances
from scenekit.data.signals.signal import Facts, Points, Signal

if TYPE_CHECKING:
    import trimesh

SUFFIXES = (".obj", ".ply", ".glb", ".stl", ".off")
NEAR = FILLED * 0.5 / 1024  # of points near the surface: instant-ngp's radius / 1024
POOL = 2**19
JUDGED = 2**16  # points by which the inside is judged


@dataclass(frozen=True)
class SurfaceSignal:
    """A closed triangle mesh, moved into the unit cube; values are distances in units of the cube's side."""

    path: str
    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "T 3"]
    scale: float
    centre: tuple[float, float, float]

    @property
    def facts(self) -> Facts:
        """See :class:`~scenekit.data.signals.distances.Frame`."""
        return self._frame.facts(self.path)

    @property
    def _frame(self) -> Frame:
        return Frame(self.scale, self.centre)

    @property
    def device(self) -> torch.device:
        """A CPU: distances are computed there."""
        return torch.device("cpu")

    @property
    def nbytes(self) -> int:
        """Of what is learnt elsewhere."""
        return self._sampled.nbytes

    def to(self, device: torch.device) -> Signal:
        """Itself on a CPU; elsewhere the points that training draws from."""
        return self if device.type == "cpu" else self._sampled.to(device)

    @cached_property
    def _sampled(self) -> SampledSurface:
        """Fixed points: distances far from a surface take too long to be asked for in every step."""
        generator = torch.Generator().manual_seed(0)
        on, near, anywhere = POOL // 2, POOL * 3 // 8, POOL // 8
        surface = self.on_surface(on + near, generator)
        u = torch.rand(near, 3, generator=generator).clamp(1e-6, 1 - 1e-6)
        logistic = NEAR * math.sqrt(3) / math.pi * torch.logit(u)
        positions = torch.cat([surface[on:] + logistic, torch.rand(anywhere, 3, generator=generator)])
        distances = self.distances(positions)
        pool = Points(torch.cat([surface[:on], positions]), torch.cat([torch.zeros(on, 1), distances]))
        return SampledSurface(self.path, self._frame, pool)

    def sampled(self) -> SampledSurface:
        """What is learnt of it and how it is judged, without the mesh."""
        return replace(self._sampled, judged=self.judged(torch.Generator().manual_seed(1)))

    def sample(self, count: int, generator: torch.Generator | None) -> Points:
        """See :meth:`SampledSurface.sample`."""
        return self._sampled.sample(count, generator)

    def judged(self, generator: torch.Generator | None) -> Points:
        """Uniform in the mesh's box."""
        low, high = self.vertices.amin(0), self.vertices.amax(0)
        positions = low + (high - low) * torch.rand(JUDGED, 3, generator=generator)
        return Points(positions, self.distances(positions))

    def on_surface(self, count: int, generator: torch.Generator | None) -> Float[Tensor, "S 3"]:
        """Uniform by area."""
        corners = self.vertices[self.faces]
        areas = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1)
        ends = areas.double().cumsum(0)
        drawn = torch.rand(count, generator=generator, dtype=torch.float64) * ends[-1]
        chosen = corners[torch.searchsorted(ends, drawn).clamp(max=len(areas) - 1)]
        r, s = torch.rand(count, 2, generator=generator).unbind(-1)
        root = r.sqrt()
        weights = torch.stack([1 - root, root * (1 - s), root * s], -1)
        return (weights[..., None] * chosen).sum(1)

    def distances(self, positions: Float[Tensor, "S 3"]) -> Float[Tensor, "S 1"]:
        """Signed distances of any points, by open3d; the sign is by rays that count how often they cross."""
        found = self._scene.compute_signed_distance(positions.contiguous().numpy(), nsamples=3)
        return torch.from_numpy(found.numpy())[:, None]

    @cached_property
    def _scene(self) -> Any:
        o3d = _needed("open3d", self.path)
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(
            o3d.core.Tensor(self.vertices.numpy()), o3d.core.Tensor(self.faces.numpy().astype(np.uint32))
        )
        return scene

    def detail(self, count: int, generator: torch.Generator | None) -> tuple[Float[Tensor, "M 3"], Float[Tensor, " M"]]:
        """See :meth:`SampledSurface.detail`."""
        return self._sampled.detail(count, generator)


def sniff(path: Path) -> bool:
    """By its extension."""
    return path.suffix.lower() in (*SUFFIXES, SUFFIX)


def read(path: Path) -> SurfaceSignal | SampledSurface:
    """A mesh, or distances to one that were computed before.

    Raises BadInput where the file is neither, an empty mesh, or one that encloses nothing.
    """
    if path.suffix.lower() == SUFFIX:
        return read_distances(path)
    mesh = _mesh(path)
    if not mesh.is_watertight:
        edges = np.sort(mesh.edges, axis=1)
        _, uses = np.unique(edges, axis=0, return_counts=True)
        raise BadInput.of(path, wanted="a watertight mesh, which has an inside",
                          found=f"{int((uses != 2).sum())} edges that do not join exactly two triangles",
                          remedy="close its holes first")  # fmt: skip
    low, high = mesh.bounds
    scale = float((high - low).max())
    centre = (low + high) / 2
    vertices = (mesh.vertices - centre) * (FILLED / scale) + 0.5
    middle = (float(centre[0]), float(centre[1]), float(centre[2]))
    faces = torch.from_numpy(np.array(mesh.faces, dtype=np.int64))
    return SurfaceSignal(str(path), torch.from_numpy(vertices.astype(np.float32)), faces, scale, middle)


def _mesh(path: Path) -> trimesh.Trimesh:
    trimesh = _needed("trimesh", str(path))
    try:
        with put_off():
            mesh = trimesh.load_mesh(path, skip_materials=True)
    except Exception as error:  # readers of a dozen formats raise whatever they meet
        raise BadInput.of(path, wanted="a mesh", found=f"none that can be read ({' '.join(str(error).split())})",
                          remedy="replace the file") from None  # fmt: skip
    if isinstance(mesh, trimesh.Scene):
        mesh = mesh.to_geometry()
    faces = getattr(mesh, "faces", None)
    if faces is None or len(faces) == 0 or not np.isfinite(mesh.vertices).all() or np.ptp(mesh.vertices) == 0:
        raise BadInput.of(path, wanted="a mesh with triangles", found="none",
                          remedy="export the surface, not its points alone")  # fmt: skip
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    return mesh


def _needed(module: str, path: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise BadInput.of(path, wanted=f"the package {module} for meshes", found="none",
                          remedy="pip install 'scenekit[mesh]'") from None  # fmt: skip
