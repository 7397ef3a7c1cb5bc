"""nerfacc's marching through occupancy grids and its sums along rays.

It steps in another way than we do: its steps grow without an upper bound, they shift behind empty cells where they
grow, and where cascades overlap the finest counts however long the step. Its samples are others than ours; the same
pictures come of them. Compositing is the same sum; where an alpha is 1 its gradient is wrong, as its authors say.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels.adapters import Body
from scenekit.kernels.composite import STOP
from scenekit.kernels.march import arranged
from scenekit.kernels.op import reference_gradients

MOST_CASCADES = 8
nerfacc: Any = import_module("nerfacc")


def march(  # noqa: PLR0913 (as the op)
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    occupancy: Tensor,
    jitter: Tensor,
    rule: Tensor,
    max_samples: int,
    capacity: int,
    counts: Tensor | None,
    packed: Tensor | None,
) -> Any:
    """As the op ``march``."""
    cascades = occupancy.shape[0]
    if cascades > MOST_CASCADES or not len(near):
        return NotImplemented
    smallest, largest, cone = rule[:3].tolist()
    sides = 2.0 ** torch.arange(cascades, dtype=torch.float32, device=near.device)[:, None].expand(-1, 3)
    begins = near + jitter * (near * cone).clamp(smallest, largest)
    intervals, samples, _ = nerfacc.traverse_grids(
        origins,
        directions,
        occupancy,
        torch.cat([-sides, sides], -1),
        near_planes=begins,
        far_planes=far,
        step_size=smallest,
        cone_angle=cone,
        traverse_steps_limit=max_samples,
    )
    starts, ends = (intervals.vals[side] for side in (intervals.is_left, intervals.is_right))
    found = samples.packed_info[:, 1]
    return arranged((starts + ends) / 2, ends - starts, found, capacity, counts)


def composite(alphas: Tensor, colors: Tensor, distances: Tensor, offsets: Tensor) -> Any:
    """As the op ``composite``; differentiable."""
    rays, samples = len(offsets) - 1, len(alphas)
    if not samples:
        return NotImplemented
    # Rows that are nobody's go to a ray behind the last.
    packed = torch.stack([offsets, offsets.diff(append=offsets.new_full((1,), samples))], -1)
    owners = torch.searchsorted(offsets[1:], torch.arange(samples, device=alphas.device), right=True)
    weights, light = nerfacc.render_weight_from_alpha(alphas, packed_info=packed)
    weights = torch.where((owners < rays) & (light.detach() >= STOP), weights, 0)
    values = torch.cat([colors, distances[:, None]], -1)
    sums = nerfacc.accumulate_along_rays(weights, values, owners, rays + 1)[:-1]
    seen = nerfacc.accumulate_along_rays(weights, None, owners, rays + 1)[:-1, 0]
    return sums[:, :-1], seen, sums[:, -1], weights


def composite_backward(*arguments: Any) -> Any:
    """As the op ``composite_backward``: its forward pass runs again, for what its backward pass wants of it."""
    if not len(arguments[4]):
        return NotImplemented
    found = reference_gradients(composite, arguments[4:], (0, 1), arguments[:4])
    return found[0], found[1]


BODIES: dict[str, Body] = {"march": march, "composite": composite, "composite_backward": composite_backward}
