"""Gaussians by rasterization: projected to ellipses, sorted by depth, blended front to back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.protocols import EVAL, Batching, Context, ParameterGroup, Primitives, Rendering, Splats
from scenekit.kernels.intersect import Tiles, intersect
from scenekit.kernels.project import Projected, project
from scenekit.kernels.rasterize import rasterize
from scenekit.kernels.spherical_harmonics import harmonic_colors
from scenekit.renderers.tangent import Face, faces_of, read_off
from scenekit.renderers.tile_room import TileRoom

SomePrimitives = TypeVar("SomePrimitives", bound=Primitives)


class SplatRenderer(nn.Module, Generic[SomePrimitives]):
    """Renders any :class:`~scenekit.core.protocols.Primitives`, one camera after another.

    The trace holds, for C pinholes and N splats: ``means2d``, a tuple of C tensors [N 2] in pixels that keep
    their gradients while training; ``radii`` [C N 2] in pixels, 0 where culled; ``visible`` [C N]; ``sizes``,
    (width, height) of each pinhole; ``splats``, how many were visible in all. A camera is one pinhole, or with
    another lens the faces it is seen through (``renderers/tangent.py``).
    """

    batching: ClassVar[Batching] = "images"

    def __init__(
        self,
        primitives: SomePrimitives,
        *,
        antialiased: bool = False,
        near: float = 0.01,
        depth_in_training: bool = False,
    ) -> None:
        """``near`` is the depth, in scene units, before which nothing is seen."""
        super().__init__()
        self.primitives = primitives
        self.antialiased = antialiased
        self.near = near
        self.depth_in_training = depth_in_training
        self._room = TileRoom()

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        """See :class:`~scenekit.core.protocols.Renderer`; depth comes outside training, or if asked for.

        For ``pixels`` whole images are rendered and read off at the pixels' own centres. Raises ValueError
        when the cameras differ in size.
        """
        if len(set(cameras.sizes)) > 1:
            raise ValueError(f"cameras: wanted one size in a batch, found {sorted(set(cameras.sizes))}")
        splats = self.primitives.splats(cameras, context)
        if context.crop is not None:
            kept = context.keeps(splats.means)
            splats = replace(splats, opacities=splats.opacities * kept)
        with_depth = self.depth_in_training or not context.training
        room = self._room if context.training and splats.means.is_cuda else None
        views = [self._seen(splats, cameras[index], with_depth, room) for index in range(len(cameras))]
        return _gathered(views, cameras, splats, pixels)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The primitives'."""
        return self.primitives.parameter_groups()

    def _seen(self, splats: Splats, camera: Cameras, with_depth: bool, room: TileRoom | None) -> _View:
        """One camera's picture, through whatever lens it has."""
        if camera.are_pinholes:
            return self._view(splats, camera, with_depth, room)
        faces = faces_of(camera)
        views = [
            self._view(splats, face.camera(camera), with_depth, room, near=self.near + face.back) for face in faces
        ]
        return _assembled(faces, views, camera.sizes[0])

    def _view(
        self, splats: Splats, camera: Cameras, with_depth: bool, room: TileRoom | None, near: float | None = None
    ) -> _View:
        """A pinhole's picture."""
        size = camera.sizes[0]
        intrinsics = camera.intrinsics[0]
        shapes = (splats.means, splats.quaternions, splats.scales)
        flat = project(
            *shapes, camera.camera_from_world[0], intrinsics.detach(), size, near=self.near if near is None else near
        )
        if intrinsics.requires_grad:
            flat = _through(intrinsics, flat)
        if flat.means2d.requires_grad:
            flat.means2d.retain_grad()
        opacities = splats.opacities * flat.compensations if self.antialiased else splats.opacities
        features = colors_from(splats, camera.centres[0])
        if with_depth:
            features = torch.cat([features, flat.depths[:, None]], -1)
        with torch.no_grad():
            tiles = listed(flat, opacities, size, room)
        raster = rasterize(flat.means2d, flat.conics, opacities, features, tiles, size)
        return _View(raster.features, raster.opacities, (flat,), camera.sizes)


def listed(flat: Projected, opacities: Tensor, size: tuple[int, int], room: TileRoom | None) -> Tiles:
    """The splats of every tile, in ``room`` if there is any."""
    capacity = None if room is None else room.of(size)
    tiles = intersect(flat.means2d, flat.radii, flat.conics, opacities, flat.depths, size, capacity=capacity)
    if room is not None:
        room.note(size, capacity, tiles)
    return tiles


def _through(intrinsics: Float[Tensor, "4"], flat: Projected) -> Projected:
    """The same projection, whose gradients reach the intrinsics too: ellipses scale with the focal lengths.

    The blur, which does not scale, is counted as if it did.
    """
    given = intrinsics.detach()
    zoom, centre = intrinsics[:2] / given[:2], given[2:]
    means2d = (flat.means2d - centre) * zoom + intrinsics[2:]
    shrink = torch.stack([zoom[0] * zoom[0], zoom[0] * zoom[1], zoom[1] * zoom[1]])
    return replace(flat, means2d=means2d, conics=flat.conics / shrink)


def colors_from(splats: Splats, centre: Float[Tensor, "3"]) -> Float[Tensor, "N 3"]:
    """Colours seen from ``centre``: ``max(0, 1/2 + sum_k c_k Y_k(direction))``."""
    directions = nn.functional.normalize(splats.means - centre, dim=-1)
    return (harmonic_colors(splats.harmonics, directions, splats.degree) + 0.5).clamp(min=0)


@dataclass(frozen=True)
class _View:
    """Features and opacities of one camera, and what each pinhole behind them projected."""

    features: Float[Tensor, "H W D"]
    opacities: Float[Tensor, "H W"]
    projected: tuple[Projected, ...]
    sizes: tuple[tuple[int, int], ...]


def _assembled(faces: tuple[Face, ...], views: list[_View], size: tuple[int, int]) -> _View:
    """The faces' pictures, read off along the lens's rays; the depth, if any, is the fourth feature."""
    width, height = size
    channels = views[0].features.shape[-1]
    picture = views[0].features.new_zeros(width * height, channels + 1)
    for face, view in zip(faces, views, strict=True):
        values = read_off(torch.cat([view.features, view.opacities[..., None]], -1), face.positions)
        if channels > 3:
            depth = values[:, 3] * face.depths - face.back * values[:, 4]
            values = torch.cat([values[:, :3], depth[:, None], values[:, 4:]], -1)
        picture = picture.index_copy(0, face.pixels, values)
    picture = picture.reshape(height, width, channels + 1)
    projected = tuple(flat for view in views for flat in view.projected)
    return _View(picture[..., :-1], picture[..., -1], projected, tuple(size for view in views for size in view.sizes))


def _gathered(views: list[_View], cameras: Cameras, splats: Splats, pixels: Pixels | None) -> Rendering:
    """The views as one rendering, whole or at ``pixels``."""
    width, height = cameras.sizes[0] if cameras.sizes else (0, 0)
    blank = splats.means.new_zeros(0, height, width)
    opacity = torch.stack([view.opacities for view in views]) if views else blank
    features = torch.stack([view.features for view in views]) if views else blank[..., None].expand(0, -1, -1, 4)
    if pixels is not None:
        rows = _rows(pixels, width, height)
        opacity, features = opacity.flatten()[rows], features.flatten(0, 2)[rows]
    depth = None
    if features.shape[-1] > 3:
        depth = features[..., 3] / opacity.clamp(min=1e-10)
    return Rendering(features[..., :3], opacity, depth, terms=splats.terms, trace=_trace(views))


def _rows(pixels: Pixels, width: int, height: int) -> Int[Tensor, " R"]:
    """Flat indices into [C H W] of the pixels that positions fall into."""
    u, v = pixels.positions.floor().long().unbind(-1)
    return (pixels.cameras * height + v.clamp(0, height - 1)) * width + u.clamp(0, width - 1)


def _trace(views: list[_View]) -> dict[str, Any]:
    projected = [flat for view in views for flat in view.projected]
    sizes = tuple(size for view in views for size in view.sizes)
    if not projected:
        return {"means2d": (), "sizes": sizes, "splats": 0}
    radii = torch.stack([flat.radii for flat in projected])
    visible = (radii > 0).all(-1)
    return {
        "means2d": tuple(flat.means2d for flat in projected),
        "radii": radii,
        "visible": visible,
        "sizes": sizes,
        "splats": int(visible.sum()),
    }
