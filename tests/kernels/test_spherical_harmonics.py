from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from scenekit.kernels import harmonic_colors, harmonics_by_recurrence, spherical_harmonics
from scenekit.kernels.spherical_harmonics import C0, MAX_DEGREE


def _directions(rows: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    directions = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(directions, dim=-1).to(dtype)


def _real_basis(directions: torch.Tensor, degree: int) -> np.ndarray:
    """Real harmonics from scipy's complex ones, which carry the Condon-Shortley phase (-1)^m.

    The usual definition takes the phase out again; Gaussian Splatting and instant-ngp leave it in.
    """
    x, y, z = directions.numpy().T
    polar, azimuth = np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)
    columns = []
    for n in range(degree + 1):
        for m in range(-n, n + 1):
            value = sph_harm_y(n, abs(m), polar, azimuth)
            part = value.real if m >= 0 else value.imag
            columns.append(part * (1 if m == 0 else np.sqrt(2)))
    return np.stack(columns, -1)


@pytest.mark.parametrize("degree", range(MAX_DEGREE + 1))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_basis_has_the_order_and_sign_of_scipy(degree: int, dtype: torch.dtype):
    directions = _directions(200)
    basis = spherical_harmonics(directions.to(dtype), degree).double().numpy()
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    np.testing.assert_allclose(basis, _real_basis(directions, degree), rtol=0, atol=tolerance)


def test_basis_is_orthonormal_over_the_sphere():
    # Gauss-Legendre in z times a uniform rule in azimuth integrates these products exactly.
    z, weights = np.polynomial.legendre.leggauss(12)
    azimuth = np.arange(24) * (2 * np.pi / 24)
    r = np.sqrt(1 - z**2)[:, None]
    x, y, zz = r * np.cos(azimuth), r * np.sin(azimuth), np.broadcast_to(z[:, None], (12, 24))
    basis = spherical_harmonics(torch.tensor(np.stack([x, y, zz], -1).reshape(-1, 3)), MAX_DEGREE).numpy()
    measure = np.repeat(weights, 24) * (2 * np.pi / 24)
    np.testing.assert_allclose(basis.T @ (basis * measure[:, None]), np.eye(25), atol=1e-12)


@pytest.mark.parametrize("degree", range(MAX_DEGREE + 1))
def test_colors_are_the_weighted_basis_and_spare_coefficients_do_nothing(degree: int):
    directions = _directions(70, torch.float32)
    used = (degree + 1) ** 2
    coefficients = torch.randn(70, used + 3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    colors = harmonic_colors(coefficients, directions, degree)
    wanted = torch.einsum("nk,nkc->nc", spherical_harmonics(directions, degree), coefficients[:, :used])
    torch.testing.assert_close(colors, wanted, rtol=1e-5, atol=1e-5)
    colors.sum().backward()
    assert coefficients.grad is not None
    assert (coefficients.grad[:, used:] == 0).all()


def test_constant_term_colors_every_direction_alike():
    colors = harmonic_colors(torch.full((5, 1, 3), 2.0), _directions(5, torch.float32), 0)
    torch.testing.assert_close(colors, torch.full((5, 3), 2 * C0))


def test_only_the_gradients_asked_for_are_found():
    directions, coefficients = _directions(9, torch.float32).requires_grad_(), torch.ones(9, 16, 3)
    harmonic_colors(coefficients, directions, 3).sum().backward()
    assert directions.grad is not None
    assert directions.grad.abs().max() > 0


@pytest.mark.bad_input
def test_wrong_arguments_are_named():
    directions = _directions(4, torch.float32)
    with pytest.raises(ValueError, match="degree: wanted 0 to 4, found 5"):
        spherical_harmonics(directions, 5)
    with pytest.raises(ValueError, match="directions: wanted shape"):
        spherical_harmonics(directions[:, :2], 1)
    with pytest.raises(ValueError, match="degree 2 wants 9 of them, found 4"):
        harmonic_colors(torch.zeros(4, 4, 3), directions, 2)
    with pytest.raises(ValueError, match="N = 5"):
        harmonic_colors(torch.zeros(5, 4, 3), directions, 1)
    with pytest.raises(TypeError, match=r"directions: wanted torch\.float64"):
        harmonic_colors(torch.zeros(4, 4, 3, dtype=torch.float64), directions, 1)


def _with_poles_and_seam(rows: int) -> torch.Tensor:
    """Random directions, and those where spherical coordinates fail."""
    special = [[0, 0, 1], [0, 0, -1], [1e-9, 0, 1], [-1, 0, 0], [-1, 1e-12, 0], [-1, -1e-12, 0]]
    directions = torch.cat([_directions(rows), torch.tensor(special, dtype=torch.float64)])
    return torch.nn.functional.normalize(directions, dim=-1)


@pytest.mark.parametrize("degree", [0, 1, 2, 7, 60])
def test_the_recurrence_has_the_order_and_sign_of_scipy_to_degree_60(degree: int):
    directions = _with_poles_and_seam(100)
    basis = harmonics_by_recurrence(directions, degree).numpy()
    np.testing.assert_allclose(basis, _real_basis(directions, degree), rtol=0, atol=1e-10)


def test_the_recurrence_stays_finite_and_close_in_float32_to_degree_60():
    directions = _with_poles_and_seam(100)
    wanted = harmonics_by_recurrence(directions, 60)
    found = harmonics_by_recurrence(directions.float(), 60)
    assert (found.double() - wanted).abs().max() < 1e-3  # values reach 3.1


def test_the_recurrence_and_the_polynomials_agree_at_low_degrees():
    directions = _with_poles_and_seam(100)
    for degree in range(MAX_DEGREE + 1):
        difference = harmonics_by_recurrence(directions, degree) - spherical_harmonics(directions, degree)
        assert difference.abs().max() < 1e-12


def test_squares_of_a_degree_sum_to_a_constant():
    """Unsoeld's theorem: (2l + 1) / 4 pi for every direction."""
    basis = harmonics_by_recurrence(_with_poles_and_seam(50), 40)
    for degree in (1, 17, 40):
        sums = basis[:, degree**2 : (degree + 1) ** 2].square().sum(1)
        assert (sums - (2 * degree + 1) / (4 * np.pi)).abs().max() < 1e-10


def test_gradients_of_the_recurrence_match_finite_differences():
    directions = _directions(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: harmonics_by_recurrence(d, 6), directions)


@pytest.mark.bad_input
def test_the_recurrence_names_a_wrong_degree_and_shape():
    with pytest.raises(ValueError, match="degree: wanted 0 or more, found -1"):
        harmonics_by_recurrence(_directions(2), -1)
    with pytest.raises(ValueError, match="directions"):
        harmonics_by_recurrence(_directions(2)[:, :2], 1)
