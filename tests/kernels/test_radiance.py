import math

import pytest
import torch
from torch import Tensor

from scenekit.kernels import radiance, spherical_harmonics, truncated_exp


def networks(degree: int = 2) -> tuple[list[Tensor], list[Tensor]]:
    g = torch.Generator().manual_seed(1)
    harmonics = (degree + 1) ** 2
    density = [torch.randn(8, 6, generator=g), torch.randn(4, 8, generator=g)]
    return density, [torch.randn(8, 4 + harmonics, generator=g), torch.randn(3, 8, generator=g)]


def samples(rows: int = 7) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(2)
    encoded, toward = torch.randn(rows, 6, generator=g), torch.randn(rows, 3, generator=g)
    return encoded, torch.nn.functional.normalize(toward, dim=-1)


def test_density_and_colour_follow_their_formulas() -> None:
    (encoded, directions), (density, color) = samples(), networks()
    features = (encoded @ density[0].T).relu() @ density[1].T
    taken = torch.cat([features, spherical_harmonics(directions, 2)], -1)
    found = radiance(encoded, directions, density, color, 2, math.log(0.1))
    torch.testing.assert_close(found[0], 0.1 * features[:, 0].exp())
    torch.testing.assert_close(found[1], ((taken @ color[0].T).relu() @ color[1].T).sigmoid())


def test_a_result_that_nobody_uses_needs_no_gradient() -> None:
    (encoded, directions), (density, color) = samples(), networks()
    leaves = [x.requires_grad_() for x in (encoded, *density, *color)]
    both = radiance(encoded, directions, density, color, 2, 0.0)
    of_density = torch.autograd.grad(both[0].sum(), leaves, retain_graph=True)
    of_color = torch.autograd.grad(both[1].sum(), leaves, retain_graph=True)
    together = torch.autograd.grad(both[0].sum() + both[1].sum(), leaves)
    for a, b, c in zip(of_density, of_color, together, strict=True):
        torch.testing.assert_close(a + b, c)
    assert not of_density[-1].any()


def test_saturated_densities_have_the_truncated_derivative() -> None:
    raw = torch.tensor([-40.0, -1.0, 0.0, 12.0, 20.0, 100.0], requires_grad=True)
    density = truncated_exp(raw)
    density.sum().backward()
    torch.testing.assert_close(density.detach(), raw.detach().clamp(max=30).exp())
    torch.testing.assert_close(raw.grad, raw.detach().clamp(-15, 15).exp(), rtol=1e-3, atol=0)


def test_gradients_stand_as_encodings_do() -> None:
    (encoded, directions), (density, color) = samples(), networks()
    by_feature = encoded.t().contiguous().t().requires_grad_()
    found = radiance(by_feature, directions, density, color, 2, 0.0)
    (gradient,) = torch.autograd.grad(found[0].sum() + found[1].sum(), by_feature)
    assert gradient.stride() == by_feature.stride()


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"degree": 5}, "degree: wanted 0 to 4"),
        ({"degree": 1}, r"color\[0\]: wanted shape \[out 8\]"),
        ({"density": []}, "density: wanted at least one matrix"),
        ({"color": [torch.zeros(8, 13)]}, "color: wanted 3 outputs, found 8"),
        ({"directions": torch.zeros(6, 3)}, "directions: wanted shape"),
    ],
)
def test_bad_shapes_are_told(change: dict[str, object], message: str) -> None:
    (encoded, directions), (density, color) = samples(), networks()
    given = {"encoded": encoded, "directions": directions, "density": density, "color": color, "degree": 2}
    with pytest.raises(ValueError, match=message):
        radiance(**{**given, **change}, log_density=0.0)  # type: ignore[arg-type]


@pytest.mark.bad_input
def test_mixed_kinds_are_told() -> None:
    (encoded, directions), (density, color) = samples(), networks()
    with pytest.raises(TypeError, match="directions: wanted torch"):
        radiance(encoded, directions.double(), density, color, 2, 0.0)
