"""Gaussians by rasterization: projected to ellipses, sorted by depth, blended front to back."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.protocols import EVAL, Batching, Context, ParameterGroup, Primitives, Rendering, Splats, Staged
from scenekit.core.stacked import stacked
from scenekit.kernels.intersect import Tiles, intersect
from scenekit.kernels.project import BLUR, Projected, project
from scenekit.kernels.rasterize import rasterize
from scenekit.renderers.exchange import Pinhole, exchanged
from scenekit.renderers.tangent import DENSITY, Face, faces_of, read_off
from scenekit.renderers.tile_room import Frame, TileRoom

SomePrimitives = TypeVar("SomePrimitives", bound=Primitives)


class SplatRenderer(nn.Module, Generic[SomePrimitives]):
    """Renders any :class:`~scenekit.core.protocols.Primitives`, one camera after another.

    The trace holds, for C pinholes and N splats: ``rows``, a tuple of C tensors [N 12] as ``kernels/project.py`` has
    them, x and y in pixels first, that keep their gradients while training; ``visible``, as many [N]; ``sizes``,
    (width, height) of each pinhole; ``splats``, a tensor, how many were visible in all; ``frames``, what
    ``tile_room.py`` is to know of each. A camera is one pinhole, or with another lens the faces it is seen through
    (``renderers/tangent.py``). Where several processes share the work, each holds some of the splats; then C counts the
    pinholes of all, since ours are rows of what we hold and theirs ask for it (``renderers/exchange.py``).

    In training nothing is read back from a GPU once a frame of the same size was rendered and noted, so that steps can
    be recorded.
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
        faces = [faces_of(cameras[index]) for index in range(len(cameras))]
        lenses = [self._pinholes(cameras[index], through) for index, through in enumerate(faces)]
        ours = [pinhole for lens in lenses for pinhole in lens]
        dealt = splats.dealt if context.share.of > 1 else None
        everyone = [ours] if dealt is None else self._everyones(ours, context)
        projected = [[self._projected(splats, pinhole) for pinhole in each] for each in everyone]
        seen = projected[0] if dealt is None else exchanged(dealt, projected)
        shown = iter([_view(flat, pinhole.size, with_depth, room) for flat, pinhole in zip(seen, ours, strict=True)])
        views = [_through(cameras.sizes[i], faces[i], [next(shown) for _ in lens]) for i, lens in enumerate(lenses)]
        units = [pinhole.unit for each in everyone for pinhole in each]
        trace = _trace([flat for each in projected for flat in each], units, views)
        return _gathered(views, cameras, splats, pixels, trace)

    def stage(self, context: Context) -> Hashable:
        """What the primitives do, and the room of lists; None before a frame was counted."""
        rooms = self._room.stage()
        staged = self.primitives.stage(context) if isinstance(self.primitives, Staged) else ()
        return (rooms, staged) if rooms else None

    def note(self, rendering: Rendering) -> None:
        """How much room the lists needed."""
        if rendering.opacity.is_cuda:
            self._room.note(rendering.trace["frames"])

    def parameter_groups(self) -> list[ParameterGroup]:
        """The primitives'."""
        return self.primitives.parameter_groups()

    def _everyones(self, ours: list[Pinhole], context: Context) -> list[list[Pinhole]]:
        """The pinholes of every process, by rank."""
        share, around = context.share, context.around
        if around is None:
            return [ours] * share.of
        each = len(around) // share.of
        parts = [range(rank * each, (rank + 1) * each) for rank in range(share.of)]
        return [ours if rank == share.rank else self._theirs(around, part) for rank, part in enumerate(parts)]

    def _theirs(self, around: Cameras, part: range) -> list[Pinhole]:
        """The pinholes of some cameras, one after another."""
        lenses = [self._pinholes(around[index], faces_of(around[index])) for index in part]
        return [pinhole for lens in lenses for pinhole in lens]

    def _pinholes(self, camera: Cameras, faces: tuple[Face, ...]) -> list[Pinhole]:
        """What one camera is seen through, whatever lens it has."""
        if not faces:
            return [_pinhole(camera, self.near, BLUR)]
        blur = BLUR * DENSITY**2  # as wide as in a pinhole's picture, whose pixels are larger
        return [_pinhole(face.camera(camera), self.near + face.back, blur, face.unit) for face in faces]

    def _projected(self, splats: Splats, pinhole: Pinhole) -> Projected:
        """The splats as a pinhole sees them."""
        flat = project(
            splats.means,
            splats.quaternions,
            splats.scales,
            splats.opacities,
            pinhole.world_from_camera,
            pinhole.intrinsics,
            pinhole.size,
            harmonics=(splats.harmonics_dc, splats.harmonics_rest),
            degree=splats.degree,
            antialiased=self.antialiased,
            near=pinhole.near,
            blur=pinhole.blur,
        )
        if flat.rows.requires_grad:
            flat.rows.retain_grad()
        return flat


def _pinhole(camera: Cameras, near: float, blur: float, unit: float | None = None) -> Pinhole:
    """Of one camera without a lens; without a ``unit``, that of a picture of its own size: half of it."""
    width, height = size = camera.sizes[0]
    units = (width / 2, height / 2) if unit is None else (unit, unit)
    return Pinhole(camera.world_from_camera[0], camera.intrinsics[0], size, near, blur, units)


def listed(flat: Projected, size: tuple[int, int], room: TileRoom | None) -> Tiles:
    """The splats of every tile, in ``room`` if there is any."""
    capacity = None if room is None else room.of(size)
    return intersect(flat.rows, flat.depths, size, capacity=capacity, order=flat.order)


@dataclass(frozen=True)
class _View:
    """Features and opacities of one camera, and the frames that they come from."""

    features: Float[Tensor, "H W D"]
    opacities: Float[Tensor, "H W"]
    frames: tuple[Frame, ...]


def _view(flat: Projected, size: tuple[int, int], with_depth: bool, room: TileRoom | None) -> _View:
    """A pinhole's picture."""
    tiles = listed(flat, size, room)
    raster = rasterize(flat.rows, tiles, size, channels=4 if with_depth else 3)
    return _View(raster.features, raster.opacities, (Frame(size, len(tiles.gaussians), tiles.needed),))


def _through(size: tuple[int, int], faces: tuple[Face, ...], views: list[_View]) -> _View:
    """A camera's picture from those of its pinholes, which are read off along the lens's rays where it has one."""
    if not faces:
        return views[0]
    width, height = size
    channels = views[0].features.shape[-1]
    picture = views[0].features.new_zeros(width * height, channels + 1)
    # Nothing is read off a face that is known to show nothing: of a panorama that is most of them, unless it is full.
    # One is read in any case, so that gradients have a way even where all are empty.
    shown = [index for index, view in enumerate(views) if view.frames[0].room] or [0]
    for index in shown:
        face, view = faces[index], views[index]
        picture = picture.index_copy(0, face.pixels, read_off(face, view.features, view.opacities))
    picture = picture.reshape(height, width, channels + 1)
    return _View(picture[..., :-1], picture[..., -1], tuple(frame for view in views for frame in view.frames))


def _gathered(
    views: list[_View], cameras: Cameras, splats: Splats, pixels: Pixels | None, trace: dict[str, Any]
) -> Rendering:
    """The views as one rendering, whole or at ``pixels``."""
    width, height = cameras.sizes[0] if cameras.sizes else (0, 0)
    blank = splats.means.new_zeros(0, height, width)
    opacity = stacked([view.opacities for view in views]) if views else blank
    features = stacked([view.features for view in views]) if views else blank[..., None].expand(0, -1, -1, 4)
    if pixels is not None:
        rows = _rows(pixels, width, height)
        opacity, features = opacity.flatten()[rows], features.flatten(0, 2)[rows]
    depth = None
    if features.shape[-1] > 3:
        depth = features[..., 3] / opacity.clamp(min=1e-10)
        features = features[..., :3]
    return Rendering(features, opacity, depth, terms=splats.terms, trace=trace)


def _rows(pixels: Pixels, width: int, height: int) -> Int[Tensor, " R"]:
    """Flat indices into [C H W] of the pixels that positions fall into."""
    u, v = pixels.positions.floor().long().unbind(-1)
    return (pixels.cameras * height + v.clamp(0, height - 1)) * width + u.clamp(0, width - 1)


def _trace(projected: list[Projected], units: list[tuple[float, float]], views: list[_View]) -> dict[str, Any]:
    visible = tuple(flat.depths > 0 for flat in projected)
    return {
        "rows": tuple(flat.rows for flat in projected),
        "visible": visible,
        "units": tuple(units),
        "batch": len(views),
        "splats": sum(seen.sum() for seen in visible),
        "frames": tuple(frame for view in views for frame in view.frames),
    }
