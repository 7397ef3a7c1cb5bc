import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from scenekit.representations.compact import WEIGHT, blurred, smoothness, sorting_keys, square_order


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def test_the_blur_goes_around_the_sides_and_is_reflected_at_the_ends():
    grid = _normal(2, 9, 12)
    taps = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 3.0**2))
    taps /= taps.sum()
    wanted = ndimage.correlate1d(grid.double().numpy(), taps, axis=2, mode="wrap")
    wanted = ndimage.correlate1d(wanted, taps, axis=1, mode="mirror")
    np.testing.assert_allclose(blurred(grid).numpy(), wanted, atol=1e-5)


def test_a_grid_of_equal_rows_is_smooth_and_noise_is_not():
    assert float(smoothness(torch.full((49,), 3.0), torch.ones(49, 4))) == pytest.approx(0, abs=1e-6)
    assert float(smoothness(_normal(49), _normal(49, 4))) > 0.2 * WEIGHT


def test_the_blur_is_a_target_and_not_differentiated():
    logits = _normal(36).requires_grad_()
    smoothness(logits, torch.ones(36, 4)).backward()
    distance = (logits - blurred(logits.reshape(1, 6, 6)).reshape(-1)).detach()
    torch.testing.assert_close(logits.grad, WEIGHT * distance.clamp(-1, 1) / 36 / 11)


def test_rotations_weigh_ten_times_as_much_as_opacities():
    noise = _normal(64)
    flat = torch.ones(64)
    opacities = float(smoothness(noise, flat[:, None].expand(-1, 4)))
    rotations = float(smoothness(flat, noise[:, None].expand(-1, 4)))
    assert rotations == pytest.approx(10 * opacities, rel=1e-5)


def test_every_key_has_a_variance_of_one_whatever_its_unit():
    keys = sorting_keys(1000 * _normal(500, 3), _normal(500, 3) - 9, _normal(500, 3))
    for part in keys.split(3, -1):
        assert float(part.mean()) == pytest.approx(0, abs=1e-4)
        assert float(part.std()) == pytest.approx(1, rel=1e-2)


def test_the_most_transparent_rows_are_left_out_of_the_square():
    logits = _normal(30)
    order = square_order(logits, _normal(30, 3), torch.Generator().manual_seed(0), 1e-3)
    assert len(order) == math.isqrt(30) ** 2
    assert set(order.tolist()) == set(logits.argsort(descending=True)[:25].tolist())
