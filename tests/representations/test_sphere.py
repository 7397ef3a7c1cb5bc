import pytest
import torch

from scenekit.core.checks import BadInput
from scenekit.core.protocols import Encoding
from scenekit.representations.sphere import Sphere


def on_a_circle(polar: float, count: int) -> torch.Tensor:
    """Positions about the axis z, in the unit cube."""
    azimuth = torch.linspace(-torch.pi, torch.pi, count, dtype=torch.float64)
    z = torch.full_like(azimuth, polar).cos()
    s = torch.full_like(azimuth, polar).sin()
    return (torch.stack([s * azimuth.cos(), s * azimuth.sin(), z], -1) / 2 + 0.5).float()


@pytest.fixture
def encoding():
    return Sphere(degree=20, width=64).encoding(3, 100.0, torch.Generator().manual_seed(0))


def test_it_is_an_encoding_with_gradients_to_every_parameter(encoding) -> None:
    assert isinstance(encoding, Encoding)
    for count in (0, 1, 7):
        assert encoding(torch.rand(count, 3)).shape == (count, encoding.features)
    encoding(torch.rand(50, 3)).square().sum().backward()
    (group,) = encoding.parameter_groups()
    assert all(parameter.grad.any() for parameter in group.parameters.values())


def test_there_is_no_seam_and_no_pole(encoding) -> None:
    with torch.no_grad():
        around = encoding(on_a_circle(1.0, 101))
        assert (around[0] - around[-1]).abs().max() < 2e-4  # the two sides of the date line
        pole = encoding(on_a_circle(1e-5, 64))
        assert (pole - pole[0]).abs().max() < 2e-2  # every meridian arrives at one value
        nearer = encoding(on_a_circle(1e-6, 64))
        assert (nearer - nearer[0]).abs().max() < 3e-3


def test_only_the_direction_matters(encoding) -> None:
    directions = torch.nn.functional.normalize(torch.randn(40, 3, generator=torch.Generator().manual_seed(2)), dim=-1)
    near, far = encoding(directions * 0.1 + 0.5), encoding(directions * 0.4 + 0.5)
    assert torch.allclose(near, far, atol=1e-3)


def test_harmonics_alone_serve_without_layers() -> None:
    encoding = Sphere(degree=3, layers=0).encoding(3, 1.0)
    assert encoding(torch.rand(5, 3)).shape == (5, 16)
    assert encoding.parameter_groups() == []


@pytest.mark.bad_input
def test_points_that_are_no_directions_are_refused() -> None:
    with pytest.raises(BadInput, match="wanted a panorama, found a signal in 2-D"):
        Sphere().encoding(2, 10.0)
