import numpy as np
import pytest
import torch
from scipy import ndimage

from scenekit.kernels.neighbourhood_means import neighbourhood_means


@pytest.mark.parametrize("radius", [0, 1, 5, 9])
def test_means_agree_with_scipy(radius: int):
    grid = torch.randn(21, 30, 4, generator=torch.Generator().manual_seed(0))
    wanted = ndimage.uniform_filter1d(grid.double().numpy(), 2 * radius + 1, axis=1, mode="wrap")
    wanted = ndimage.uniform_filter1d(wanted, 2 * radius + 1, axis=0, mode="mirror")
    np.testing.assert_allclose(neighbourhood_means(grid, radius).numpy(), wanted, atol=1e-6)


@pytest.mark.bad_input
def test_a_neighbourhood_wider_than_the_grid_is_refused():
    with pytest.raises(ValueError, match="radius"):
        neighbourhood_means(torch.zeros(8, 20, 1), 4)
