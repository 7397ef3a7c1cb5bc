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
    """Of a file with the Gaussians in their own order."""
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


def test_what_is_not_sorted_is_sorted_and_smaller_for_it():
    cloud = _surface(48)
    shuffled = cloud[torch.randperm(len(cloud), generator=torch.Generator().manual_seed(0))]
    ordered = shuffled[grid_order(shuffled)]
    keys = sorting_keys(ordered.means, ordered.log_scales, ordered.harmonics[:, 0])
    assert neighbour_variance(keys) < 0.1
    assert _size(ordered) < 0.6 * _size(shuffled)


def test_it_is_sorted_where_it_is_asked_to(pretended_gpu: torch.device, monkeypatch: pytest.MonkeyPatch):
    cloud, devices = sample_cloud(80, 0), []
    sort = sorted_grid.sort_into_grid

    def watched(keys: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        devices.append(keys.device)
        return sort(keys, generator)

    monkeypatch.setattr(sorted_grid, "sort_into_grid", watched)
    order = grid_order(cloud, pretended_gpu)
    assert order.device.type == "cpu"
    assert torch.equal(order.sort().values, torch.arange(80))
    assert devices == [pretended_gpu]


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
