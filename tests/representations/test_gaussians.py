import math

import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.cloud import PointCloud
from scenekit.core.protocols import EVAL, Context, Primitives
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.kernels.spherical_harmonics import C0
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussians import GaussianModel, GaussianRates, Gaussians, scene_scale
from scenekit.representations.point_clouds import neighbour_distances, random_cloud
from scenekit.training.optimizer import Optimizer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ring(count: int = 6, radius: float = 3.0) -> Cameras:
    up, middle = torch.tensor([0.0, 0.0, 1.0]), torch.zeros(3)
    angles = torch.arange(count) * (2 * math.pi / count)
    centres = torch.stack([radius * angles.cos(), radius * angles.sin(), torch.zeros(count)], -1)
    poses = torch.stack([look_at(centre, middle, up) for centre in centres])
    return Cameras(poses, torch.tensor([[40.0, 40.0, 16.0, 12.0]]).repeat(count, 1), ((32, 24),) * count)


def cloud(count: int = 200) -> PointCloud:
    numbers = torch.rand(count, 6, generator=generator(1))
    return PointCloud(numbers[:, :3] * 2 - 1, numbers[:, 3:])


def test_every_point_becomes_a_gaussian_of_its_colour_opacity_and_spacing() -> None:
    points = cloud()
    model = Gaussians(initial_opacity=0.2, initial_scale=0.5).build(points, Bounds(), ring(), generator())
    splats = model.splats(ring(), EVAL)
    nearest = torch.cdist(points.positions, points.positions).sort(-1).values[:, 1:4]
    expected = 0.5 * nearest.square().mean(-1).sqrt()
    assert torch.equal(splats.means, points.positions)
    assert float((splats.scales.detach() / expected[:, None]).min()) > 1 - 1e-3
    assert (splats.scales.detach() / expected[:, None]).median().item() == pytest.approx(1.0, abs=1e-3)
    assert torch.allclose(splats.opacities, torch.tensor(0.2))
    assert torch.allclose(splats.harmonics_dc[:, 0] * C0 + 0.5, points.colors, atol=1e-6)
    assert isinstance(model, Primitives)


def test_points_with_normals_become_flat_gaussians_in_their_surface() -> None:
    normals = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator(2)), dim=-1)
    points = cloud()
    flat = PointCloud(points.positions, points.colors, normals, torch.linspace(0, 1, 200))
    model = Gaussians().build(flat, Bounds(), ring(), generator())
    splats = model.splats(ring(), EVAL)
    thin = matrix_from_quaternion(splats.quaternions)[..., 2]
    assert torch.allclose((thin * normals).sum(-1).abs(), torch.ones(200), atol=1e-5)
    assert bool((splats.scales[:, 2] < 0.5 * splats.scales[:, 0]).all())
    assert torch.allclose(splats.opacities, torch.linspace(0, 1, 200).clamp(0.3, 0.7), atol=1e-5)


def test_neighbours_of_a_small_cloud_are_exact_and_of_a_large_one_nearly() -> None:
    small = torch.randn(30, 3, generator=generator())
    exact = torch.cdist(small, small).sort(-1).values[:, 1:4]
    assert torch.allclose(neighbour_distances(small, 3), exact, atol=1e-5)
    large = torch.randn(5000, 3, generator=generator()) ** 3
    exact = torch.cdist(large, large).sort(-1).values[:, 1:4]
    ratio = neighbour_distances(large, 3, generator()) / exact
    assert ratio.min() > 0.99
    assert ratio.median() == pytest.approx(1.0, abs=1e-3)
    assert ratio.mean() < 1.05


def test_repeated_and_lonely_points_have_finite_scales() -> None:
    for positions in (torch.zeros(70, 3), torch.zeros(1, 3), torch.tensor([[0.0, 0, 0], [1, 0, 0]])):
        points = PointCloud(positions, torch.rand(len(positions), 3, generator=generator()))
        model = Gaussians().build(points, Bounds(), ring(), generator())
        assert model.log_scales.isfinite().all()


def test_no_points_means_random_ones_in_the_cube_or_before_the_cameras() -> None:
    bounded = Gaussians(random_count=300).build(None, Bounds(extent=2.0), ring(), generator())
    assert len(bounded) == 300
    assert float(bounded.means.detach().abs().max()) <= 2
    cameras = ring(1)
    seen = random_cloud(300, Bounds(extent=64.0, contracted=True), cameras, generator()).positions
    local = (seen - cameras.centres) @ cameras.world_from_camera[0, :, :3]
    u = 40 * local[:, 0] / local[:, 2] + 16
    assert float(local[:, 2].min()) > 0
    assert float(u.min()) >= -1e-3
    assert float(u.max()) <= 32 + 1e-3


def test_more_points_than_allowed_are_thinned() -> None:
    model = Gaussians(max_count=50).build(cloud(), Bounds(), ring(), generator())
    assert len(model) == 50
    assert model.means.unique(dim=0).shape[0] == 50


def test_degrees_join_one_after_another() -> None:
    model = Gaussians(harmonics_interval=0.1).build(cloud(), Bounds(), ring(), generator())
    found = [model.splats(ring(), Context(True, None, p)).degree for p in (0.0, 0.15, 0.25, 0.31, 1.0)]
    assert found == [0, 1, 2, 3, 3]
    splats = model.splats(ring(), Context(True, None, 0.15))
    assert splats.harmonics_rest is model.harmonics_rest  # whole, as it is stored: nothing is copied


def test_means_learn_in_units_of_the_scene_and_slow_down() -> None:
    model = Gaussians(rates=GaussianRates(others_end=0.1)).build(cloud(), Bounds(), ring(), generator())
    groups = {group.name: group for group in model.parameter_groups()}
    assert scene_scale(ring()) == pytest.approx(3.3)
    assert groups["means"].learning_rate(0.0) == pytest.approx(1.6e-4 * 3.3)
    assert groups["means"].learning_rate(1.0) == pytest.approx(1.6e-6 * 3.3)
    assert groups["opacity_logits"].learning_rate(1.0) == pytest.approx(5e-3)
    assert all(group.rows for group in groups.values())
    assert {name for group in groups.values() for name in group.parameters} == set(model.learnable)


def test_what_is_not_seen_is_left_alone_where_that_is_asked_for() -> None:
    model = Gaussians(selective=True).build(cloud(), Bounds(), ring(), generator())
    with torch.no_grad():
        model.means[::2] += 100  # out of every view
    before = {name: parameter.clone() for name, parameter in model.learnable.items()}
    optimizer = Optimizer(model.parameter_groups())
    for _ in range(2):
        SplatRenderer(model).render(ring(), context=Context(training=True)).color.square().sum().backward()
        optimizer.step(0.0)
    for name in ("means", "log_scales", "quaternions", "opacity_logits", "harmonics_dc"):
        assert torch.equal(model.learnable[name][::2], before[name][::2])
        assert not torch.equal(model.learnable[name][1::2], before[name][1::2])


def test_a_state_of_another_count_loads() -> None:
    source = Gaussians().build(cloud(120), Bounds(), ring(), generator())
    target = GaussianModel(Gaussians(), 7, 1.0)
    target.load_state_dict(source.state_dict())
    assert len(target) == 120
    for name, parameter in target.learnable.items():
        assert torch.equal(parameter, source.learnable[name])
    outer = torch.nn.ModuleDict({"inner": GaussianModel(Gaussians(), 3, 1.0)})
    outer.load_state_dict({f"inner.{name}": tensor for name, tensor in source.state_dict().items()})


@pytest.mark.bad_input
def test_a_state_that_does_not_fit_is_refused() -> None:
    model = GaussianModel(Gaussians(), 7, 1.0)
    state = model.state_dict()
    with pytest.raises(RuntimeError, match="harmonics_rest"):
        model.load_state_dict({name: t for name, t in state.items() if name != "harmonics_rest"})
    with pytest.raises(RuntimeError, match="size mismatch for harmonics_rest"):
        model.load_state_dict({**state, "harmonics_rest": torch.zeros(7, 8, 3)})
    with pytest.raises(ValueError, match="one count"):
        model.load_state_dict({**state, "means": torch.zeros(8, 3)})


def test_regularization_appears_in_training_alone() -> None:
    model = Gaussians(regularization=0.01).build(cloud(), Bounds(), ring(), generator())
    terms = model.splats(ring(), Context(training=True)).terms
    assert terms["opacities"].item() == pytest.approx(0.01 * 0.1)
    assert not model.splats(ring(), EVAL).terms
