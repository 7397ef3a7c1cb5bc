import itertools
import math
from typing import Literal

import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import Encoding, Field
from scenekit.core.rays import Samples
from scenekit.representations.hash_grid import HashGrid
from scenekit.representations.mlp import Mlp, MlpEncoding, frequencies
from scenekit.representations.networks import RadianceNetworks

Activation = Literal["relu", "siren"]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def small(activation: Activation) -> Mlp:
    return Mlp(activation=activation, finest=16, width=24, layers=3, skip=2)


def test_frequencies_are_the_position_and_its_octaves() -> None:
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    found = frequencies(x, 3)[0]
    assert found.shape == (2 * (1 + 2 * 3),)
    assert torch.equal(found[:2], x[0])
    octaves = torch.tensor([math.pi * 2**k for k in range(3)], dtype=torch.float64)
    torch.testing.assert_close(found[2:8], (octaves[:, None] * x).sin().flatten())
    torch.testing.assert_close(found[8:], (octaves[:, None] * x).cos().flatten())


def test_a_scene_in_the_inner_cube_has_the_ten_frequencies_of_nerf_and_a_larger_one_more() -> None:
    config = Mlp(width=8, layers=2)
    for extent, expected in ((1.0, 10), (4.0, 12)):
        encoding = config.build(Bounds(extent=extent), generator()).encoding
        assert isinstance(encoding, MlpEncoding)
        assert encoding.frequencies == expected


def test_nerf_s_size_and_its_skip() -> None:
    encoding = Mlp().encoding(3, 1024, generator())
    shapes = [tuple(layer.weight.shape) for layer in encoding.layers]  # type: ignore[union-attr]
    assert shapes[0] == (256, 63)
    assert shapes[4] == (256, 256 + 63)
    assert shapes[-1] == (28, 256)
    assert len(shapes) == 9


@pytest.mark.parametrize("activation", ["relu", "siren"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_it_encodes_points_of_any_dimension(activation: Activation, dimensions: int) -> None:
    encoding = small(activation).encoding(dimensions, 16, generator())
    assert isinstance(encoding, Encoding)
    for count in (0, 1, 50):
        positions = torch.rand(count, dimensions, generator=generator(), requires_grad=True)
        features = encoding(positions)
        assert features.shape == (count, encoding.features)
        (gradient,) = torch.autograd.grad(features.sum(), positions)
        assert gradient.isfinite().all()


def test_sirens_start_with_activations_that_neither_fade_nor_saturate() -> None:
    encoding = Mlp(activation="siren", width=256, layers=6).encoding(3, 512, generator())
    x = 2 * torch.rand(2000, 3, generator=generator()) - 1
    first, *hidden, _ = encoding.layers
    x = torch.sin(encoding.omega * first(x))
    spreads = []
    for layer in hidden:
        x = torch.sin(30 * layer(x))
        spreads.append(float(x.detach().std()))
    assert all(0.6 < spread < 0.8 for spread in spreads), spreads  # arcsine distribution: 1 / sqrt(2)


@pytest.mark.parametrize("activation", ["relu", "siren"])
def test_its_networks_are_those_of_a_hash_grid_of_as_many_features(activation: Activation) -> None:
    field = small(activation).build(Bounds(), generator())
    grid = HashGrid(levels=14, features=2, log2_table=8).build(Bounds(), generator())
    assert isinstance(field, Field)
    assert isinstance(field.networks, RadianceNetworks)
    ours = {name: p.shape for name, p in field.named_parameters() if name.startswith("networks.")}
    theirs = {name: p.shape for name, p in grid.named_parameters() if name.startswith("networks.")}
    assert ours == theirs
    names = list(itertools.chain.from_iterable(group.parameters for group in field.parameter_groups()))
    assert sorted(names) == sorted(name for name, _ in field.named_parameters())


def test_the_same_generator_makes_the_same_network_whatever_torch_s_own_state() -> None:
    fields = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        fields.append(small("relu").build(Bounds(), generator()))
    x = torch.rand(5, 3, generator=generator())
    samples = Samples(x, torch.nn.functional.normalize(x, dim=-1), x[:, 0])
    assert torch.equal(fields[0].density(samples)[0], fields[1].density(samples)[0])
