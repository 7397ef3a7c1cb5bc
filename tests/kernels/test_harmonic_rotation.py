import pytest
import torch

from scenekit.core.transforms import matrix_from_quaternion
from scenekit.kernels.harmonic_rotation import harmonic_rotation, rotate_harmonics
from scenekit.kernels.spherical_harmonics import harmonic_colors


def some_rotation(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return matrix_from_quaternion(torch.randn(4, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("degree", range(5))
def test_a_turned_direction_shows_the_colour_that_the_direction_showed(degree: int) -> None:
    generator = torch.Generator().manual_seed(degree)
    coefficients = torch.randn(50, (degree + 1) ** 2, 3, generator=generator, dtype=torch.float64)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator, dtype=torch.float64), dim=-1)
    turn = some_rotation(degree)
    turned = rotate_harmonics(coefficients, turn)
    seen = harmonic_colors(turned, directions @ turn.T, degree)
    torch.testing.assert_close(seen, harmonic_colors(coefficients, directions, degree))


def test_rotations_follow_one_another_and_are_orthogonal() -> None:
    first, second = some_rotation(1), some_rotation(2)
    one, two, both = (harmonic_rotation(turn, 4) for turn in (first, second, second @ first))
    torch.testing.assert_close(two @ one, both)
    torch.testing.assert_close(one @ one.T, torch.eye(25, dtype=torch.float64))


def test_half_turns_change_signs_alone_to_the_bit() -> None:
    half = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    coefficients = torch.randn(9, 25, 3, generator=torch.Generator().manual_seed(0))
    turned = rotate_harmonics(coefficients, half)
    assert torch.equal(turned.abs(), coefficients.abs())
    assert torch.equal(rotate_harmonics(turned, half), coefficients)


@pytest.mark.bad_input
def test_a_count_of_no_degree_is_refused() -> None:
    with pytest.raises(ValueError, match="found 5"):
        rotate_harmonics(torch.zeros(2, 5, 3), torch.eye(3))
