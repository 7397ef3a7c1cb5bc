import json
from dataclasses import replace

import numpy as np
import torch

from scenekit.assets.web import export_web
from scenekit.assets.web.volume import FARTHEST, empty_around, volume_chunks, volume_values
from scenekit.core.rays import Samples
from scenekit.distill.bake.blocks import BLOCK, SIDE

from .scenes import random_splats, splat_scene
from .volumes import random_baked


def test_a_byte_of_the_occupancy_says_how_far_the_next_cell_is():
    occupied = torch.zeros(1, 16, 16, 16, dtype=torch.bool)
    occupied[0, 5, 6, 7] = True
    far = empty_around(occupied)[0]
    at = torch.stack(torch.meshgrid(*[torch.arange(16)] * 3, indexing="ij"), -1)
    to_cell = (at - torch.tensor([5, 6, 7])).abs().amax(-1)
    to_face = torch.minimum(at + 1, 16 - at).amin(-1)
    assert torch.equal(far, torch.minimum(to_cell, to_face).clamp(max=FARTHEST).to(torch.uint8))


def test_the_coarse_copy_alone_makes_the_first_picture(tmp_path):
    scene = replace(splat_scene(random_splats(0)), renderer=random_baked(resolution=64))
    export_web(scene, tmp_path / "page")
    copy, whole = json.loads((tmp_path / "page" / "scene.json").read_text())["nodes"][:2]
    assert {chunk["level"] for chunk in copy["chunks"]} == {0}
    assert min(chunk["level"] for chunk in whole["chunks"]) > 0


def test_the_textures_hold_what_the_field_reads():
    renderer = random_baked()
    values, parts = volume_values(renderer), {}
    for chunk in volume_chunks(renderer):
        parts.setdefault(chunk.part, []).append(chunk)
    raw = {part: b"".join(chunk.raw for chunk in chunks) for part, chunks in parts.items()}
    for chunks in parts.values():
        assert [c.values["first"] for c in chunks][1:] == np.cumsum([c.values["count"] for c in chunks])[:-1].tolist()
    sides = values["resolution"] // BLOCK
    numbers = np.frombuffer(raw["blocks"], "<u2").reshape(sides, sides, sides)
    nx, ny, nz = (SIDE * tiles for tiles in values["atlas"])
    atlas = np.frombuffer(raw["atlas"], np.uint8).reshape(2, nz, ny, nx, 4)
    planes = np.frombuffer(raw["planes"], np.uint8).reshape(3, 2, values["planes"], values["planes"], 4)
    for x, y, z in renderer.field.blocks.places[::97].tolist():
        block = [min(c // BLOCK, sides - 1) for c in (x, y, z)]
        number = int(numbers[block[2], block[1], block[0]]) - 1
        if number < 0:
            continue
        tiles = values["atlas"]
        tile = (number % tiles[0], number // tiles[0] % tiles[1], number // (tiles[0] * tiles[1]))
        i, j, k = (SIDE * t + c - BLOCK * b for t, c, b in zip(tile, (x, y, z), block, strict=True))
        steps = atlas[:, k, j, i].reshape(8).astype(float) - 128
        unit = np.array([x, y, z]) / values["resolution"]
        for plane, axes in enumerate(((0, 1), (0, 2), (1, 2))):
            u, v = unit[list(axes)] * (values["planes"] - 2) + 0.5
            c, r = int(u), int(v)
            for row, col, weight in (
                (r, c, (1 - u + c) * (1 - v + r)),
                (r, c + 1, (u - c) * (1 - v + r)),
                (r + 1, c, (1 - u + c) * (v - r)),
                (r + 1, c + 1, (u - c) * (v - r)),
            ):
                steps = steps + weight * (planes[plane, :, row, col].reshape(8).astype(float) - 128)
        place = torch.from_numpy((unit * 2 - 1) * renderer.field.bounds.extent).float()[None]
        density, features = renderer.field.density(Samples(place, place, place[:, 0]))
        reach = np.array([values["reach"][0], *[values["reach"][1]] * 7])
        wanted = steps * reach / 127
        assert np.isclose(density.item() * values["unit"], np.exp(wanted[0]), rtol=1e-3)
        assert np.allclose(features[0].detach().numpy(), 1 / (1 + np.exp(-wanted[1:])), atol=1e-4)
