import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Context, Field, Rendering, Scheduled
from scenekit.core.rays import Samples
from scenekit.representations.dense_grid import DenseGrid, DenseGridField
from scenekit.representations.smoothing import Smoothing, diffusion
from scenekit.training.optimizer import Optimizer

NOTHING = Rendering(torch.empty(0, 3), torch.empty(0))


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(positions: torch.Tensor) -> Samples:
    directions = torch.nn.functional.normalize(torch.ones_like(positions), dim=-1)
    return Samples(positions, directions, torch.full_like(positions[:, 0], 0.1))


def grown(field: DenseGridField, progress: float) -> None:
    """Let the field's own controllers act once, through an optimizer."""
    optimizer = Optimizer(field.parameter_groups())
    for controller in field.controllers():
        change = controller.after_backward(NOTHING, Context(True, generator(), progress))
        if change is not None:
            optimizer.apply(change)


def test_it_begins_as_grey_fog() -> None:
    field = DenseGrid(coarsest=8, resolution=16, initial_density=0.3).build(Bounds())
    x = 2 * torch.rand(40, 3, generator=generator()) - 1
    density, features = field.density(samples(x))
    assert isinstance(field, Field)
    assert isinstance(field, Scheduled)
    torch.testing.assert_close(density, torch.full((40,), 0.3))
    torch.testing.assert_close(field.color(features, samples(x)), torch.full((40, 3), 0.5))


def test_growing_keeps_values_and_shrinking_cuts_what_is_empty() -> None:
    field = DenseGrid(coarsest=16, resolution=40, grow_at=(0.2, 0.4), initial_density=0.01).build(Bounds())
    with torch.no_grad():
        field.densities.unflatten(0, (18, 18, 18))[5:9, 6:10, 9:13] = 30.0
        field.colors.normal_(generator=generator())
    lit = samples(torch.tensor([[0.25, -0.2, -0.3], [0.3, -0.15, -0.28]]))
    before, before_color = field.density(lit)[0], field.color(torch.zeros(2, 1), lit)
    assert float(before.min().detach()) > 10
    grown(field, 0.5)
    assert field.densities.shape == (42**3, 1)
    assert field.colors.shape == (42**3, 27)
    torch.testing.assert_close(field.density(lit)[0], before, rtol=0.1, atol=0)
    torch.testing.assert_close(field.color(torch.zeros(2, 1), lit), before_color, rtol=0, atol=0.2)
    size = field.box.corners[1] - field.box.corners[0]
    assert (size < 0.6).all()
    outside = samples(torch.tensor([[-0.9, 0.0, 0.0], [0.2, 0.95, 0.0]]))
    assert not field.density(outside)[0].any()


def test_a_fresh_field_takes_the_state_of_a_grown_one() -> None:
    config = DenseGrid(coarsest=4, resolution=12, grow_at=(0.2, 0.4), harmonics_degree=1)
    source, target = config.build(Bounds()), config.build(Bounds())
    with torch.no_grad():
        source.densities.normal_(generator=generator())
    grown(source, 0.25)
    target.load_state_dict(source.state_dict())
    x = samples(2 * torch.rand(30, 3, generator=generator()) - 1)
    assert torch.equal(target.density(x)[0], source.density(x)[0])


def test_diffusion_is_the_negative_gradient_of_half_the_variation_and_keeps_the_sum() -> None:
    values = torch.randn(4, 5, 3, 2, generator=generator(), dtype=torch.float64, requires_grad=True)
    variation = torch.stack([values.diff(dim=axis).square().sum() for axis in range(3)]).sum() / 2
    (expected,) = torch.autograd.grad(variation, values)
    torch.testing.assert_close(diffusion(values.detach()), -expected)
    assert diffusion(values.detach()).sum().item() == pytest.approx(0, abs=1e-9)


def test_smoothing_moves_one_block_less_and_less() -> None:
    table = torch.nn.Parameter(torch.randn(10**3, 1, generator=generator()))
    before = table.detach().clone()
    smoothing = Smoothing([(table, 0.1)])
    moved = []
    for progress in (0.0, 0.5):
        table.data.copy_(before)
        smoothing.after_step(Context(True, generator(), progress))
        moved.append(table.detach() - before)
    assert int((moved[0] != 0).sum()) == 3**3
    torch.testing.assert_close(moved[1], moved[0] / 2)


@pytest.mark.bad_input
def test_growing_while_averages_are_taken_and_too_much_smoothness_are_refused() -> None:
    with pytest.raises(BadInput, match="grow_at"):
        DenseGrid(grow_at=(0.95,))
    with pytest.raises(BadInput, match="smoothness"):
        DenseGrid(color_smoothness=0.5)
    field = DenseGrid(coarsest=4).build(Bounds())
    with pytest.raises(ValueError, match="power of 3"):
        field.load_state_dict({**field.state_dict(), "densities": torch.zeros(100, 1)})
