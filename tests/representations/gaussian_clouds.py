"""Small clouds of Gaussians for tests."""

from __future__ import annotations

import torch

from scenekit.representations.gaussian_cloud import GaussianCloud


def sample_cloud(count: int = 300, degree: int = 3, *, seed: int = 0, antialiased: bool = False) -> GaussianCloud:
    """Gaussians as training leaves them: opacities and sizes of all kinds, quaternions not of unit length."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    harmonics = normal(count, (degree + 1) ** 2, 3)
    harmonics[:, 1:] *= 0.15
    return GaussianCloud(
        normal(count, 3),
        normal(count, 3) * 0.7 - 3,
        normal(count, 4),
        normal(count) * 2,
        harmonics,
        antialiased,
    )


def assert_same_bits(found: GaussianCloud, wanted: GaussianCloud) -> None:
    assert found.antialiased == wanted.antialiased
    for name, values in vars(wanted).items():
        if isinstance(values, torch.Tensor):
            assert torch.equal(getattr(found, name), values), name
