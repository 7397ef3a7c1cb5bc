import itertools

import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.checks import BadInput
from scenekit.core.protocols import EVAL, Context, Encoding, Field, Regularized, Rendering, Scheduled
from scenekit.core.rays import Samples
from scenekit.representations.factors import Decomposition, Factors
from scenekit.representations.hash_grid import HashGrid
from scenekit.representations.low_rank import LowRank, LowRankField
from scenekit.representations.networks import ColorNetwork
from scenekit.training.optimizer import Optimizer

NOTHING = Rendering(torch.empty(0, 3), torch.empty(0))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def small(**options: object) -> LowRank:
    sizes = {"density_rank": 2, "color_rank": 3, "coarsest": 6, "finest": 24, "grow_at": (0.2, 0.4)}
    return LowRank(**(sizes | options))  # type: ignore[arg-type]


def samples(positions: torch.Tensor) -> Samples:
    directions = torch.nn.functional.normalize(torch.ones_like(positions), dim=-1)
    return Samples(positions, directions, torch.full_like(positions[:, 0], 0.1))


def grown(field: LowRankField, progress: float) -> None:
    """Let the field's own controller act once, through an optimizer."""
    (controller,) = field.controllers()
    change = controller.after_backward(NOTHING, Context(True, None, progress))
    assert change is not None
    Optimizer(field.parameter_groups()).apply(change)


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_components_are_planes_times_lines_or_lines_times_lines(dimensions: int) -> None:
    cells, rank = 5, 2
    positions = torch.rand(20, dimensions, generator=generator(), dtype=torch.float64)
    for kind in ("vm", "cp"):
        factors = Factors(kind, dimensions, rank, cells, generator()).double()
        place = positions * cells + 0.5
        cell = place.floor().long()
        expected, tables = [], iter(factors.tables)
        for product in factors.products:
            value = torch.ones(20, rank, dtype=torch.float64)
            for axes in product:
                table, side = next(tables), cells + 2
                total = torch.zeros(20, rank, dtype=torch.float64)
                for corner in itertools.product((0, 1), repeat=len(axes)):
                    weight, row = torch.ones(20, dtype=torch.float64), torch.zeros(20, dtype=torch.int64)
                    for bit, axis, stride in zip(corner, axes, (1, side), strict=False):
                        fraction = place[:, axis] - cell[:, axis]
                        weight = weight * (fraction if bit else 1 - fraction)
                        row = row + (cell[:, axis] + bit) * stride
                    total = total + weight[:, None] * table[row]
                value = value * total
            assert sorted(itertools.chain.from_iterable(product)) == list(range(dimensions))
            expected.append(value)
        torch.testing.assert_close(factors(positions), torch.cat(expected, -1))


@pytest.mark.parametrize("kind", ["vm", "cp"])
def test_twice_as_many_cells_change_no_value_at_the_old_vertices(kind: Decomposition) -> None:
    factors = Factors(kind, 3, 4, 8, generator())
    old = (torch.randint(8, (50, 3), generator=generator()) + 0.5) / 8  # vertices i + 1/2 of both resolutions
    before = factors(old)
    for name, value in factors.resized(24, torch.zeros(3), torch.ones(3)).items():
        factors.get_parameter(name).data = value
    torch.testing.assert_close(factors(old), before, rtol=1e-4, atol=1e-6)


def test_growing_keeps_the_density_and_shrinking_keeps_what_is_dense() -> None:
    field = small(initial_density=0.001).build(Bounds(), generator())
    with torch.no_grad():  # one bright ball of three cells about (0.25, 0, 0) in [-1, 1]
        for table in field.density_factors.tables:
            table.zero_()
        side = field.cells[0] + 2
        bump = torch.tensor([0.0, 0, 0, 0, 3, 0, 0, 0])
        middle = torch.tensor([0.0, 0, 0, 3, 3, 0, 0, 0])
        for axes, table in zip(field.density_factors.axes, field.density_factors.tables, strict=True):
            profiles = [bump if axis == 0 else middle for axis in axes]
            assert len(profiles[0]) == side
            values = profiles[0] if len(axes) == 1 else (profiles[1][:, None] * profiles[0]).flatten()
            table[:, 0] = values
    inside = torch.tensor([[0.2, 0.0, 0.0], [0.1, 0.05, -0.05]])
    before = field.density(samples(inside))[0]
    assert before[0].item() > 100
    grown(field, 0.5)  # both stages at once
    low, high = field.box.corners
    assert (low > 0.1).all()
    assert (high < 0.9).all()
    assert (low < 0.45).all()
    assert (high > 0.55).all()
    torch.testing.assert_close(field.density(samples(inside))[0].log(), before.log(), rtol=0.15, atol=0)
    outside = torch.tensor([[-0.9, 0.0, 0.0], [0.2, 0.95, 0.0]])
    assert not field.density(samples(outside))[0].any()
    assert [table.shape[0] for table in field.density_factors.tables] == [26**2, 26] * 3


def test_nothing_dense_keeps_the_whole_box() -> None:
    field = small().build(Bounds(), generator())
    with torch.no_grad():
        for table in field.density_factors.tables:
            table.zero_()
    grown(field, 0.5)
    assert torch.equal(field.box.corners, torch.tensor([[0.0] * 3, [1.0] * 3]))


def test_a_fresh_field_takes_the_state_of_a_grown_one() -> None:
    source = small().build(Bounds(), generator())
    grown(source, 0.25)
    target = small().build(Bounds(), torch.Generator().manual_seed(9))
    target.load_state_dict(source.state_dict())
    x = 2 * torch.rand(30, 3, generator=generator()) - 1
    assert torch.equal(target.density(samples(x))[0], source.density(samples(x))[0])
    features = torch.zeros(30, 1)
    assert torch.equal(target.color(features, samples(x)), source.color(features, samples(x)))


def test_it_is_a_field_that_schedules_itself_and_shares_its_colour_network() -> None:
    field = LowRank(density_rank=2, color_rank=2, coarsest=4, finest=4).build(Bounds(), generator())
    assert isinstance(field, Field)
    assert isinstance(field, Scheduled)
    assert isinstance(field, Regularized)
    ours = {name: p.shape for name, p in field.named_parameters() if name.startswith("networks.")}
    theirs = dict(HashGrid(log2_table=8).build(Bounds(), generator()).named_parameters())
    assert ours == {name: theirs[name].shape for name in ours}
    names = list(itertools.chain.from_iterable(group.parameters for group in field.parameter_groups()))
    assert sorted(names) == sorted(name for name, _ in field.named_parameters())


@pytest.mark.parametrize("kind", ["vm", "cp"])
def test_its_colour_features_encode_points_of_other_signals(kind: Decomposition) -> None:
    config = small(decomposition=kind, network=ColorNetwork(geometry_features=8))
    for dimensions in (2, 3):
        encoding = config.encoding(dimensions, 10, generator())
        assert isinstance(encoding, Encoding)
        assert encoding(torch.rand(7, dimensions, generator=generator())).shape == (7, 7)


def test_the_weight_of_density_factors_is_a_loss() -> None:
    field = small(sparsity=0.5).build(Bounds(), generator())
    expected = 0.5 * sum(float(table.detach().abs().mean()) for table in field.density_factors.tables)
    assert field.terms(EVAL)["sparsity"].item() == pytest.approx(expected, rel=1e-5)
    assert not small(sparsity=0.0).build(Bounds(), generator()).terms(EVAL)


@pytest.mark.bad_input
def test_what_does_not_fit_is_refused() -> None:
    field = small().build(Bounds(), generator())
    with pytest.raises(ValueError, match="power of 2"):
        field.load_state_dict({**field.state_dict(), "density_factors.tables.0": torch.zeros(50, 2)})
    with pytest.raises(BadInput, match="grow_at"):
        small(grow_at=(0.2, 0.95))
    with pytest.raises(ValueError, match="at least 2"):
        small().encoding(1, 10)
