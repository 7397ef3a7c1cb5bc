"""Structural similarity of two images, pixel by pixel (Wang et al. 2004, eq. 13), and the loss that splats learn by.

The window is an 11x11 Gaussian of sigma 1.5; k1 = 0.01, k2 = 0.03, for values in [0, 1]; channels apart.
Pixels beyond the border count as 0 in both images, as in 3D Gaussian Splatting. Within 5 pixels of the
border the map therefore differs from one that takes only whole windows; inside it is the same, so that
cropping 5 pixels on every side leaves exactly the map of whole windows.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import ssim as gpu
from scenekit.kernels.op import below_autograd, once_differentiable, reference_gradients, register

RADIUS = 5
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
MOST_CHANNELS = 4  # of images that the loss takes


def ssim(image: Float[Tensor, "H W C"], target: Float[Tensor, "H W C"]) -> Float[Tensor, "H W C"]:
    """The index of every pixel and channel, at most 1; gradient to ``image`` alone.

    Raises ValueError where shapes differ, TypeError where dtypes or devices do.
    """
    sizes: dict[str, int] = {}
    check_shape("image", image, ("H", "W", "C"), sizes)
    check_shape("target", target, ("H", "W", "C"), sizes)
    check_same_kind("image", image, target=target)
    return SSIM(image, target)


def l1_dssim(
    images: Float[Tensor, "N H W C"], targets: Float[Tensor, "N H W C"], weight: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """``(1 - weight) * L1`` and ``weight * (1 - SSIM)``, means over all images (3D Gaussian Splatting, eq. 7).

    One pass over the images, and one back, which no map is written for but the three that the window blurs. Gradient
    to ``images`` alone; C is 1 to 4; of no pixels both are 0. Raises ValueError where shapes differ, TypeError where
    dtypes or devices do.
    """
    sizes: dict[str, int] = {}
    check_shape("images", images, ("N", "H", "W", "C"), sizes)
    check_shape("targets", targets, ("N", "H", "W", "C"), sizes)
    check_same_kind("images", images, targets=targets)
    if not 1 <= sizes["C"] <= MOST_CHANNELS:
        raise ValueError(f"images: wanted 1 to {MOST_CHANNELS} channels, found {sizes['C']}")
    wanted = torch.is_grad_enabled() and images.requires_grad
    l1, dssim, _ = L1_DSSIM(images, targets, weight, wanted)
    return l1, dssim


def _blurred(images: Tensor) -> Tensor:
    """Of [N H W C]."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=images.dtype, device=images.device)
    taps = torch.exp(-offsets.square() / (2 * SIGMA**2))
    taps = taps / taps.sum()
    planes = images.permute(0, 3, 1, 2).flatten(0, 1)[:, None]
    planes = torch.nn.functional.conv2d(planes, taps[None, None, :, None], padding=(RADIUS, 0))
    planes = torch.nn.functional.conv2d(planes, taps[None, None, None, :], padding=(0, RADIUS))
    return planes.squeeze(1).unflatten(0, (-1, images.shape[3])).permute(0, 2, 3, 1)


def _parts(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Blurred images, and the four of which the index is ``a1 a2 / (b1 b2)``."""
    mx, my, mxx, myy, mxy = _blurred(torch.cat([x, y, x * x, y * y, x * y])).unflatten(0, (5, -1))
    a1, a2 = 2 * mx * my + C1, 2 * (mxy - mx * my) + C2
    return mx, my, a1, a2, mx * mx + my * my + C1, mxx - mx * mx + myy - my * my + C2


def _wide(*images: Tensor) -> tuple[Tensor, ...]:
    wide = torch.promote_types(images[0].dtype, torch.float32)
    return tuple(image.to(wide) for image in images)


def _reference(image: Tensor, target: Tensor) -> Tensor:
    if image.numel() == 0:
        return image * target
    _, _, a1, a2, b1, b2 = _parts(*_wide(image[None], target[None]))
    return (a1 * a2 / (b1 * b2))[0].to(image.dtype).contiguous()


def _backward_reference(gradient: Tensor, image: Tensor, target: Tensor) -> Tensor:
    return reference_gradients(_reference, (image, target), (0,), (gradient,))[0].contiguous()


def _cpu(image: Tensor, target: Tensor) -> Tensor:
    if not native.serves(image, target):
        return _reference(image, target)
    image, target = image.contiguous(), target.contiguous()
    result = torch.empty_like(image)
    native.call("ssim", image, target, *image.shape, result)
    return result


def _backward_cpu(gradient: Tensor, image: Tensor, target: Tensor) -> Tensor:
    if not native.serves(gradient, image, target):
        return _backward_reference(gradient, image, target)
    gradient, image, target = gradient.contiguous(), image.contiguous(), target.contiguous()
    result = torch.empty_like(image)
    native.call("ssim_backward", gradient, image, target, *image.shape, result)
    return result


class _Ssim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Tensor) -> Tensor:
        ctx.save_for_backward(image, target)
        return below_autograd("ssim", image, target)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_target(ctx.needs_input_grad[1])
        return torch.ops.scenekit.ssim_backward(*gradients, *ctx.saved_tensors), None


def _refuse_target(wanted: bool) -> None:
    if wanted:
        raise NotImplementedError("ssim: the target has no gradient; swap the two, the index is symmetric")


SSIM = register(
    "ssim(Tensor image, Tensor target) -> Tensor",
    _reference,
    fake=lambda image, target: image.new_empty(image.shape),
    cpu=_cpu,
    cuda=gpu.forward,
    autograd=_Ssim,
)
SSIM_BACKWARD = register(
    "ssim_backward(Tensor gradient, Tensor image, Tensor target) -> Tensor",
    _backward_reference,
    fake=lambda gradient, image, target: image.new_empty(image.shape),
    cpu=_backward_cpu,
    cuda=gpu.backward,
)


def _loss_reference(images: Tensor, targets: Tensor, weight: float, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Both terms; the derivatives of each index by blurred x, x^2 and x y, [3 N H W C], where they are ``wanted``."""
    shape = (3, *images.shape) if wanted else (0,)
    if images.numel() == 0:
        return (images * targets).sum(), (images * targets).sum(), images.new_empty(shape)
    x, y = _wide(images, targets)
    mx, my, a1, a2, b1, b2 = _parts(x, y)
    index = a1 * a2 / (b1 * b2)
    l1, dssim = (1 - weight) * (x - y).abs().mean(), weight * (1 - index.mean())
    if not wanted:
        return l1.to(images.dtype), dssim.to(images.dtype), images.new_empty(shape)
    with torch.no_grad():
        by_x = 2 * (my * (a2 - a1) / (b1 * b2) + mx * (index / b2 - index / b1))
        maps = torch.stack([by_x, -index / b2, 2 * a1 / (b1 * b2)])
    return l1.to(images.dtype), dssim.to(images.dtype), maps.to(images.dtype).contiguous()


def _loss_backward_reference(
    l1: Tensor, dssim: Tensor, images: Tensor, targets: Tensor, maps: Tensor, weight: float
) -> Tensor:
    if images.numel() == 0:
        return torch.zeros_like(images)
    x, y, each = *_wide(images, targets), 1 / images.numel()
    by_x, by_xx, by_xy = (_blurred(*_wide(of)) for of in maps)
    found = l1 * (1 - weight) * each * (x - y).sign() - dssim * weight * each * (by_x + 2 * x * by_xx + y * by_xy)
    return found.to(images.dtype).contiguous()


def _loss_cpu(images: Tensor, targets: Tensor, weight: float, wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    if not native.serves(images, targets) or images.numel() == 0:
        return _loss_reference(images, targets, weight, wanted)
    images, targets = images.contiguous(), targets.contiguous()
    count, height = images.shape[:2]
    partial = torch.empty(count * height, 2, dtype=torch.float64)
    maps = images.new_empty(3, *images.shape) if wanted else None
    native.call("l1_dssim", images, targets, *images.shape, partial, maps)
    l1, index = (partial.sum(0) / images.numel()).to(images.dtype)
    return (1 - weight) * l1, weight * (1 - index), images.new_empty(0) if maps is None else maps


def _loss_backward_cpu(
    l1: Tensor, dssim: Tensor, images: Tensor, targets: Tensor, maps: Tensor, weight: float
) -> Tensor:
    if not native.serves(l1, dssim, images, targets, maps):
        return _loss_backward_reference(l1, dssim, images, targets, maps, weight)
    images, targets = images.contiguous(), targets.contiguous()
    result = torch.empty_like(images)
    steps = torch.stack([l1 * (1 - weight), -dssim * weight]) / max(1, images.numel())
    native.call("l1_dssim_backward", steps, images, targets, maps.contiguous(), *images.shape, result)
    return result


class _L1Dssim(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, targets: Tensor, weight: float, wanted: bool) -> tuple[Tensor, ...]:
        l1, dssim, maps = below_autograd("l1_dssim", images, targets, weight, wanted)
        ctx.save_for_backward(images, targets, maps)
        ctx.weight, ctx.wanted = weight, wanted
        ctx.mark_non_differentiable(maps)
        ctx.set_materialize_grads(False)  # else the maps would get zeros, nine floats a pixel
        return l1, dssim, maps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        _refuse_target(ctx.needs_input_grad[1])
        assert ctx.wanted, "l1_dssim: no maps were wanted, so there is no gradient"
        images = ctx.saved_tensors[0]
        terms = [images.new_zeros(()) if gradient is None else gradient for gradient in gradients[:2]]
        return torch.ops.scenekit.l1_dssim_backward(*terms, *ctx.saved_tensors, ctx.weight), None, None, None


L1_DSSIM = register(
    "l1_dssim(Tensor images, Tensor targets, float weight, bool wanted) -> (Tensor, Tensor, Tensor)",
    _loss_reference,
    fake=lambda images, targets, weight, wanted: (
        images.new_empty(()),
        images.new_empty(()),
        images.new_empty((3, *images.shape) if wanted else (0,)),
    ),
    cpu=_loss_cpu,
    cuda=gpu.loss,
    autograd=_L1Dssim,
)
L1_DSSIM_BACKWARD = register(
    "l1_dssim_backward(Tensor l1, Tensor dssim, Tensor images, Tensor targets, Tensor maps, float weight) -> Tensor",
    _loss_backward_reference,
    fake=lambda l1, dssim, images, *_: images.new_empty(images.shape),
    cpu=_loss_backward_cpu,
    cuda=gpu.loss_backward,
)
