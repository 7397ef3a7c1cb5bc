"""Gaussians by rasterization: projected to ellipses, sorted by depth, blended front to back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.protocols import EVAL, Batching, Context, ParameterGroup, Primitives, Rendering, Splats
from scenekit.kernels.intersect import intersect
from scenekit.kernels.project import Projected, project
from scenekit.kernels.rasterize import rasterize
from scenekit.kernels.spherical_harmonics import harmonic_colors

SomePrimitives = TypeVar("SomePrimitives", bound=Primitives)


class SplatRenderer(nn.Module, Generic[SomePrimitives]):
    """Renders any :class:`~scenekit.core.protocols.Primitives`, one camera after another.

    The trace holds, for C cameras and N splats: ``means2d``, a tuple of C tensors [N 2] in pixels that keep
    their gradients while training; ``radii`` [C N 2] in pixels, 0 where culled; ``visible`` [C N]; ``sizes``,
    (width, height) of each camera; ``splats``, how many were visible in all.
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

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        """See :class:`~scenekit.core.protocols.Renderer`; depth comes outside training, or if asked for.

        For ``pixels`` whole images are rendered and read off at the pixels' own centres. Raises ValueError
        when the cameras differ in size.
        """
        if len(set(cameras.sizes)) > 1:
            raise ValueError(f"cameras: wanted one size in a batch, found {sorted(set(cameras.sizes))}")
        splats = self.primitives.splats(cameras, context)
        with_depth = self.depth_in_training or not context.training
        camera_from_world = cameras.camera_from_world
        views = [
            self._view(splats, cameras[index], camera_from_world[index], with_depth) for index in range(len(cameras))
        ]
        return _gathered(views, cameras, splats, pixels)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The primitives'."""
        return self.primitives.parameter_groups()

    def _view(
        self, splats: Splats, camera: Cameras, camera_from_world: Float[Tensor, "3 4"], with_depth: bool
    ) -> _View:
        """One camera's picture."""
        size = camera.sizes[0]
        intrinsics = camera.intrinsics[0]
        shapes = (splats.means, splats.quaternions, splats.scales)
        flat = project(*shapes, camera_from_world, intrinsics.detach(), size, near=self.near)
        if intrinsics.requires_grad:
            flat = _through(intrinsics, flat)
        if flat.means2d.requires_grad:
            flat.means2d.retain_grad()
        opacities = splats.opacities * flat.compensations if self.antialiased else splats.opacities
        features = colors_from(splats, camera.centres[0])
        if with_depth:
            features = torch.cat([features, flat.depths[:, None]], -1)
        with torch.no_grad():
            tiles = intersect(flat.means2d, flat.radii, flat.conics, opacities, flat.depths, size)
        raster = rasterize(flat.means2d, flat.conics, opacities, features, tiles, size)
        return _View(raster.features, raster.opacities, flat, (flat.radii > 0).all(-1))


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
    features: Float[Tensor, "H W D"]
    opacities: Float[Tensor, "H W"]
    projected: Projected
    visible: Bool[Tensor, " N"]


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
    return Rendering(features[..., :3], opacity, depth, terms=splats.terms, trace=_trace(views, cameras))


def _rows(pixels: Pixels, width: int, height: int) -> Int[Tensor, " R"]:
    """Flat indices into [C H W] of the pixels that positions fall into."""
    u, v = pixels.positions.floor().long().unbind(-1)
    return (pixels.cameras * height + v.clamp(0, height - 1)) * width + u.clamp(0, width - 1)


def _trace(views: list[_View], cameras: Cameras) -> dict[str, Any]:
    if not views:
        return {"means2d": (), "sizes": cameras.sizes, "splats": 0}
    visible = torch.stack([view.visible for view in views])
    return {
        "means2d": tuple(view.projected.means2d for view in views),
        "radii": torch.stack([view.projected.radii for view in views]),
        "visible": visible,
        "sizes": cameras.sizes,
        "splats": int(visible.sum()),
    }
