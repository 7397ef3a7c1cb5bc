import io

import pytest
import torch

from scenekit.assets.splats import sorted_grid
from scenekit.assets.splats.sorted_grid import decode, encode, grid_order
from scenekit.kernels.grid_sort import neighbour_variance
from scenekit.representations.compact import sorting_keys
from scenekit.representations.gaussian_cloud import GaussianCloud
from tests.representations.gaussian_clouds import sample_cloud


def _size(cloud: GaussianCloud) -> int:
    stream = io.BytesIO()
    encode(cloud, stream)
    return len(stream.getvalue())


def _surface(side: int) -> GaussianCloud:
    """Gaussians whose attributes vary smoothly over a square, in rows."""
    u, v = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    u, v = u.reshape(-1), v.reshape(-1)
    three = torch.stack([u, v, (u * v)], -1)
    return GaussianCloud(
        three, three - 5, torch.stack([torch.ones_like(u), u, v, u], -1), 2 * u, torch.stack([three, three - 0.5], 1)
        [:, [0, 1, 1, 1]]
    )  # fmt: skip


def test_what_is_sorted_keeps_its_order():
    cloud = _surface(24)
    assert torch.equal(grid_order(cloud), torch.arange(576))


def test_what_is_not_sorted_is_sorted_and_smaller_for_it(monkeypatch: pytest.MonkeyPatch):
    cloud = _surface(48)
    shuffled = cloud[torch.randperm(len(cloud), generator=torch.Generator().manual_seed(0))]
    ordered = shuffled[grid_order(shuffled)]
    keys = sorting_keys(ordered.means, ordered.log_scales, ordered.harmonics[:, 0])
    assert neighbour_variance(keys) < 0.1
    size = _size(shuffled)
    monkeypatch.setattr(sorted_grid, "grid_order", lambda cloud: torch.arange(len(cloud)))
    assert size < 0.6 * _size(shuffled)


def test_rows_beyond_the_square_are_the_most_transparent_ones():
    cloud = sample_cloud(110, 0)
    order = grid_order(cloud)
    assert torch.equal(order.sort().values, torch.arange(110))
    assert float(cloud.opacity_logits[order[:100]].min()) >= float(cloud.opacity_logits[order[100:]].max())


def test_smooth_scenes_take_a_fraction_of_the_bytes():
    cloud = _surface(64)
    assert _size(cloud) < 4 * len(cloud)  # 4 bytes for 26 numbers
    stream = io.BytesIO()
    encode(cloud, stream)
    back = decode(stream)
    assert float((back.means - cloud.means).abs().max()) < 1e-4
    turns = torch.nn.functional.normalize(cloud.quaternions, dim=-1)
    assert float((back.quaternions - turns).abs().max()) < 0.01


def test_a_few_wild_harmonics_do_not_cost_the_others_their_steps():
    cloud = _surface(128)
    cloud.harmonics[777, 2] = 1000.0
    stream = io.BytesIO()
    encode(cloud, stream)
    error = (decode(stream).harmonics - cloud.harmonics).abs()
    error[777] = 0
    assert float(error.max()) < 0.05
