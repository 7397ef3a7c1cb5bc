import pytest
import torch

from scenekit.kernels.project import Projected
from scenekit.kernels.rasterize import rasterize
from scenekit.renderers import tile_room
from scenekit.renderers.splats import listed
from scenekit.renderers.tile_room import Frame, TileRoom

SIZE = (64, 48)


def _frame(needed: int, room: int | None = None) -> Frame:
    return Frame(SIZE, needed if room is None else room, torch.tensor(needed))


def test_the_first_frame_of_a_size_is_counted_and_the_next_has_spare_room():
    room = TileRoom()
    assert room.of(SIZE) is None
    room.note([_frame(10_000)])
    first = room.of(SIZE)
    assert first is not None
    assert 14_000 < first < 20_000
    assert room.of((32, 32)) is None


def test_room_grows_with_need_and_says_what_had_none(capsys: pytest.CaptureFixture[str]):
    room = TileRoom()
    room.note([_frame(1000)])
    given = room.of(SIZE)
    assert given is not None
    room.note([_frame(given - 10, given)])
    room.note([])
    grown = room.of(SIZE)
    assert grown is not None
    assert grown > given
    assert not capsys.readouterr().err
    room.note([_frame(grown + 7, grown)])
    room.note([])
    after = room.of(SIZE)
    assert after is not None
    assert after > grown + 7
    assert f"farthest 7 of {grown + 7}" in capsys.readouterr().err


def test_nobody_waits_for_a_count_that_has_not_come(monkeypatch: pytest.MonkeyPatch):
    arrived: list[int] = []
    monkeypatch.setattr(tile_room, "_later", lambda _: lambda: arrived[0] if arrived else None)
    room = TileRoom()
    room.note([_frame(1000)])
    before = room.of(SIZE)
    assert before is not None
    room.note([_frame(9000, before)])
    room.note([_frame(8000, before)])
    room.note([])
    assert room.of(SIZE) == before
    arrived.append(9000)
    room.note([])
    after = room.of(SIZE)
    assert after is not None
    assert after > 9000


def test_a_recording_is_outgrown_once_a_replay_was_short_of_room(capsys: pytest.CaptureFixture[str]):
    room = TileRoom()
    room.note([_frame(1000)])
    before, given = room.stage(), room.of(SIZE)
    assert given is not None
    recorded = _frame(0, given)
    assert recorded.needed is not None
    for needed in (1000, int(given / 1.2), given + 3):  # what replays leave there
        assert room.stage() == before
        recorded.needed.fill_(needed)
        room.note([recorded])
    room.note([])
    assert room.stage() != before
    assert f"farthest 3 of {given + 3}" in capsys.readouterr().err


def test_a_picture_from_lists_with_room_to_spare_is_the_same():
    g = torch.Generator().manual_seed(0)
    means, conic = torch.rand(200, 2, generator=g) * torch.tensor(SIZE), torch.tensor([0.2, 0.0, 0.2])
    shown = torch.rand(200, 4, generator=g)
    rows = torch.cat([means, conic.expand(200, 3), shown, torch.zeros(200, 3)], 1)
    flat = Projected(rows, torch.rand(200, generator=g))
    room, pictures, lengths = TileRoom(), [], []
    for _ in range(3):
        tiles = listed(flat, SIZE, room)
        room.note([Frame(SIZE, len(tiles.gaussians), tiles.needed)])
        pictures.append(rasterize(rows, tiles, SIZE).features)
        lengths.append(len(tiles.gaussians))
    assert lengths[0] < lengths[1] == lengths[2]
    assert torch.equal(pictures[0], pictures[1])
    exact = listed(flat, SIZE, None).gaussians
    assert torch.equal(exact, listed(flat, SIZE, room).gaussians[: lengths[0]])
