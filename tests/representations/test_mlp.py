import itertools
import math
from typing import Literal

import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.protocols import Encoding, Field
from scenekit.core.rays import Samples
from scenekit.representations.hash_grid import HashGrid
from scenekit.representations.mlp import FrequencyNetwork, Mlp, MlpEncoding, frequencies, octaves
from scenekit.representations.networks import RadianceNetworks
from scenekit.representations.sines import HIDDEN_OMEGA, SineNetwork

Activation = Literal["relu", "siren"]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def small(activation: Activation) -> Mlp:
    return Mlp(activation=activation, finest=16, width=24, layers=3, skip=2)


def relu_network(config: Mlp, bounds: Bounds) -> FrequencyNetwork:
    encoding = config.build(bounds, generator()).encoding
    assert isinstance(encoding, MlpEncoding)
    assert isinstance(encoding.network, FrequencyNetwork)
    return encoding.network


@pytest.mark.parametrize("skip", [0, 2])
def test_the_relu_network_is_its_layers_one_after_another(skip: int) -> None:
    network = relu_network(Mlp(finest=16, width=24, layers=3, skip=skip), Bounds()).double()
    x = 2 * torch.rand(40, 3, generator=generator(), dtype=torch.float64) - 1
    encoded = frequencies(x, network.waves, network.phases)
    first, second, third, last = network.weights
    h = torch.relu(torch.relu(encoded @ first.T) @ second.T)
    h = torch.relu((torch.cat([h, encoded], -1) if skip else h) @ third.T)
    torch.testing.assert_close(network(x), h @ last.T)


def test_frequencies_are_a_constant_and_the_octaves_of_every_coordinate() -> None:
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    found = frequencies(x, *(part.double() for part in octaves(3)))[0]
    assert found.shape == (2 * (1 + 2 * 3),)
    torch.testing.assert_close(found[:2], torch.ones(2, dtype=torch.float64))
    waves = torch.tensor([math.pi * 2**k for k in range(3)], dtype=torch.float64)
    torch.testing.assert_close(found[2:8], (waves[:, None] * x).sin().flatten(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found[8:], (waves[:, None] * x).cos().flatten(), rtol=0, atol=1e-6)


def test_a_scene_in_the_inner_cube_has_the_ten_frequencies_of_nerf_and_a_larger_one_more() -> None:
    config = Mlp(width=8, layers=2)
    for extent, expected in ((1.0, 10), (4.0, 12)):
        network = relu_network(config, Bounds(extent=extent))
        assert network.frequencies == expected


def test_nerf_s_size_and_its_skip() -> None:
    shapes = [tuple(weight.shape) for weight in relu_network(Mlp(), Bounds()).weights]
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
    network = Mlp(activation="siren", width=256, layers=6).encoding(3, 512, generator()).network
    assert isinstance(network, SineNetwork)
    x = 2 * torch.rand(2000, 3, generator=generator()) - 1
    first, *hidden, _ = network.layers
    x = torch.sin(network.omega * first(x))
    spreads = []
    for layer in hidden:
        x = torch.sin(HIDDEN_OMEGA * layer(x))
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
