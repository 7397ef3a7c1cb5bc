"""Pictures of a grid of cubes or simplices in one pass: march, encode, density, transmittance, colour.

Nothing is written between them. Neurons of radial basis functions may read the encoding before the networks do. The
result is that of the operators one after the other: a ray ends where less than ``composite.STOP`` of the light is left,
and a sample with a weight of at most ``composite.INVISIBLE`` keeps its part of opacity and distance but is not asked
for its colour. There are no gradients: training asks it only how far light reaches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.capabilities import Traced
from scenekit.core.checks import check_same_kind, check_shape
from scenekit.core.rays import Cells
from scenekit.kernels import native
from scenekit.kernels.composite import COMPOSITE, INVISIBLE, STOP, light_before
from scenekit.kernels.gpu import trace_hash_grid as gpu
from scenekit.kernels.gpu.grids import ENTRIES
from scenekit.kernels.gpu.march import PackedCells
from scenekit.kernels.grid_layout import GridLayout, packed_layout
from scenekit.kernels.hash_grid import HASH_GRID
from scenekit.kernels.march import CONSTANTS, MARCH, StepRule, packed_rule
from scenekit.kernels.mlp import MLP
from scenekit.kernels.op import register
from scenekit.kernels.pack_cells import check_cells, packed_or_now
from scenekit.kernels.rbf import Neurons, number_of, rbf_neurons, scaled
from scenekit.kernels.simplex_grid import SIMPLEX_GRID
from scenekit.kernels.spherical_harmonics import MAX_DEGREE, SPHERICAL_HARMONICS

SATURATED = 30.0  # of the raw density, whose exponential is the density


@dataclass(frozen=True)
class GridField:
    """A grid of cubes or of simplices with its two networks.

    Attributes:
        table: rows of all levels [E F]; may be of another floating type than the rest.
        layout: of the table, in three dimensions.
        density: weights [out in] from the encoding, or neurons, to features, the first of which is the raw density.
        color: weights [out in] from features and spherical harmonics of the direction to 3 raw colours.
        log_density: added to the raw density.
        bounds: what part of the scene the table's cube covers.
        neurons: functions of the encoding; None where it goes to the density network as it is.
    """

    table: Float[Tensor, "E F"]
    layout: GridLayout
    density: Sequence[Tensor]
    color: Sequence[Tensor]
    log_density: float
    bounds: Bounds
    neurons: Neurons | None = None


class Stretches(NamedTuple):
    """The stretch of each ray that is looked at; as :func:`~scenekit.kernels.march.march` takes it."""

    origins: Float[Tensor, "R 3"]
    directions: Float[Tensor, "R 3"]
    near: Float[Tensor, " R"]
    far: Float[Tensor, " R"]
    jitter: Float[Tensor, " R"]


class _Arguments(NamedTuple):
    """What the schema lists, in its order."""

    origins: Tensor
    directions: Tensor
    near: Tensor
    far: Tensor
    jitter: Tensor
    occupancy: Tensor
    rule: Tensor
    max_samples: int
    table: Tensor
    scales: Sequence[float]
    resolutions: Sequence[int]
    offsets: Sequence[int]
    simplices: bool
    neurons: Sequence[Tensor]
    kernel: str
    density: Sequence[Tensor]
    color: Sequence[Tensor]
    log_density: float
    extent: float
    contracted: bool
    shaded: bool
    packed: Tensor | None
    room: int | None

    @property
    def floats(self) -> list[Tensor]:
        """Every tensor that must be of one kind; the table may be of another."""
        return [*self[:5], *self.neurons, *self.density, *self.color]

    @property
    def harmonics(self) -> int:
        """Inputs of the colour network that depend on the direction."""
        return self.color[0].shape[1] - self.density[-1].shape[0]

    @property
    def degree(self) -> int:
        """Of the spherical harmonics; (degree + 1)^2 are ``harmonics`` if all is well."""
        return math.isqrt(max(0, self.harmonics)) - 1


def trace_hash_grid(
    rays: Stretches,
    occupancy: Bool[Tensor, "K G G G"] | Cells,
    rule: StepRule | Float[Tensor, " P"],
    max_samples: int,
    field: GridField,
    *,
    shaded: bool = True,
    room: int | None = None,
) -> Traced:
    """What each ray sees of ``field`` in the first ``max_samples`` occupied steps between near and far.

    Distances are in scene units; ``occupancy`` and ``rule`` as in ``march``. Unless ``shaded``, the
    colours are not asked for and stay black. With ``room``, rays behind others whose samples fill so many rows need not
    be followed: they may have ``room + 1`` samples, and no picture. Raises ValueError for
    shapes that do not fit together, TypeError where dtypes or devices differ, and RuntimeError where gradients
    are wanted: there are none.
    """
    layout, bounds, neurons, cells = field.layout, field.bounds, field.neurons, check_cells(occupancy)
    arguments = _Arguments(
        *rays,
        cells.occupied,
        packed_rule(rule, rays.origins),
        max_samples,
        field.table,
        layout.scales,
        layout.resolutions,
        layout.offsets,
        layout.simplices,
        [] if neurons is None else [neurons.centers, neurons.log_precisions],
        "" if neurons is None else neurons.kernel,
        list(field.density),
        list(field.color),
        field.log_density,
        bounds.field_extent,
        bounds.contracted,
        shaded,
        cells.packed,
        room,
    )
    if layout.dimensions != 3:
        raise ValueError(f"layout: wanted 3 dimensions, found {layout.dimensions}")
    _check_rays(arguments)
    _check_networks(arguments)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (*arguments.floats, arguments.table)):
        raise RuntimeError("trace_hash_grid has no gradients: call it under torch.no_grad(), or train without it")
    return Traced(*TRACE_HASH_GRID(*arguments))


def _check_rays(a: _Arguments) -> None:
    sizes: dict[str, int] = {}
    check_shape("origins", a.origins, ("R", 3), sizes)
    check_shape("directions", a.directions, ("R", 3), sizes)
    for name, tensor in (("near", a.near), ("far", a.far), ("jitter", a.jitter)):
        check_shape(name, tensor, ("R",), sizes)
    rest = {"near": a.near, "far": a.far, "jitter": a.jitter}
    check_same_kind("origins", a.origins, directions=a.directions, **rest)


def _check_networks(a: _Arguments) -> None:
    check_shape("table", a.table, (a.offsets[-1], "F"), {})
    if not a.table.is_floating_point() or a.table.device != a.origins.device:
        raise TypeError(f"table: wanted floats on {a.origins.device}, found {a.table.dtype} on {a.table.device}")
    if not a.density or not a.color:
        raise ValueError("density, color: wanted at least one matrix each, found none")
    width = _check_neurons(a)
    for name, weights in (("density", a.density), ("color", a.color)):
        for index, weight in enumerate(weights):
            wanted = "in" if name == "color" and index == 0 else width
            check_shape(f"{name}[{index}]", weight, ("out", wanted), {})
            check_same_kind("origins", a.origins, **{f"{name}[{index}]": weight})
            width = weight.shape[0]
    if width != 3:
        raise ValueError(f"color: wanted 3 outputs, found {width}")
    if not 0 <= a.degree <= MAX_DEGREE or (a.degree + 1) ** 2 != a.harmonics:
        raise ValueError(f"color[0]: wanted inputs for features and harmonics of degree 0 to 4, found {a.harmonics}")


def _check_neurons(a: _Arguments) -> int:
    """What the density network takes: as many as there are neurons, or features of the grid."""
    width = len(a.scales) * a.table.shape[1]
    if not a.neurons:
        return width
    sizes = {"F": width}
    for name, tensor in zip(("centers", "log_precisions"), a.neurons, strict=True):
        check_shape(name, tensor, ("K", "F"), sizes)
        check_same_kind("origins", a.origins, **{name: tensor})
    number_of(a.kernel)
    return sizes["K"]


def _reference(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The reference bodies of the single operators, one after the other, on every sample."""
    a = _Arguments(*arguments)
    dtype = torch.promote_types(a.origins.dtype, torch.float32)
    origins, directions, near, far, jitter = (x.to(dtype) for x in a[:5])
    rays = origins, directions, near, far
    steps = a.rule, a.max_samples, -1, None, None
    distances, deltas, offsets, *_ = MARCH.reference(*rays, a.occupancy, jitter, *steps)
    owners = torch.repeat_interleave(offsets.diff(), output_size=len(distances))
    positions = Bounds(a.extent, a.contracted).normalize(origins[owners] + directions[owners] * distances[:, None])
    grid = SIMPLEX_GRID if a.simplices else HASH_GRID
    encoded = grid.reference(positions, a.table.to(dtype), a.scales, a.resolutions, a.offsets)
    if a.neurons:
        encoded = rbf_neurons(encoded, *(x.to(dtype) for x in a.neurons), kernel=a.kernel)
    features = _network(encoded, a.density)
    density = (features[:, 0] + a.log_density).clamp(max=SATURATED).exp()
    alphas = -torch.expm1(-density * deltas)
    blank = alphas.new_zeros(len(alphas), 0)
    weights = COMPOSITE.reference(alphas, blank, distances, offsets)[3]
    basis = SPHERICAL_HARMONICS.reference(directions, a.degree)
    seen = (weights > INVISIBLE) & a.shaded
    colors = alphas.new_zeros(len(alphas), 3)
    colors[seen] = _network(torch.cat([features, basis[owners]], -1)[seen], a.color).sigmoid()
    color, opacity, distance, _ = COMPOSITE.reference(alphas, colors, distances, offsets)
    lit = light_before(alphas, offsets) >= STOP
    samples = offsets.new_zeros(len(near)).index_add(0, owners, lit.long())
    return color.to(a.near.dtype), opacity.to(a.near.dtype), distance.to(a.near.dtype), samples


def _network(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    widths = [inputs.shape[1], *(weight.shape[0] for weight in weights)]
    return MLP.reference(inputs, torch.cat([weight.flatten() for weight in weights]).to(inputs.dtype), widths)


def _is_native(a: _Arguments) -> bool:
    widths = [size for weight in (*a.density, *a.color) for size in weight.shape]
    return native.serves(*a.floats, a.table, a.rule) and min(widths) > 0 and a.table.numel() < 2**31


def _cpu(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a = _Arguments(*arguments)
    if not _is_native(a):
        return _reference(*arguments)
    rays = [x.contiguous() for x in a[:5]]
    (cascades, grid), count = a.occupancy.shape[:2], len(a.near)
    rule = a.rule.contiguous()
    networks = [torch.cat([weight.flatten() for weight in weights]) for weights in (a.density, a.color)]
    widths = [torch.tensor([w[0].shape[1], *(x.shape[0] for x in w)]) for w in (a.density, a.color)]
    layers = len(a.density), len(a.color)
    numbers = (a.max_samples, cascades, grid, len(rule) - CONSTANTS, a.table.shape[1], len(a.scales), *layers, a.degree)
    kernel = number_of(a.kernel) if a.neurons else 0
    sizes = torch.tensor([*numbers, int(a.contracted), int(a.shaded), int(a.simplices), kernel])
    space = torch.tensor([a.log_density, a.extent], dtype=torch.float32)
    layout = packed_layout(tuple(a.scales), tuple(a.resolutions), tuple(a.offsets))
    color, samples = a.near.new_empty(count, 3), torch.empty(count, dtype=torch.int64)
    opacity, distance = (a.near.new_empty(count) for _ in range(2))
    march = (packed_or_now(a.occupancy, a.packed), rule[:CONSTANTS], rule[CONSTANTS:], sizes, space)
    neurons = scaled(a.neurons[0].contiguous(), a.neurons[1].contiguous()) if a.neurons else (None, None)
    field = (a.table.contiguous(), *layout, *neurons, networks[0], widths[0], networks[1], widths[1])
    native.call("trace_hash_grid", *rays, count, *march, *field, color, opacity, distance, samples)
    return color, opacity, distance, samples


def _cuda(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a = _Arguments(*arguments)
    layout, numbers = (a.scales, a.resolutions, a.offsets), (a.log_density, 0.5 / a.extent, a.contracted, a.shaded)
    shape = gpu.Shape.of(a.table, len(a.scales), a.simplices, a.kernel, a.density, a.color)
    if not shape.fits or any(x.dtype != torch.float32 for x in (*a.floats, a.rule)):
        return _reference(*arguments)
    neurons = scaled(*a.neurons) if a.neurons else ()
    field = gpu.Field(shape, a.table, layout, neurons, [*a.density, *a.color], numbers)
    exact = torch.get_float32_matmul_precision() == "highest"
    cells = PackedCells(packed_or_now(a.occupancy, a.packed), *a.occupancy.shape[:2])
    return gpu.trace(a[:5], cells, a.rule, a.max_samples, field, exact=exact, room=a.room)


def _fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    near = _Arguments(*arguments).near
    rays = near.shape[0]
    color, samples = near.new_empty(rays, 3), near.new_empty(rays, dtype=torch.int64)
    return color, near.new_empty(rays), near.new_empty(rays), samples


TRACE_HASH_GRID = register(
    "trace_hash_grid(Tensor origins, Tensor directions, Tensor near, Tensor far, Tensor jitter, Tensor occupancy, "
    "Tensor rule, int max_samples, Tensor table, float[] scales, int[] resolutions, int[] offsets, "
    "bool simplices, Tensor[] neurons, str kernel, Tensor[] density, Tensor[] color, float log_density, float extent, "
    "bool contracted, bool shaded, Tensor? packed, int? room) "
    "-> (Tensor colors, Tensor opacities, Tensor distances, Tensor samples)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=_cuda,
    cuda_dtypes=ENTRIES,
)
