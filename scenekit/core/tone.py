"""Linear light as fields learn it, in logarithms, and as screens show it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

DARKEST = 0.01  # light below this counts little: errors are relative above it, absolute below


def log_light(light: Float[Tensor, "*b C"]) -> Float[Tensor, "*b C"]:
    """``log(light + 0.01)``: a squared error of it is a relative one of the light; what is negative becomes 0."""
    return (light.clamp(min=0) + DARKEST).log()


def light_of(logs: Float[Tensor, "*b C"]) -> Float[Tensor, "*b C"]:
    """Undo :func:`log_light`; never negative."""
    return (logs.exp() - DARKEST).clamp(min=0)


def linear_from_srgb(colors: Float[Tensor, "*b C"]) -> Float[Tensor, "*b C"]:
    """The sRGB transfer curve (IEC 61966-2-1) undone; continued below 0 and past 1."""
    # What the other branch would make of dark values is not taken, but its gradient must be finite.
    bright = ((colors.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(colors <= 0.04045, colors / 12.92, bright)


def srgb_from_linear(light: Float[Tensor, "*b C"]) -> Float[Tensor, "*b C"]:
    """The sRGB transfer curve (IEC 61966-2-1); continued below 0 and past 1."""
    bright = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, bright)


def shown(values: Float[Tensor, "*b C"], *, linear: bool) -> Float[Tensor, "*b C"]:
    """Values of a picture as sRGB in [0, 1]; where ``linear``, they are logarithms of light."""
    return srgb_from_linear(light_of(values).clamp(0, 1)) if linear else values.clamp(0, 1)


def three_channels(values: Float[Tensor, "*b C"]) -> Float[Tensor, "*b 3"]:
    """Grey is repeated; a fourth channel is left out."""
    return values[..., :3] if values.shape[-1] >= 3 else values[..., :1].expand(*values.shape[:-1], 3)
