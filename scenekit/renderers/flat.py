"""Renderers of what is a picture already: one that hangs in space, and one all around."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.cameras import Cameras, Pixels, every_pixel
from scenekit.core.constants import constant
from scenekit.core.point_fields import PointField
from scenekit.core.protocols import EVAL, Batching, Context, ParameterGroup, Rendering
from scenekit.core.rays import Rays
from scenekit.core.sphere import equirectangular_directions
from scenekit.core.tone import shown, three_channels
from scenekit.kernels.rays import rays_of
from scenekit.renderers.crop import refuse

# Points that a field is asked for at once outside training: a GPU is filled by more.
CHUNKS = {"cpu": 2**18, "cuda": 2**22}

Size = tuple[int, int]


@runtime_checkable
class Pictured(Protocol):
    """What a renderer may also be: one with a picture of its own, of any size."""

    size: Size
    linear: bool

    def bands(self, size: Size) -> Iterator[Float[Tensor, "h W C"]]:
        """The picture in bands of rows from its top; values as they were learnt, without gradients."""
        ...


class FlatRenderer(nn.Module):
    """A picture in the plane z = 0 of ``scene``, its longer side from -1 to 1, upright along y; nothing around it."""

    batching: ClassVar[Batching] = "pixels"

    def __init__(self, field: PointField, size: Size, *, linear: bool) -> None:
        super().__init__()
        self.field = field
        self.size = size
        self.linear = linear

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        """See :class:`~scenekit.core.protocols.Renderer`."""
        refuse(context)
        return _rendered(cameras, pixels, self._seen)

    def _seen(self, rays: Rays) -> Rendering:
        device = rays.origins.device
        half = constant((float(self.size[0]), float(self.size[1])), device) / max(self.size)
        towards = rays.directions[:, 2]
        distance = -rays.origins[:, 2] / torch.where(towards.abs() < 1e-9, 1e-9, towards)
        place = (rays.origins + distance[:, None] * rays.directions)[:, :2] / half * constant((1.0, -1.0), device)
        hit = ((place.abs() <= 1).all(-1) & (distance > 0)).nonzero().squeeze(-1)
        values = self.field(place[hit] / 2 + 0.5)
        colors = shown(values, linear=self.linear)
        alpha = colors[:, 3] if colors.shape[-1] == 4 else torch.ones_like(colors[:, 0])
        opacity = torch.zeros_like(distance).index_put((hit,), alpha)
        color = torch.zeros_like(rays.origins).index_put((hit,), three_channels(colors) * alpha[:, None])
        depth = torch.zeros_like(distance).index_put((hit,), (distance * rays.z_per_distance)[hit])
        return Rendering(color, opacity, depth, trace={"samples": len(hit)})

    def bands(self, size: Size) -> Iterator[Float[Tensor, "h W C"]]:
        """See :class:`Pictured`."""
        for places, shape in _places(size, _device(self)):
            with torch.no_grad():
                band = self.field(places).reshape(*shape, -1)
            yield band

    def parameter_groups(self) -> list[ParameterGroup]:
        """The field's."""
        return self.field.parameter_groups()


class PanoramaRenderer(nn.Module):
    """A picture all around, infinitely far away."""

    batching: ClassVar[Batching] = "pixels"

    def __init__(self, field: PointField, size: Size, *, linear: bool) -> None:
        super().__init__()
        self.field = field
        self.size = size
        self.linear = linear

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        """See :class:`~scenekit.core.protocols.Renderer`; there is no depth."""
        refuse(context)
        return _rendered(cameras, pixels, self._seen)

    def _seen(self, rays: Rays) -> Rendering:
        values = self.field(rays.directions / 2 + 0.5)
        color = three_channels(shown(values, linear=self.linear))
        return Rendering(color, torch.ones_like(color[:, 0]), trace={"samples": len(color)})

    def bands(self, size: Size) -> Iterator[Float[Tensor, "h W C"]]:
        """See :class:`Pictured`; equirectangular."""
        for places, shape in _places(size, _device(self)):
            with torch.no_grad():
                band = self.field(equirectangular_directions(places) / 2 + 0.5).reshape(*shape, -1)
            yield band

    def parameter_groups(self) -> list[ParameterGroup]:
        """The field's."""
        return self.field.parameter_groups()


def _device(renderer: nn.Module) -> torch.device:
    """Where its field is."""
    return next((parameter.device for parameter in renderer.parameters()), torch.device("cpu"))


def _places(size: Size, device: torch.device) -> Iterator[tuple[Float[Tensor, "P 2"], Size]]:
    """Centres of pixels in [0, 1]^2, some rows at a time, with the shape of the rows."""
    width, height = size
    rows = max(1, CHUNKS[device.type] // width)
    for top in range(0, height, rows):
        below = min(height, top + rows)
        down, across = torch.arange(top, below, device=device), torch.arange(width, device=device)
        v, u = torch.meshgrid(down, across, indexing="ij")
        yield torch.stack([(u + 0.5) / width, (v + 0.5) / height], -1).reshape(-1, 2), (below - top, width)


def _rendered(cameras: Cameras, pixels: Pixels | None, seen: Callable[[Rays], Rendering]) -> Rendering:
    """Some at a time; pixels [R], or whole images [C H W] of one size."""
    chosen = every_pixel(cameras) if pixels is None else pixels
    size = CHUNKS[chosen.positions.device.type]
    parts = [seen(rays_of(cameras, chosen[at : at + size])) for at in range(0, max(1, len(chosen)), size)]
    color, opacity = torch.cat([part.color for part in parts]), torch.cat([part.opacity for part in parts])
    depths = [part.depth for part in parts if part.depth is not None]
    depth = torch.cat(depths) if depths else None
    trace = {"samples": sum(part.trace["samples"] for part in parts)}
    if pixels is not None:
        return Rendering(color, opacity, depth, trace=trace)
    width, height = cameras.sizes[0]
    shape = (len(cameras), height, width)
    return Rendering(
        color.reshape(*shape, 3), opacity.reshape(shape), None if depth is None else depth.reshape(shape), trace=trace
    )
