"""Running sums in a fixed order against torch's own."""

import pytest
import torch

from scenekit.kernels.running_sums import by_doubling, running_sums


@pytest.mark.parametrize("shape", [(0,), (1,), (2,), (37,), (64,), (1000,), (5, 24), (0, 3)])
def test_doubling_gives_the_sums_and_their_gradients(shape: tuple[int, ...]):
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(shape, generator=generator, dtype=torch.float64)
    found, wanted = by_doubling(values), values.cumsum(-1)
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad((weights * sums).sum(), values)[0] for sums in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_without_that_switch_they_are_torch_s():
    values = torch.rand(50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(running_sums(values), values.cumsum(-1))
