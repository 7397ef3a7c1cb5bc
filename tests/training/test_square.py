import math

import torch

from scenekit.core.protocols import Change, Context
from scenekit.kernels.grid_sort import neighbour_variance
from scenekit.representations.compact import sorting_keys
from scenekit.representations.gaussians import GaussianModel, Gaussians
from scenekit.training.controllers import DENSIFICATION, Growth, SquareGrid
from scenekit.training.optimizer import Optimizer
from scenekit.training.steps import NOTHING

GROWTH = Growth(10_000, start=0.0, stop=0.5, every=10)


def _model(count: int) -> GaussianModel:
    model = GaussianModel(Gaussians(harmonics_degree=1, compact=True), count, 1.0)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def _acts(controller: SquareGrid, steps: int, progress: float = 0.1) -> list[Change | None]:
    context = Context(True, torch.Generator().manual_seed(0), progress)
    return [controller.after_backward(NOTHING, context) for _ in range(steps)]


def _vad(model: GaussianModel) -> float:
    return neighbour_variance(sorting_keys(model.means, model.log_scales, model.harmonics_dc[:, 0]))


def test_rows_are_sorted_when_densification_has_acted_and_only_then():
    changes = _acts(SquareGrid(_model(500), GROWTH), 25)
    assert [index + 1 for index, change in enumerate(changes) if change is not None] == [10, 20]
    assert not any(_acts(SquareGrid(_model(500), GROWTH), 25, progress=0.6))


def test_the_grid_is_square_smooth_and_the_moments_go_with_their_rows():
    model = _model(630)
    optimizer = Optimizer(model.parameter_groups())
    for parameter in model.parameters():
        parameter.grad = parameter.detach().clone()  # so that moments tell whose they are
    optimizer.step(0.0)
    change = _acts(SquareGrid(model, GROWTH), 10)[-1]
    assert change is not None
    optimizer.apply(change)
    assert len(model) == math.isqrt(630) ** 2
    assert not bool(change.fresh.any())
    moments = optimizer.state_dict()["first"]["means"]
    assert float(torch.corrcoef(torch.stack([moments.flatten(), model.means.detach().flatten()]))[0, 1]) > 0.999
    assert _vad(model) < 1.6  # shuffled: 2


def test_only_compact_gaussians_are_kept_square():
    for name in ("default", "mcmc"):
        kinds = [type(c) for c in DENSIFICATION[name](_model(4))]
        assert kinds[-1] is SquareGrid
        plain = GaussianModel(Gaussians(), 4, 1.0)
        assert SquareGrid not in [type(c) for c in DENSIFICATION[name](plain)]
