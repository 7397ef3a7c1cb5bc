from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import Adaptive, Encoding, Scheduled
from scenekit.core.rays import Cells, Rays, Samples, Way
from scenekit.data import synthetic
from scenekit.kernels import native
from scenekit.recipes import Fitting, VolumeFitting, prepare
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations.kmeans import spacing_of, weighted_kmeans, whitening_of
from scenekit.representations.networks import Networks, layers
from scenekit.representations.radiance import RadianceField
from scenekit.representations.rbf import RBF
from scenekit.representations.rbf_encodings import AdaptiveRBFEncoding
from scenekit.training.steps import steps

TINY: dict[str, Any] = {"levels": 3, "features": 2, "log2_table": 10, "centers": 300, "functions": 16}


def tiny(**changed: Any) -> RBF:
    return RBF(**TINY | changed)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(points: Tensor) -> Tensor:
    """A disc with a sharp rim on a smooth ground."""
    inside = (points - torch.tensor([0.3, 0.4])).norm(dim=-1, keepdim=True) < 0.15
    return 0.5 + 0.3 * (7 * points[:, :1]).sin() * (5 * points[:, 1:]).cos() + 0.4 * inside


def samples_at(positions: Tensor) -> Samples:
    return Samples(positions, torch.zeros_like(positions), torch.zeros(len(positions)))


def sphere(points: Tensor) -> Tensor:
    return (points - 0.5).norm(dim=-1, keepdim=True) - 0.3


def error_after_fitting(encoding: Encoding, signal, rounds: int = 150) -> float:
    """Mean squared error of a linear map of the encoding, as a share of the signal's variance."""
    generator = seeded(1)
    (last,) = layers([encoding.features, 1], generator)
    bias = nn.Parameter(torch.zeros(1))
    groups = [list(g.parameters.values()) for g in encoding.parameter_groups()]
    optimizer = torch.optim.Adam([p for group in groups for p in group] + [last, bias], 0.01, eps=1e-15)
    for _ in range(rounds):
        points = torch.rand(1024, encoding.dimensions, generator=generator)
        loss = (nn.functional.linear(encoding(points), last, bias) - signal(points)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    points = torch.rand(4096, encoding.dimensions, generator=seeded(2))
    with torch.no_grad():
        found = nn.functional.linear(encoding(points), last, bias)
    return float((found - signal(points)).square().mean() / signal(points).var())


@pytest.mark.parametrize("kind", ["neurons", "adaptive"])
@pytest.mark.parametrize("kernel", ["gaussian", "inverse_quadratic", "inverse_multiquadric", "wendland_c2"])
def test_an_image_is_learnt_with_every_kernel(kind, kernel):
    encoding = tiny(kind=kind, kernel=kernel).encoding(2, 32, seeded())
    assert isinstance(encoding, Encoding)
    assert error_after_fitting(encoding, picture) < 0.1


@pytest.mark.parametrize("kind", ["neurons", "adaptive"])
def test_a_signed_distance_is_learnt(kind):
    assert error_after_fitting(tiny(kind=kind, log2_table=13).encoding(3, 32, seeded()), sphere) < 0.05


def test_functions_that_adapt_learn_an_edge_better_than_functions_anywhere():
    config = tiny(kind="adaptive", levels=1, features=1, log2_table=6)
    errors = []
    for adapted in (False, True):
        encoding = config.encoding(2, 4, seeded())
        assert isinstance(encoding, Adaptive)
        if adapted:
            points = torch.rand(20000, 2, generator=seeded(3))
            steepness = (picture(points + 0.01) - picture(points)).abs().squeeze(-1)
            encoding.adapt(points, steepness + 0.01, seeded(4))
        errors.append(error_after_fitting(encoding, picture, 300))
    assert errors[1] < 0.8 * errors[0]


def test_clusters_are_where_weights_are_large():
    points = torch.rand(5000, 2, generator=seeded())
    weights = torch.where(points[:, 0] < 0.5, 9.0, 1.0)
    centers, owners = weighted_kmeans(points, weights, 200, seeded(1))
    left = (centers[:, 0] < 0.5).sum().item()
    assert 110 < left < 195
    distances = (points[:, None] - centers).norm(dim=-1)
    assert torch.equal(distances.gather(1, owners[:, None]).squeeze(1), distances.min(-1).values)


def test_rounds_of_kmeans_gather_points_closer():
    points, weights = torch.rand(3000, 3, generator=seeded()), torch.ones(3000)

    def spread(rounds: int) -> float:
        centers, owners = weighted_kmeans(points, weights, 50, seeded(1), rounds=rounds)
        return float((points - centers[owners]).square().sum(-1).mean())

    assert spread(10) < 0.85 * spread(0)


def test_fewer_points_than_clusters_still_give_centres_apart():
    points, weights = torch.rand(5, 2, generator=seeded()), torch.ones(5)
    centers, _ = weighted_kmeans(points, weights, 20, seeded(1))
    assert spacing_of(centers).min() > 1e-6


def test_shapes_are_long_along_the_points_they_stand_for():
    along = torch.linspace(-0.04, 0.04, 101)
    points = torch.stack([0.5 + along, 0.5 + 0.01 * (along * 900).sin()], -1)
    centers = torch.tensor([[0.5, 0.5], [0.5, 0.505]])
    whitening = whitening_of(points, torch.ones(101), centers, torch.zeros(101, dtype=torch.int64))
    across = (whitening[0] @ torch.tensor([0.0, 0.01])).norm()
    length = (whitening[0] @ torch.tensor([0.01, 0.0])).norm()
    assert across > 2 * length


@pytest.mark.bad_input
def test_weights_that_say_nothing_are_refused():
    points = torch.rand(10, 2)
    for weights in (torch.zeros(10), torch.full((10,), -1.0), torch.full((10,), torch.nan)):
        with pytest.raises(ValueError, match="weights: wanted finite ones, none negative and some positive"):
            weighted_kmeans(points, weights, 3)
    with pytest.raises(ValueError, match="neighbors: wanted at most the number of centers, 3, found 4"):
        RBF(kind="adaptive", centers=3).encoding(2, 32)


def test_an_adapted_encoding_comes_back_from_its_state():
    config = tiny(kind="adaptive")
    first, second = config.encoding(2, 32, seeded(1)), config.encoding(2, 32, seeded(2))
    assert isinstance(first, nn.Module)
    assert isinstance(second, nn.Module)
    assert isinstance(first, Adaptive)
    first.adapt(torch.rand(2000, 2, generator=seeded(3)), torch.ones(2000), seeded(4))
    second.load_state_dict(first.state_dict())
    points = torch.rand(50, 2, generator=seeded(5))
    assert torch.equal(first(points), second(points))


def test_a_radiance_field_moves_its_functions_to_what_is_dense():
    capture = synthetic.make(views=12, size=(24, 24))
    config = tiny(kind="adaptive", finest=64, networks=Networks(width=16, color_layers=1))
    fitting = VolumeFitting(batch_samples=4096, occupancy_cells=4096, marching=Marching(steps=64, grid=32))
    session = prepare(capture, config, Fitting(steps=200, seed=1), fitting)
    assert isinstance(session.scene.renderer, VolumeRenderer)
    field = session.scene.renderer.field
    assert isinstance(field, RadianceField)
    assert isinstance(field, Scheduled)
    assert isinstance(field.encoding, AdaptiveRBFEncoding)
    before = field.encoding.get_buffer("centers").clone()
    seen = [step.psnr for step in steps(session.training)]
    centers = field.encoding.get_buffer("centers")
    with torch.no_grad():
        density = [field.density(samples_at(x * 2 - 1))[0].clamp(max=20).mean() for x in (before, centers)]
    assert density[1] > 2 * density[0]
    assert sum(seen[-10:]) > sum(seen[:10]) + 30  # 3 dB on average


def test_neurons_do_not_adapt():
    field = tiny().build(Bounds())
    assert not isinstance(field.encoding, Adaptive)
    assert field.controllers() == []


@pytest.mark.parametrize("kind", ["neurons", "adaptive"])
def test_neurons_alone_are_traced_in_one_pass(kind: str):
    if native.library() is None:
        pytest.skip("no compiled library")
    field = tiny(kind=kind).build(Bounds())
    one, cells = torch.ones(1), torch.ones(1, 8, 8, 8, dtype=torch.bool)
    rays = Rays(torch.tensor([[0.0, 0.0, -2.0]]), torch.tensor([[0.0, 0.0, 1.0]]), one, one)
    way = Way(one, 3 * one, Cells(cells), 0.5 * one, (0.1, 0.1, 0.0), 40)
    assert (field.trace(rays, way) is None) == (kind == "adaptive")
    assert (field.reach(rays, way) is None) == (kind == "adaptive")
