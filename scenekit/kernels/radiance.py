"""What most fields do after their encoding, in one pass: density and colour by two small networks, in training.

The density network gives features, the first of which is the raw density; the colour network takes all of them and the
spherical harmonics of the viewing direction. On a GPU's tensor cores, where torch's switch allows them
(:mod:`scenekit.kernels.mlp`), nothing between encodings and results is ever written to memory: the backward pass finds
all of it again. Elsewhere the operators that it is made of serve, one after the other, and what the colour network took
is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels.adapters import adapted
from scenekit.kernels.gpu import launch, mlp_half
from scenekit.kernels.gpu import radiance as gpu
from scenekit.kernels.mlp import MLP, MLP_BACKWARD, as_stands
from scenekit.kernels.op import below_autograd, once_differentiable, reference_gradients, register
from scenekit.kernels.spherical_harmonics import SPHERICAL_HARMONICS, SPHERICAL_HARMONICS_BACKWARD, check_degree
from scenekit.kernels.truncated_exp import density_of, density_slope, truncated_exp


class _Arguments(NamedTuple):
    """What the schema lists, in its order."""

    encoded: Tensor
    directions: Tensor
    density_weights: Tensor
    color_weights: Tensor
    density_widths: Sequence[int]
    color_widths: Sequence[int]
    degree: int
    log_density: float

    @property
    def inputs(self) -> gpu.Inputs:
        """All tensors."""
        return gpu.Inputs(*self[:4])

    @property
    def shape(self) -> gpu.Shape:
        """Of both networks."""
        return gpu.Shape(tuple(self.density_widths), tuple(self.color_widths), self.degree)


class _Results(NamedTuple):
    """What the op returns; ``taken`` is what the colour network took, empty where the backward pass finds it again."""

    densities: Tensor
    colors: Tensor
    taken: Tensor


def radiance(
    encoded: Float[Tensor, "S E"],
    directions: Float[Tensor, "S 3"],
    density: Sequence[Float[Tensor, "_out _in"]],
    color: Sequence[Float[Tensor, "_out _in"]],
    degree: int,
    log_density: float,
) -> tuple[Float[Tensor, " S"], Float[Tensor, "S 3"]]:
    """Density and colour of samples seen along unit ``directions``; gradients to all tensors.

    ``density`` are the weights from encodings to features; ``exp(feature_0 + log_density)`` is the density
    (:func:`~scenekit.kernels.truncated_exp.truncated_exp`). ``color`` are those from features and harmonics up to
    ``degree`` to 3 raw colours, of which the sigmoid is taken. Networks are as in :func:`~scenekit.kernels.mlp.mlp`,
    encodings may stand by feature. Raises ValueError for shapes that do not chain or a degree outside 0 to 4, TypeError
    where dtypes or devices differ.
    """
    check_degree(degree)
    sizes: dict[str, int] = {}
    check_shape("encoded", encoded, ("S", "E"), sizes)
    check_shape("directions", directions, ("S", 3), sizes)
    density_widths = _widths("density", density, sizes["E"])
    color_widths = _widths("color", color, density_widths[-1] + (degree + 1) ** 2)
    if color_widths[-1] != 3:
        raise ValueError(f"color: wanted 3 outputs, found {color_widths[-1]}")
    named = {f"{name}[{i}]": w for name, of in (("density", density), ("color", color)) for i, w in enumerate(of)}
    check_same_kind("encoded", encoded, directions=directions, **named)
    flat = [torch.cat([weight.flatten() for weight in weights]) for weights in (density, color)]
    found = RADIANCE(encoded, directions, *flat, density_widths, color_widths, degree, log_density)
    return found[0], found[1]


def _widths(name: str, weights: Sequence[Tensor], inputs: int) -> list[int]:
    if not weights:
        raise ValueError(f"{name}: wanted at least one matrix, found none")
    widths = [inputs]
    for index, weight in enumerate(weights):
        check_shape(f"{name}[{index}]", weight, ("out", widths[-1]), {})
        widths.append(weight.shape[0])
    return widths


def _reference(*arguments: Any) -> _Results:
    """The reference bodies of the single operators, one after the other."""
    a = _Arguments(*arguments)
    features = MLP.reference(a.encoded, a.density_weights, a.density_widths)
    taken = torch.cat([features, SPHERICAL_HARMONICS.reference(a.directions, a.degree)], -1)
    colors = MLP.reference(taken, a.color_weights, a.color_widths).sigmoid()
    return _Results(truncated_exp(features[:, 0] + a.log_density), colors, taken.detach())


def _composed(*arguments: Any) -> _Results:
    """The single operators, whatever bodies they have."""
    a = _Arguments(*arguments)
    features = MLP(a.encoded, a.density_weights, a.density_widths)
    taken = torch.cat([features, SPHERICAL_HARMONICS(a.directions, a.degree)], -1)
    colors = MLP(taken, a.color_weights, a.color_widths).sigmoid_()
    return _Results(density_of(features[:, 0] + a.log_density), colors, taken)


def _cuda(*arguments: Any) -> _Results:
    a = _Arguments(*arguments)
    if not _in_one_pass(a):
        return _composed(*arguments)
    densities, colors = gpu.forward(a.inputs, a.shape, a.log_density)
    return _Results(densities, colors, a.encoded.new_empty(0, a.color_widths[0]))


def _in_one_pass(a: _Arguments) -> bool:
    """Whether operands may be rounded to half precision, the layers fit, and nobody asked for other networks."""
    return mlp_half.allowed() and "mlp" not in adapted() and gpu.takes(a.shape, a.encoded.device)


def _fake(*arguments: Any) -> _Results:
    a, rows = _Arguments(*arguments), arguments[0].shape[0]
    served = a.encoded.is_cuda and launch.available() and all(x.dtype == torch.float32 for x in a.inputs)
    kept = 0 if served and _in_one_pass(a) else rows
    new = a.encoded.new_empty
    return _Results(new(rows), new(rows, 3), new(kept, a.color_widths[0]))


class _Back(NamedTuple):
    """What the schema of the backward op lists, in its order, but for the other op's arguments, which are one here."""

    for_densities: Tensor
    for_colors: Tensor
    densities: Tensor
    colors: Tensor
    taken: Tensor
    forward: _Arguments
    wanted: Sequence[bool]

    @classmethod
    def of(cls, *arguments: Any) -> _Back:
        """Of all that the schema lists."""
        *given, wanted = arguments
        for_densities, for_colors, densities, colors, taken, *rest = given
        return cls(for_densities, for_colors, densities, colors, taken, _Arguments(*rest), wanted)


def _backward_reference(*arguments: Any) -> gpu.Gradients:
    back = _Back.of(*arguments)
    a, cotangents = back.forward, (back.for_densities, back.for_colors)
    which = [i for i, want in enumerate((*back.wanted, True, True)) if want]
    found = dict(zip(which, reference_gradients(_reference, a, which, cotangents), strict=True))
    for_encoded = as_stands(a.encoded, found[0]) if 0 in found else a.encoded.new_empty(0)
    return gpu.Gradients(for_encoded, found.get(1, a.directions.new_empty(0)), found[2], found[3])


def _backward_composed(*arguments: Any) -> gpu.Gradients:
    back = _Back.of(*arguments)
    a, features = back.forward, back.forward.density_widths[-1]
    raw = torch.ops.aten.sigmoid_backward(back.for_colors, back.colors)
    for_taken, for_color_weights = MLP_BACKWARD(raw, back.taken, a.color_weights, a.color_widths, True)
    for_features = for_taken[:, :features].contiguous()
    for_features[:, 0] += back.for_densities * density_slope(back.densities)
    to_encoded, to_directions = back.wanted
    found = MLP_BACKWARD(for_features, a.encoded, a.density_weights, a.density_widths, to_encoded)
    for_directions = (
        SPHERICAL_HARMONICS_BACKWARD(for_taken[:, features:], a.directions, a.degree)
        if to_directions
        else a.directions.new_empty(0)
    )
    return gpu.Gradients(found[0], for_directions, found[1], for_color_weights)


def _backward_cuda(*arguments: Any) -> gpu.Gradients:
    back = _Back.of(*arguments)
    if len(back.taken) == len(back.forward.encoded):
        return _backward_composed(*arguments)
    gradients, results = (back.for_densities, back.for_colors), (back.densities, back.colors)
    return gpu.backward(gradients, results, back.forward.inputs, back.forward.shape, back.wanted)


def _backward_fake(*arguments: Any) -> gpu.Gradients:
    back = _Back.of(*arguments)
    inputs = back.forward.inputs
    for_encoded = as_stands(inputs.encoded, inputs.encoded.new_empty(inputs.encoded.shape))
    new = inputs.directions.new_empty
    return gpu.Gradients(
        for_encoded if back.wanted[0] else new(0),
        new(inputs.directions.shape) if back.wanted[1] else new(0),
        *(new(x.shape) for x in inputs[2:]),
    )


class _Radiance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        found = below_autograd("radiance", *arguments)
        ctx.save_for_backward(*found, *arguments[:4])
        ctx.rest = arguments[4:]
        ctx.mark_non_differentiable(found[2])
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        saved, wanted = ctx.saved_tensors, ctx.needs_input_grad[:2]
        given = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients[:2], saved[:2], strict=True)]
        found = torch.ops.scenekit.radiance_backward(*given, *saved, *ctx.rest, wanted)
        return (*(x if want else None for x, want in zip(found[:2], wanted, strict=True)), *found[2:], *[None] * 4)


_INPUTS = (
    "Tensor encoded, Tensor directions, Tensor density_weights, Tensor color_weights, "
    "int[] density_widths, int[] color_widths, int degree, float log_density"
)
RADIANCE = register(
    f"radiance({_INPUTS}) -> (Tensor densities, Tensor colors, Tensor taken)",
    _reference,
    fake=_fake,
    cpu=_composed,
    cuda=_cuda,
    autograd=_Radiance,
)
RADIANCE_BACKWARD = register(
    f"radiance_backward(Tensor for_densities, Tensor for_colors, Tensor densities, Tensor colors, Tensor taken, "
    f"{_INPUTS}, bool[2] wanted) "
    "-> (Tensor for_encoded, Tensor for_directions, Tensor for_density_weights, Tensor for_color_weights)",
    _backward_reference,
    fake=_backward_fake,
    cpu=_backward_composed,
    cuda=_backward_cuda,
)
