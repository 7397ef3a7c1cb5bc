from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.protocols import ParameterGroup
from scenekit.core.rays import Samples
from scenekit.kernels import pack_cells
from scenekit.renderers.occupancy import OccupancyGrid


class Ball:
    """Dense inside a ball about the origin, empty outside."""

    def __init__(self, radius: float = 0.5, density: float = 100.0) -> None:
        self.bounds = Bounds(extent=2.0)
        self.radius = radius
        self.value = density

    def density(self, samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
        inside = samples.positions.norm(dim=-1) < self.radius
        return self.value * inside.float(), samples.positions

    def color(self, features: torch.Tensor, samples: Samples) -> torch.Tensor:
        return (features + 1) / 2

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


def cell_distances(grid: OccupancyGrid) -> torch.Tensor:
    g = grid.thickness.shape[1]
    axis = (torch.arange(g) + 0.5) * 2 / g - 1
    inner = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1)
    return torch.stack([inner * 2**k for k in range(grid.thickness.shape[0])])


def test_a_full_update_finds_the_ball_in_every_cascade() -> None:
    grid = OccupancyGrid(2, 16)
    grid.update(Ball(), grid.cells, torch.Generator().manual_seed(0))
    distances = cell_distances(grid)
    cell = torch.tensor([2 / 16, 4 / 16])[:, None, None, None]
    assert grid.occupied[distances < 0.5 - cell].all()
    assert not grid.occupied[distances > 0.5 + cell].any()


def test_partial_updates_reach_every_cell_in_time() -> None:
    grid = OccupancyGrid(2, 8)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        grid.update(Ball(), grid.cells // 4, generator)
    distances = cell_distances(grid)
    assert not grid.occupied[0][distances[0] > 0.8].any()
    assert grid.occupied[0][distances[0] < 0.2].all()


def test_what_vanishes_is_forgotten() -> None:
    grid = OccupancyGrid(1, 8)
    generator = torch.Generator().manual_seed(0)
    grid.update(Ball(), grid.cells, generator)
    assert grid.occupied.any()
    for _ in range(120):
        grid.update(Ball(radius=0.2), grid.cells, generator)
    distances = cell_distances(grid)
    assert not grid.occupied[0][distances[0] > 0.5].any()


def test_cells_that_no_camera_sees_never_come_to_life() -> None:
    grid = OccupancyGrid(1, 16)
    pose = look_at(torch.tensor([0.0, 0.0, -3.0]), torch.zeros(3), torch.tensor([0.0, -1.0, 0.0]))
    camera = Cameras(pose[None], torch.tensor([[160.0, 160.0, 8.0, 8.0]]), ((16, 16),))
    grid.forget_unseen(camera)
    grid.update(Ball(radius=5.0), grid.cells, torch.Generator().manual_seed(0))
    assert grid.occupied[0, 8, 8, 8]
    assert not grid.occupied[0, 0, 0, 8]
    assert grid.occupied.float().mean() < 0.2


def test_strides_are_even_and_take_turns() -> None:
    grid, generator = OccupancyGrid(2, 8), torch.Generator().manual_seed(0)
    grid.occupied.zero_().view(-1)[100:350:3] = True
    occupied = grid.occupied.view(-1).nonzero().squeeze(-1)
    found = torch.stack([grid._strided(100, generator) for _ in range(400)])
    anywhere, among = found[:, :50], found[:, 50:]
    gaps = anywhere.sort(1).values.diff()
    assert gaps.min() >= 20
    assert gaps.max() <= 21
    assert len(anywhere.unique()) == grid.cells
    assert torch.equal(among.unique(), occupied)
    assert all(len(row.unique()) == 50 for row in among)
    # Fewer than are asked for: each of them, some twice.
    assert torch.equal(grid._strided(400, generator)[200:].unique(), occupied)
    assert torch.equal(grid._strided(2000, generator), torch.arange(grid.cells))
    assert len(grid._strided(1, generator)) == 1


def test_strides_find_what_random_cells_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OccupancyGrid, "_drawn", OccupancyGrid._strided)
    test_a_full_update_finds_the_ball_in_every_cascade()
    test_partial_updates_reach_every_cell_in_time()
    test_what_vanishes_is_forgotten()
    test_cells_that_no_camera_sees_never_come_to_life()


class _Sizes(TorchDispatchMode):
    """Refuses what would have to wait for a GPU to know a number or a size."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = [x for x in (args[1] if name in ("index", "index_put_") else []) if x is not None]
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "repeat_interleave"), name
        assert all(mask.dtype != torch.bool for mask in masks), name
        return func(*args, **(kwargs or {}))


def test_an_update_by_strides_waits_for_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OccupancyGrid, "_drawn", OccupancyGrid._strided)
    grid, generator = OccupancyGrid(2, 8), torch.Generator().manual_seed(0)
    with _Sizes():
        for count in (grid.cells // 4, grid.cells):
            grid.update(Ball(), count, generator)
    with pytest.raises(AssertionError, match="nonzero"), _Sizes():
        grid.occupied.nonzero()


def test_bits_follow_the_cells_in_their_place() -> None:
    grid, other, generator = OccupancyGrid(2, 16), OccupancyGrid(2, 16), torch.Generator().manual_seed(0)
    assert torch.equal(grid.packed, pack_cells(grid.occupied))
    place = grid.packed.data_ptr()
    camera = Cameras(look_at(torch.zeros(3), torch.eye(3)[0], torch.eye(3)[2])[None], torch.ones(1, 4), ((2, 2),))
    for change in (
        lambda: grid.forget_unseen(camera),
        lambda: grid.update(Ball(), grid.cells, generator),
        lambda: grid.occupy(grid.occupied ^ True),
        lambda: grid.load_state_dict(other.state_dict()),
    ):
        before = grid.packed.clone()
        change()
        assert not torch.equal(grid.packed, before)
        assert torch.equal(grid.packed, pack_cells(grid.occupied))
        assert grid.packed.data_ptr() == place


def test_a_state_holds_no_bits() -> None:
    assert set(OccupancyGrid(1, 4).state_dict()) == {"occupied", "thickness"}
