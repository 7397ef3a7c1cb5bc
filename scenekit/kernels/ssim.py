"""Structural similarity of two images, pixel by pixel (Wang et al. 2004, eq. 13).

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


def ssim(image: Float[Tensor, "H W C"], target: Float[Tensor, "H W C"]) -> Float[Tensor, "H W C"]:
    """The index of every pixel and channel, at most 1; gradient to ``image`` alone.

    Raises ValueError where shapes differ, TypeError where dtypes or devices do.
    """
    sizes: dict[str, int] = {}
    check_shape("image", image, ("H", "W", "C"), sizes)
    check_shape("target", target, ("H", "W", "C"), sizes)
    check_same_kind("image", image, target=target)
    return SSIM(image, target)


def _reference(image: Tensor, target: Tensor) -> Tensor:
    wide = torch.promote_types(image.dtype, torch.float32)
    x, y = (t.to(wide).permute(2, 0, 1) for t in (image, target))
    if x.numel() == 0:
        return image * target
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=wide, device=x.device)
    taps = torch.exp(-offsets.square() / (2 * SIGMA**2))
    taps = taps / taps.sum()
    moments = torch.stack([x, y, x * x, y * y, x * y]).flatten(0, 1)[:, None]
    moments = torch.nn.functional.conv2d(moments, taps[None, None, :, None], padding=(RADIUS, 0))
    moments = torch.nn.functional.conv2d(moments, taps[None, None, None, :], padding=(0, RADIUS))
    mx, my, mxx, myy, mxy = moments.unflatten(0, (5, -1)).squeeze(2)
    index = (2 * mx * my + C1) * (2 * (mxy - mx * my) + C2)
    index = index / ((mx * mx + my * my + C1) * (mxx - mx * mx + myy - my * my + C2))
    return index.permute(1, 2, 0).to(image.dtype).contiguous()


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
        if ctx.needs_input_grad[1]:
            raise NotImplementedError("ssim: the target has no gradient; swap the two, the index is symmetric")
        return torch.ops.scenekit.ssim_backward(*gradients, *ctx.saved_tensors), None


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
