"""Splats asked like a field, against the rasterizer and against a sum over all of them."""

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.cloud import PointCloud
from scenekit.core.protocols import Medium, Mixture, ParameterGroup
from scenekit.core.rays import Samples
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations.gaussians import GaussianModel, Gaussians


def camera(size: int = 24) -> Cameras:
    pose = look_at(torch.tensor([0.3, -0.2, -3.0]), torch.zeros(3), torch.tensor([0.0, -1.0, 0.0]))
    return Cameras(pose[None], torch.tensor([[40.0, 40.0, size / 2, size / 2]]), ((size, size),))


def gaussians(count: int, spread: float = 0.5) -> GaussianModel:
    generator = torch.Generator().manual_seed(3)
    points = PointCloud(
        spread * (2 * torch.rand(count, 3, generator=generator) - 1), torch.rand(count, 3, generator=generator)
    )
    model = Gaussians(harmonics_degree=0).build(points, Bounds(), camera(), generator)
    with torch.no_grad():
        model.log_scales.copy_(torch.rand(count, 3, generator=generator) * 1.5 - 3.2)
        model.quaternions.copy_(torch.randn(count, 4, generator=generator))
        model.opacity_logits.copy_(torch.randn(count, generator=generator))
    return model


class Asked(torch.nn.Module):
    """A mixture behind the volume renderer."""

    def __init__(self, medium: Medium) -> None:
        super().__init__()
        self.bounds = Bounds()
        self.density, self.color = medium.density, medium.color

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


def test_a_lone_splat_marched_looks_as_it_does_rasterized() -> None:
    model = gaussians(1, spread=0.0)
    assert isinstance(model, Mixture)
    with torch.no_grad():
        marched = VolumeRenderer(Asked(model.medium()), Marching(steps=256, grid=8)).render(camera())
        flat = SplatRenderer(model).render(camera())
    # The rasterizer blurs by 0.3 square pixels and projects affinely.
    torch.testing.assert_close(marched.opacity, flat.opacity, rtol=0, atol=0.03)
    torch.testing.assert_close(marched.color, flat.color, rtol=0, atol=0.03)


def test_many_splats_marched_look_nearly_as_they_do_rasterized() -> None:
    model = gaussians(150)
    with torch.no_grad():
        marched = VolumeRenderer(Asked(model.medium()), Marching(steps=256, grid=8)).render(camera())
        flat = SplatRenderer(model).render(camera())
    # One hides another all at once where it is rasterized, and little by little where it is marched.
    assert float((marched.color - flat.color).square().mean().sqrt()) < 0.15 * float(flat.color.std())


def test_cells_forget_no_splat() -> None:
    model = gaussians(300)
    generator = torch.Generator().manual_seed(5)
    positions = 2 * torch.rand(400, 3, generator=generator) - 1
    directions = torch.nn.functional.normalize(torch.randn(400, 3, generator=generator), dim=-1)
    deltas = torch.full((400,), 1e-3)
    found, _ = model.medium().density(Samples(positions, directions, deltas))
    with torch.no_grad():
        turn, scales = matrix_from_quaternion(model.quaternions), model.log_scales.exp()
        local = torch.einsum("nji,snj->sni", turn, positions[:, None] - model.means[None]) / scales
        along = torch.einsum("nji,sj->sni", turn, directions) / scales
        rate = along.norm(dim=-1)
        middle = (local * along).sum(-1) / rate
        squared = local.square().sum(-1) - middle.square()
        shown = model.opacity_logits.sigmoid() * torch.exp(-0.5 * squared)
        profile = rate * torch.exp(-0.5 * middle.square()) / (2 * torch.pi) ** 0.5
        expected = (-torch.log1p(-shown) * profile).sum(-1)
    # Beyond three standard deviations a splat is left out on purpose.
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * float(expected.max()))


def test_no_splats_are_an_empty_medium() -> None:
    medium = gaussians(5).medium()
    empty = GaussianModel(Gaussians(harmonics_degree=0), 0, 1.0).medium()
    samples = Samples(torch.zeros(3, 3), torch.eye(3), torch.ones(3))
    assert not empty.density(samples)[0].any()
    assert medium.density(samples[:0])[0].shape == (0,)
