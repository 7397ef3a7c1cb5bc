"""How far rendered pixels are from photographed ones, both over one background: Huber, squared error, gradients.

With ``e`` the difference between ``color + (1 - opacity) * behind`` and the photograph, which is over ``behind`` too
where it has an alpha, the loss is twice the mean of ``e^2 / 2`` where ``|e| < delta``, else of
``delta (|e| - delta / 2)``: Huber's, scaled so that its quadratic part is the squared error (instant-ngp).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels.gpu import pixel_loss as gpu
from scenekit.kernels.op import below_autograd, once_differentiable, register


class PixelLoss(NamedTuple):
    """What was found of R pixels.

    Attributes:
        huber: the loss; pixels that are not judged count as if they were met. One that is seen as NaN or infinity makes
            it NaN, judged or not: the fault is the scene's, and its gradients are spoilt wherever it is looked at.
        squared: mean squared error over the channels of those that are.
        served: share of the pixels that had room.
    """

    huber: Float[Tensor, ""]
    squared: Float[Tensor, ""]
    served: Float[Tensor, ""]


def pixel_loss(
    colors: Float[Tensor, "R 3"],
    opacities: Float[Tensor, " R"],
    behind: Float[Tensor, "*r 3"],
    photographed: Float[Tensor, "R c"],
    valid: Bool[Tensor, " R"] | None = None,
    left_out: Bool[Tensor, " R"] | None = None,
    *,
    delta: float = 0.1,
) -> PixelLoss:
    """Compare premultiplied ``colors`` with photographs of three channels, or four of which the last is straight alpha.

    ``behind`` is one colour or one a pixel. Judged are pixels that are ``valid`` and not ``left_out``; all where None.
    The loss is differentiable in colours, opacities and what is behind, the photograph's own background apart. Raises
    ValueError for a wrong shape or type, TypeError where dtypes or devices differ.
    """
    sizes: dict[str, int] = {}
    check_shape("colors", colors, ("R", 3), sizes)
    check_shape("opacities", opacities, ("R",), sizes)
    check_shape("behind", behind, (3,) if behind.dim() == 1 else ("R", 3), sizes)
    check_shape("photographed", photographed, ("R", "c"), sizes)
    if sizes["c"] not in (3, 4):
        raise ValueError(f"photographed: wanted 3 or 4 channels, found {sizes['c']}")
    check_same_kind("colors", colors, opacities=opacities, behind=behind, photographed=photographed)
    for name, mask in (("valid", valid), ("left_out", left_out)):
        if mask is not None:
            check_shape(name, mask, ("R",), sizes)
            if mask.dtype != torch.bool:
                raise ValueError(f"{name}: wanted bool, found {mask.dtype}")
    return PixelLoss(*PIXEL_LOSS(colors, opacities, behind, photographed, valid, left_out, delta))


def _judged(pixels: gpu.Pixels) -> Tensor | None:
    """[R 1]; None for all."""
    served = None if pixels.left_out is None else ~pixels.left_out
    both = served if pixels.valid is None else pixels.valid if served is None else pixels.valid & served
    return None if both is None else both[:, None]


def _compared(pixels: gpu.Pixels) -> tuple[Tensor, Tensor]:
    """What is seen, and what should be [R 3]: where nothing is judged that is the same."""
    seen = pixels.colors + (1 - pixels.opacities)[:, None] * pixels.behind
    target = pixels.photographed[:, :3]
    if pixels.photographed.shape[1] == 4:
        alpha = pixels.photographed[:, 3:]
        target = target * alpha + (1 - alpha) * pixels.behind
    judged = _judged(pixels)
    return seen, target if judged is None else torch.where(judged, target, seen)


def _reference(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    pixels, delta = gpu.Pixels(*arguments[:6]), arguments[6]
    seen, target = _compared(pixels)
    target, judged = target.detach(), _judged(pixels)
    if not len(seen):
        return 0 * seen.sum(), seen.new_zeros(()), seen.new_ones(())
    huber = 2 * torch.nn.functional.huber_loss(seen, target, delta=delta)
    error = (seen.detach() - target).square()
    squared = error.mean() if judged is None else error.sum() / (3 * judged.sum()).clamp(min=1)
    served = error.new_ones(()) if pixels.left_out is None else (~pixels.left_out).to(error.dtype).mean()
    return huber, squared, served


def _backward_reference(for_huber: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    pixels, (delta, wanted) = gpu.Pixels(*arguments[:6]), arguments[6:]
    seen, target = _compared(pixels)
    each = torch.ops.aten.huber_loss_backward(2 * for_huber, seen, target, 1, delta)
    for_behind = pixels.behind.new_empty(0)
    if wanted:
        for_behind = each * (1 - pixels.opacities)[:, None]
        for_behind = for_behind if pixels.behind.dim() > 1 else for_behind.sum(0)
    return each, -(each * pixels.behind).sum(-1), for_behind


def _cuda(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    return gpu.forward(gpu.Pixels(*arguments[:6]), arguments[6])


def _backward_cuda(for_huber: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    return gpu.backward(for_huber, gpu.Pixels(*arguments[:6]), arguments[6], wanted=arguments[7])


class _PixelLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(*arguments[:-1])
        ctx.delta = arguments[-1]
        found = below_autograd("pixel_loss", *arguments)
        ctx.mark_non_differentiable(*found[1:])
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if gradients[0] is None:
            return (None,) * 7
        wanted = ctx.needs_input_grad[2]
        arguments = (gradients[0], *ctx.saved_tensors, ctx.delta, wanted)
        for_colors, for_opacities, for_behind = torch.ops.scenekit.pixel_loss_backward(*arguments)
        return for_colors, for_opacities, for_behind if wanted else None, None, None, None, None


def _fake(colors: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return colors.new_empty(()), colors.new_empty(()), colors.new_empty(())


def _backward_fake(for_huber: Tensor, colors: Tensor, opacities: Tensor, behind: Tensor, *rest: Any) -> Any:
    new = colors.new_empty
    return new(colors.shape), new(opacities.shape), new(behind.shape if rest[-1] else 0)


_PIXELS = "Tensor colors, Tensor opacities, Tensor behind, Tensor photographed, Tensor? valid, Tensor? left_out"
PIXEL_LOSS = register(
    f"pixel_loss({_PIXELS}, float delta) -> (Tensor huber, Tensor squared, Tensor served)",
    _reference,
    fake=_fake,
    cuda=_cuda,
    autograd=_PixelLoss,
)
PIXEL_LOSS_BACKWARD = register(
    f"pixel_loss_backward(Tensor for_huber, {_PIXELS}, float delta, bool wanted) "
    "-> (Tensor for_colors, Tensor for_opacities, Tensor for_behind)",
    _backward_reference,
    fake=_backward_fake,
    cuda=_backward_cuda,
)
