import torch

from scenekit.core.bounds import Bounds
from scenekit.distill.bake.blocks import BLOCK, FEW_BLOCKS, SIDE, blocks_where, corners_of, finest_blocks


def some_blocks(bounds, resolution=32, grid=16, seed=0):
    occupied = torch.rand(bounds.cascades, grid, grid, grid, generator=torch.Generator().manual_seed(seed)) < 0.02
    return occupied, blocks_where(bounds, occupied, resolution)


def test_blends_of_vertices_are_those_of_a_dense_grid():
    _, blocks = some_blocks(Bounds())
    dense = torch.rand(33, 33, 33)
    values = dense[blocks.places.unbind(-1)]
    unit = torch.rand(4000, 3)
    there, rows, weights = corners_of(blocks, unit)
    found = (values[rows] * weights).sum(-1)[there]
    volume = dense.permute(2, 1, 0)[None, None]
    at = (unit * 2 - 1)[None, None, None]
    wanted = torch.nn.functional.grid_sample(volume, at, align_corners=True).flatten()[there]
    assert 100 < there.sum() < 4000
    assert torch.allclose(found, wanted, atol=1e-5)


def test_every_sample_in_an_occupied_cell_has_a_block():
    for bounds in (Bounds(), Bounds(4.0, contracted=True)):
        occupied, blocks = some_blocks(bounds)
        for k, cascade in enumerate(occupied):
            cells = cascade.nonzero()
            places = ((cells + torch.rand(len(cells), 3)) * (2 / 16) - 1) * 2.0**k
            assert corners_of(blocks, bounds.normalize(places))[0].all()


def test_a_grid_is_as_fine_as_a_page_has_room_for():
    for share, resolution in ((0.02, 512), (0.5, 256), (0.8, 128)):
        occupied = torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0)) < share
        blocks = finest_blocks(Bounds(), occupied)
        assert blocks.resolution == resolution
        assert len(blocks) == int(occupied.sum()) * (resolution // BLOCK // 16) ** 3 <= FEW_BLOCKS


def test_neighbours_share_the_vertices_of_their_faces():
    _, blocks = some_blocks(Bounds())
    assert len(blocks.places.unique(dim=0)) == len(blocks.places)
    for number, rows in enumerate(blocks.vertices.tolist()):
        corner = (blocks.numbers == number + 1).nonzero()[0] * BLOCK
        assert blocks.places[rows[0]].tolist() == corner.tolist()
        assert blocks.places[rows[1]].tolist() == [int(corner[0]) + 1, *corner[1:].tolist()]
        assert blocks.places[rows[SIDE]].tolist() == [int(corner[0]), int(corner[1]) + 1, int(corner[2])]
