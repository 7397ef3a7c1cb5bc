"""tiny-cuda-nn's hash grid and fully fused network, by the native modules of its torch bindings.

Its grid has our rows in our order, and its vertices the rows that ours have, where :func:`grid_settings` finds settings
of which our layout comes; a table of float32 or float16 is taken as it is. Its network computes in half precision, on
layers padded to multiples of 16; gradients are scaled up on their way through it, as its own bindings do. Both run
forward again on the way back: what they keep between the passes is none of our tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scenekit.kernels.adapters import Body

FEATURES = (1, 2, 4, 8)  # of an entry, that it was compiled for
DIMENSIONS = (2, 3, 4)
WIDTHS = (16, 32, 64, 128)  # of hidden layers
MULTIPLE = 16  # of inputs and outputs of its network
BATCH = 256  # it takes multiples of so many rows
NUDGES = 8

Layout = tuple[Sequence[float], Sequence[int], Sequence[int]]


def grid_settings(dimensions: int, features: int, layout: Layout) -> dict[str, Any] | None:
    """Its settings for a grid of ``layout``: scales, resolutions and offsets; None where it has no such grid."""
    scales, _, offsets = layout
    if dimensions not in DIMENSIONS or features not in FEATURES:
        return None
    levels, base = len(scales), round(scales[0] + 1)
    log2_rows = math.ceil(math.log2(max(b - a for a, b in pairwise(offsets))))
    growth = ((scales[-1] + 1) / (scales[0] + 1)) ** (1 / max(1, levels - 1))
    # A scale that is whole may be rounded to another resolution than ours; a growth next to it keeps to ours.
    for nudge in sorted(range(-NUDGES, NUDGES + 1), key=abs):
        nudged = float(np.float32(growth) * np.float32(1 + nudge * 2**-23))
        if _is_ours(layout, dimensions, _their_layout(dimensions, levels, base, nudged, log2_rows)):
            return {
                "otype": "HashGrid",
                "n_levels": levels,
                "n_features_per_level": features,
                "log2_hashmap_size": log2_rows,
                "base_resolution": base,
                "per_level_scale": nudged,
                "interpolation": "Linear",
            }
    return None


def _is_ours(layout: Layout, dimensions: int, theirs: Layout | None) -> bool:
    if theirs is None or list(theirs[2]) != list(layout[2]):
        return False
    rows = [b - a for a, b in pairwise(layout[2])]
    for scale, resolution, their_scale, their_resolution, count in zip(*layout[:2], *theirs[:2], rows, strict=True):
        # Rows of hashed vertices do not follow from the resolution.
        hashed = min(resolution, their_resolution) ** dimensions > count
        if (resolution != their_resolution and not hashed) or abs(scale - their_scale) > 1e-5 * max(1.0, scale):
            return False
    return True


def _their_layout(dimensions: int, levels: int, base: int, growth: float, log2_rows: int) -> Layout | None:
    """Scales, resolutions and offsets as it computes them, in float32; None without a first resolution."""
    if base < 1 or growth < 1:
        return None
    log2_growth = np.log2(np.float32(growth))
    scales = [
        float(np.exp2(np.float32(level) * log2_growth) * np.float32(base) - np.float32(1)) for level in range(levels)
    ]
    resolutions = [math.ceil(scale) + 1 for scale in scales]
    offsets = [0]
    for resolution in resolutions:
        offsets.append(offsets[-1] + min(-(-(resolution**dimensions) // 8) * 8, 2**log2_rows))
    return scales, resolutions, offsets


def network_settings(widths: Sequence[int]) -> dict[str, Any] | None:
    """Its settings for a network of such layers; None where it has none."""
    hidden = set(widths[1:-1])
    if len(hidden) != 1 or not hidden <= set(WIDTHS) or min(widths) < 1:
        return None
    return {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": widths[1],
        "n_hidden_layers": len(widths) - 2,
    }


def packed_weights(weights: Tensor, widths: Sequence[int]) -> Tensor:
    """Our weights [out in] of all layers as it has them: inputs and outputs padded with zeros."""
    padded = _padded(widths)
    parts = weights.split([a * b for a, b in pairwise(widths)])
    matrices = [
        torch.nn.functional.pad(part.view(out, width), (0, wide - width, 0, tall - out)).flatten()
        for part, (width, out), (wide, tall) in zip(parts, pairwise(widths), pairwise(padded), strict=True)
    ]
    return torch.cat(matrices)


def unpacked_weights(packed: Tensor, widths: Sequence[int]) -> Tensor:
    """The inverse of :func:`packed_weights`."""
    padded = _padded(widths)
    parts = packed.split([a * b for a, b in pairwise(padded)])
    matrices = [
        part.view(tall, wide)[:out, :width].flatten()
        for part, (width, out), (wide, tall) in zip(parts, pairwise(widths), pairwise(padded), strict=True)
    ]
    return torch.cat(matrices)


def _padded(widths: Sequence[int]) -> list[int]:
    first, *hidden, last = widths
    return [-(-first // MULTIPLE) * MULTIPLE, *hidden, -(-last // MULTIPLE) * MULTIPLE]


def _native() -> Any:
    return import_module("tinycudann.modules")._C


@lru_cache(maxsize=64)
def _encoding(dimensions: int, features: int, layout: Layout, half: bool, device: torch.device) -> Any:
    settings = grid_settings(dimensions, features, layout)
    if settings is None:
        return None
    library = _native()
    with torch.cuda.device(device):
        found = library.create_encoding(
            dimensions, settings, library.Precision.Fp16 if half else library.Precision.Fp32
        )
    return found if found.n_params() == layout[2][-1] * features else None


@lru_cache(maxsize=64)
def _network(widths: tuple[int, ...], device: torch.device) -> Any:
    settings = network_settings(widths)
    if settings is None:
        return None
    with torch.cuda.device(device):
        found = _native().create_network(widths[0], widths[-1], settings)
    half = found.param_precision() == _native().Precision.Fp16
    return found if half and found.n_params() == sum(a * b for a, b in pairwise(_padded(widths))) else None


def _whole_batches(rows: Tensor) -> Tensor:
    """With rows of zeros up to a multiple of what it takes."""
    return torch.nn.functional.pad(rows, (0, 0, 0, -len(rows) % BATCH)).contiguous()


def _backward(
    module: Any, inputs: Tensor, parameters: Tensor, gradient: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients in float32 of inputs and parameters, where wanted."""
    inputs, parameters = inputs.detach().requires_grad_(wanted[0]), parameters.detach().requires_grad_(wanted[1])
    kept, output = module.fwd(inputs, parameters)
    scale = _native().default_loss_scale(module.param_precision())
    gradient = torch.nn.functional.pad(gradient, (0, output.shape[1] - gradient.shape[1]))
    scaled = (_whole_batches(gradient).float() * scale).to(output.dtype)
    found = module.bwd(kept, inputs, parameters, output, scaled)
    for_inputs, for_parameters = (None if x is None else x.float() / scale for x in found)
    return for_inputs, for_parameters


def _grid_of(positions: Tensor, table: Tensor, layout: tuple[Sequence[Any], ...]) -> Any:
    if table.dtype == torch.bfloat16 or not len(positions):
        return None
    shape = positions.shape[1], table.shape[1]
    kept = tuple(tuple(part) for part in layout)
    return _encoding(*shape, kept, table.dtype == torch.float16, table.device)


def hash_grid(positions: Tensor, table: Tensor, *layout: Sequence[Any]) -> Any:
    """As the op ``hash_grid``."""
    module = _grid_of(positions, table, layout)
    if module is None:
        return NotImplemented
    _, output = module.fwd(_whole_batches(positions.float()), table.detach().contiguous().flatten())
    return output[: len(positions), : len(layout[0]) * table.shape[1]].to(table.dtype).contiguous()


def hash_grid_backward(gradient: Tensor, positions: Tensor, table: Tensor, *rest: Any) -> Any:
    """As the op ``hash_grid_backward``."""
    *layout, wanted = rest
    module = _grid_of(positions, table, tuple(layout))
    if module is None:
        return NotImplemented
    points, flat = _whole_batches(positions.float()), table.contiguous().flatten()
    for_points, for_table = _backward(module, points, flat, gradient, (wanted[0], wanted[1]))
    return (
        positions.new_empty(0) if for_points is None else for_points[: len(positions)].to(positions.dtype),
        table.new_empty(0) if for_table is None else for_table.view(table.shape).to(table.dtype),
    )


def mlp(inputs: Tensor, weights: Tensor, widths: Sequence[int]) -> Any:
    """As the op ``mlp``."""
    module = _network(tuple(widths), inputs.device) if len(inputs) else None
    if module is None:
        return NotImplemented
    _, output = module.fwd(_whole_batches(inputs.detach()), packed_weights(weights.detach(), widths).half())
    return output[: len(inputs), : widths[-1]].float()


def mlp_backward(gradient: Tensor, inputs: Tensor, weights: Tensor, widths: Sequence[int], to_inputs: bool) -> Any:
    """As the op ``mlp_backward``."""
    module = _network(tuple(widths), inputs.device) if len(inputs) else None
    if module is None:
        return NotImplemented
    parameters = packed_weights(weights, widths).half()
    for_inputs, packed = _backward(module, _whole_batches(inputs), parameters, gradient, (to_inputs, True))
    assert packed is not None
    for_weights = unpacked_weights(packed, widths)
    return inputs.new_empty(0) if for_inputs is None else for_inputs[: len(inputs)], for_weights


BODIES: dict[str, Body] = {
    "hash_grid": hash_grid,
    "hash_grid_backward": hash_grid_backward,
    "mlp": mlp,
    "mlp_backward": mlp_backward,
}
