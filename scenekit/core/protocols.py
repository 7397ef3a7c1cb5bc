"""The contracts between the stages. Nothing inherits from these; a class serves by having the methods.

The trainer, the evaluation, the converter and the viewer know :class:`Renderer` alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.context import EVAL, Context
from scenekit.core.rays import Samples
from scenekit.core.rows import Dealt

Batching = Literal["pixels", "images"]


@dataclass(frozen=True)
class Rendering:
    """A picture, or some pixels of one, WITHOUT its background.

    Attributes:
        color: sRGB multiplied by opacity.
        opacity: in [0, 1].
        depth: expected depth along the camera's z, divided by opacity; 0 where nothing is.
        normals: unit normals in scene, multiplied by opacity.
        terms: auxiliary losses, already weighted, by name.
        trace: intermediates by name: ``samples`` (count) from volumes, in training also ``weights``,
            ``deltas``, ``distances`` and ``offsets``, and ``left_out`` where rays may have no room; ``rows`` (gradient
            retained), ``visible``, ``sizes`` and ``splats`` (count) from splats. Counts may be tensors: who reads one
            waits for the GPU.
    """

    color: Float[Tensor, "*b 3"]
    opacity: Float[Tensor, "*b"]
    depth: Float[Tensor, "*b"] | None = None
    normals: Float[Tensor, "*b 3"] | None = None
    terms: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    trace: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn alike.

    Attributes:
        name: unique within a renderer.
        parameters: by name.
        learning_rate: as a function of progress in [0, 1].
        betas, eps, weight_decay: of Adam.
        orthogonal: matrices that learn by Muon instead: the learning rate is the spectral norm of a step, and the first
            of ``betas`` the momentum; nothing decays.
        decays: rows and weight decay of each part of the parameters, one part after another, in place of one decay.
        sparse: entries whose gradient is exactly zero are left alone, moments included.
        rows: the first dimension counts primitives, and a :class:`Change` applies to it.
    """

    name: str
    parameters: Mapping[str, torch.nn.Parameter]
    learning_rate: Callable[[float], float]
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-15
    weight_decay: float = 0.0
    decays: Sequence[tuple[int, float]] = ()
    orthogonal: bool = False
    sparse: bool = False
    rows: bool = False

    def rate(self, progress: float, batches: int) -> float:
        """The learning rate of a step that sees so many batches at once of those that it is for.

        As many steps of one batch would go ``batches`` times as far where gradients agree, and the root of that where
        they are noise.
        """
        return self.learning_rate(progress) * math.sqrt(batches)


@runtime_checkable
class Renderer(Protocol):
    """A scene that can be photographed.

    ``batching`` is the unit that training feeds it with: single pixels of many images, or whole images.
    With ``pixels`` the result has leading shape [R]; without, [C H W], and all sizes must agree.
    """

    batching: ClassVar[Batching]

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context = EVAL) -> Rendering:
        """Photograph from ``cameras`` in ``scene``, without a background."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All tensors that make it what it is, by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor], /) -> object:
        """Take what :meth:`state_dict` gave."""
        ...


@runtime_checkable
class Recordable(Protocol):
    """What a :class:`Renderer` may also be: one whose training passes may be recorded once and replayed on a GPU.

    Two passes over cameras and pixels of the same shapes whose ``stage`` is the same do the same to other numbers,
    and read nothing back from the device.
    """

    def stage(self, context: Context) -> Hashable:
        """Whatever in a training pass hangs on progress or on what was learnt of earlier frames.

        None where the next pass cannot be recorded.
        """
        ...

    def note(self, rendering: Rendering) -> None:
        """Learn from a pass, without waiting for the device."""
        ...


@runtime_checkable
class Medium(Protocol):
    """What answers at points: how dense is it here, and what colour from there?"""

    def density(self, samples: Samples) -> tuple[Float[Tensor, " S"], Float[Tensor, "S F"]]:
        """Extinction per unit of length in ``scene``, and features for :meth:`color`."""
        ...

    def color(self, features: Float[Tensor, "S F"], samples: Samples) -> Float[Tensor, "S 3"]:
        """Colours in [0, 1] of samples whose features :meth:`density` gave."""
        ...


@runtime_checkable
class Field(Medium, Protocol):
    """A :class:`Medium` with bounds that learns; ``alpha(samples) -> (alpha, features, terms)`` may serve surfaces."""

    bounds: Bounds

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...


@runtime_checkable
class Encoding(Protocol):
    """Learnt features of points in the unit cube: what networks of fields and of other signals stand on.

    Attributes:
        dimensions: of the points.
        features: how many a point has.
    """

    dimensions: int
    features: int

    def __call__(self, positions: Float[Tensor, "S D"]) -> Float[Tensor, "S F"]:
        """Features of positions in [0, 1]^D; gradients to parameters and positions."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...


@runtime_checkable
class Adaptive(Protocol):
    """What an :class:`Encoding` may also be: one whose parts are put where the signal has detail, before training."""

    def adapt(
        self, points: Float[Tensor, "M D"], weights: Float[Tensor, " M"], generator: torch.Generator | None = None
    ) -> None:
        """Move the parts to ``points`` in [0, 1]^D, the more of them the larger ``weights`` >= 0 are.

        Weights say where detail is: the gradient of an image, the inverse distance to a surface, density. What was
        learnt is lost. Raises ValueError where no weight is positive.
        """
        ...


@dataclass(frozen=True)
class Splats:
    """N Gaussians as a rasterizer takes them: frozen, activated.

    Attributes:
        means: centres.
        quaternions: wxyz, any length but zero.
        scales: standard deviations along the axes.
        opacities: in [0, 1].
        harmonics_dc, harmonics_rest: spherical-harmonic coefficients of the colour, the constant one and the others:
            apart, as they are learnt, so that no step joins them. K is (d + 1)^2 - 1 for a degree d.
        degree: the highest degree in use; the coefficients beyond it are ignored.
        terms: auxiliary losses of the primitives themselves, already weighted; training alone fills them.
        dealt: who has which of all, where several processes hold some each; None where these are all.
    """

    means: Float[Tensor, "N 3"]
    quaternions: Float[Tensor, "N 4"]
    scales: Float[Tensor, "N 3"]
    opacities: Float[Tensor, " N"]
    harmonics_dc: Float[Tensor, "N 1 3"]
    harmonics_rest: Float[Tensor, "N K 3"]
    degree: int
    terms: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    dealt: Dealt | None = None


@runtime_checkable
class Primitives(Protocol):
    """A scene made of splats, fixed or computed per camera and time."""

    def splats(self, cameras: Cameras, context: Context) -> Splats:
        """The splats that ``cameras`` see."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...


@runtime_checkable
class Staged(Protocol):
    """What :class:`Primitives` or a :class:`Field` may also be: one that does something else as training goes on."""

    def stage(self, context: Context) -> Hashable:
        """Whatever in a training pass hangs on progress."""
        ...


@dataclass(frozen=True)
class Change:
    """What densification did to the rows of every ``rows`` group.

    Attributes:
        sources: for each new row, the old row it continues.
        fresh: rows whose optimizer moments begin at zero.
        values: new values by parameter name, for all new rows; the others copy their source.
        forget: names of parameters all of whose moments begin at zero.
        replaced: parameters of any group, by name, that continue with other values of any shape and with moments
            of zero: finer grids, cropped planes. Their rows are not counted.
    """

    sources: Int[Tensor, " M"]
    fresh: Bool[Tensor, " M"]
    values: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    forget: frozenset[str] = frozenset()
    replaced: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    @classmethod
    def replacing(cls, values: Mapping[str, Tensor]) -> Change:
        """No rows move; these parameters continue with other values of any shape."""
        return cls(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.bool), replaced=values)


@runtime_checkable
class Controller(Protocol):
    """Acts between steps: densification, the occupancy grid, schedules that are more than a number."""

    def before_render(self, context: Context) -> None:
        """Called first in every step."""
        ...

    def after_backward(self, rendering: Rendering, context: Context) -> Change | None:
        """Called when gradients stand; the optimizer applies the change to parameters and moments."""
        ...

    def after_step(self, context: Context) -> None:
        """Called when the optimizer has moved the parameters."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs: tensors and plain values."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object:
        """Take what :meth:`state_dict` gave."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """What a :class:`Field` may also be: one that changes its own shape while it is trained (finer grids)."""

    def controllers(self) -> list[Controller]:
        """Run before the family's own, in every training of the field."""
        ...


@dataclass(frozen=True)
class Batch:
    """What a step looks at: cameras, the pixels asked for (None: all of them), and what was photographed there.

    Attributes:
        cameras: in ``scene``; ``view_ids`` number the capture's photographs.
        pixels: None for whole images.
        target: colours in [0, 1]; with a fourth channel, straight alpha.
        valid: where the photograph may be believed; None for everywhere.
        depth: measured depth along z in scene units, 0 where nothing was measured.
        normals: measured unit normals in ``scene``, 0 where nothing was measured.
        triples: pixels come in threes, a pixel and its neighbours to the right and below.
        around: the cameras that the processes look through, as many of each, by rank; None where nobody need know.
    """

    cameras: Cameras
    pixels: Pixels | None
    target: Float[Tensor, "*b c"]
    valid: Bool[Tensor, "*b"] | None = None
    depth: Float[Tensor, "*b"] | None = None
    normals: Float[Tensor, "*b 3"] | None = None
    triples: bool = False
    around: Cameras | None = None


@runtime_checkable
class Regularized(Protocol):
    """What a :class:`Field` or an :class:`Encoding` may also be: one with losses on its own parameters."""

    def terms(self, context: Context) -> Mapping[str, Float[Tensor, ""]]:
        """Weighted losses by name; asked for once a training step."""
        ...


@runtime_checkable
class Correction(Protocol):
    """What makes photographs imperfect: poses, intrinsics, exposure, depth and normal priors.

    ``recordable`` says that it reads nothing back from a device, so that steps with it may be recorded.
    """

    recordable: ClassVar[bool]

    def cameras(self, cameras: Cameras) -> Cameras:
        """The cameras as they really stood."""
        ...

    def rendering(self, rendering: Rendering, batch: Batch) -> Rendering:
        """The rendering as the batch's cameras would have recorded it.

        It has its background where the photographs are opaque; photographs with alpha show the scene alone.
        """
        ...

    def loss(self, rendering: Rendering, batch: Batch) -> Mapping[str, Tensor]:
        """Further losses by name, already weighted."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs: tensors and plain values."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object:
        """Take what :meth:`state_dict` gave."""
        ...


@runtime_checkable
class Background(Protocol):
    """What is seen where the scene is transparent; composited by training and by ``Scene``, never by a renderer."""

    def colors(self, cameras: Cameras, pixels: Pixels | None, context: Context) -> Tensor:
        """Colours that broadcast against ``Rendering.color`` of the same cameras and pixels."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]:
        """What learns, and how."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All tensors that make it what it is, by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor], /) -> object:
        """Take what :meth:`state_dict` gave."""
        ...


def over_background(rendering: Rendering, colors: Tensor) -> Rendering:
    """The rendering with its background: ``color + (1 - opacity) * background``."""
    return replace(rendering, color=rendering.color + (1 - rendering.opacity)[..., None] * colors)
