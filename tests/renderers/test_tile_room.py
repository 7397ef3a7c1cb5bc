import pytest
import torch

from scenekit.kernels.intersect import Tiles
from scenekit.kernels.project import Projected
from scenekit.kernels.rasterize import rasterize
from scenekit.renderers import tile_room
from scenekit.renderers.splats import listed
from scenekit.renderers.tile_room import TileRoom

SIZE = (64, 48)


def _tiles(needed: int, capacity: int | None = None) -> Tiles:
    room = needed if capacity is None else capacity
    count = torch.tensor(needed)
    return Tiles(torch.zeros(room, dtype=torch.int32), torch.tensor([0, min(room, needed)]), count)


def test_the_first_frame_of_a_size_is_counted_and_the_next_has_spare_room():
    room = TileRoom()
    assert room.of(SIZE) is None
    room.note(SIZE, None, _tiles(10_000))
    first = room.of(SIZE)
    assert first is not None
    assert 14_000 < first < 20_000
    assert room.of((32, 32)) is None


def test_room_grows_with_need_and_says_what_had_none(capsys: pytest.CaptureFixture[str]):
    room = TileRoom()
    room.note(SIZE, None, _tiles(1000))
    given = room.of(SIZE)
    assert given is not None
    room.note(SIZE, given, _tiles(given - 10, given))
    grown = room.of(SIZE)
    assert grown is not None
    assert grown > given
    assert not capsys.readouterr().err
    room.note(SIZE, grown, _tiles(grown + 7, grown))
    after = room.of(SIZE)
    assert after is not None
    assert after > grown + 7
    assert f"farthest 7 of {grown + 7}" in capsys.readouterr().err


def test_nobody_waits_for_a_count_that_has_not_come(monkeypatch: pytest.MonkeyPatch):
    arrived: list[int] = []
    monkeypatch.setattr(tile_room, "_later", lambda _: lambda: arrived[0] if arrived else None)
    room = TileRoom()
    room.note(SIZE, None, _tiles(1000))
    before = room.of(SIZE)
    assert before is not None
    room.note(SIZE, before, _tiles(9000, before))
    room.note(SIZE, before, _tiles(8000, before))
    assert room.of(SIZE) == before
    arrived.append(9000)
    after = room.of(SIZE)
    assert after is not None
    assert after > 9000


def test_a_picture_from_lists_with_room_to_spare_is_the_same():
    g = torch.Generator().manual_seed(0)
    means, conics = torch.rand(200, 2, generator=g) * torch.tensor(SIZE), torch.tensor([[0.2, 0.0, 0.2]]).repeat(200, 1)
    opacities, depths, features = (torch.rand(200, *more, generator=g) for more in ((), (), (3,)))
    flat = Projected(means, depths, conics, torch.ones(200), torch.full((200, 2), 9, dtype=torch.int32))
    room, pictures, lengths = TileRoom(), [], []
    for _ in range(3):
        tiles = listed(flat, opacities, SIZE, room)
        pictures.append(rasterize(means, conics, opacities, features, tiles, SIZE).features)
        lengths.append(len(tiles.gaussians))
    assert lengths[0] < lengths[1] == lengths[2]
    assert torch.equal(pictures[0], pictures[1])
    exact = listed(flat, opacities, SIZE, None).gaussians
    assert torch.equal(exact, listed(flat, opacities, SIZE, room).gaussians[: lengths[0]])
