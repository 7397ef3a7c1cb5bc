import math

import torch

from scenekit.assets.web.chunks import pack
from scenekit.assets.web.order import BLOCK, blocks_by_importance
from scenekit.assets.web.splats import dequantise, quantise

from .scenes import random_splats


def round_trip(splats):
    quantised = quantise(splats)
    raw = {(chunk.part, chunk.values["block"]): chunk.raw for chunk in quantised.chunks}
    chunks = [pack(chunk).entry for chunk in quantised.chunks]
    node = {"degree": quantised.degree, "blocks": quantised.blocks, "chunks": chunks}
    return dequantise(node, raw)


def order_of(splats):
    seen = (splats.opacities >= 1 / 255).nonzero().squeeze(-1)
    kept = type(splats)(*(t[seen] for t in list(vars(splats).values())[:6]), degree=splats.degree)
    return seen[torch.cat([rows for _, rows in blocks_by_importance(kept)])]


def test_quantised_splats_stay_within_half_a_step_of_the_given_ones():
    splats = random_splats(3000)
    rows = order_of(splats)
    back = round_trip(splats)
    box = splats.means.amax(0) - splats.means.amin(0)
    assert ((back.means - splats.means[rows]).abs() <= box / 65535 / 2 + 1e-5).all()
    logs = splats.scales[rows].log()
    assert (back.scales.log() - logs).abs().max() <= (logs.max() - logs.min()) / 255 / 2 + 1e-4
    assert (back.opacities - splats.opacities[rows]).abs().max() <= 0.5 / 255 + 1e-6
    unit = torch.nn.functional.normalize(splats.quaternions[rows], dim=-1)
    angle = 2 * (unit * back.quaternions).sum(-1).abs().clamp(max=1).acos()
    assert angle.max() < math.radians(0.4)
    rest = splats.harmonics_rest[rows]
    assert (back.harmonics_rest - rest).abs().max() <= rest.abs().max() / 127 / 2 + 1e-5


def test_axis_aligned_splats_keep_their_axes_exactly():
    splats = random_splats(8)
    splats.quaternions[:4] = torch.eye(4)
    rows = order_of(splats)
    back = round_trip(splats).quaternions
    aligned = back[torch.isin(rows, torch.arange(4))]
    assert torch.equal(aligned.max(-1).values, torch.ones(len(aligned)))


def test_every_level_holds_the_most_important_splats_that_are_left_in_small_blocks():
    splats = random_splats(5 * BLOCK, degree=0)
    area = splats.scales.sort(-1).values[:, 1:].prod(-1) * splats.opacities
    blocks = blocks_by_importance(splats)
    levels = {level: torch.cat([rows for k, rows in blocks if k == level]) for level in dict(blocks)}
    assert sorted(torch.cat(list(levels.values())).tolist()) == list(range(5 * BLOCK))
    assert area[levels[0]].min() >= area[levels[1]].max()
    assert max(len(rows) for _, rows in blocks) <= BLOCK
    assert [len(rows) for level, rows in blocks if level == 0] == [BLOCK]  # the first picture, of any scene
    last = [rows for level, rows in blocks if level == max(levels)]
    spreads = [(splats.means[rows].quantile(0.9, 0) - splats.means[rows].quantile(0.1, 0)).prod() for rows in last]
    whole = torch.cat(last)
    assert min(spreads) < (splats.means[whole].quantile(0.9, 0) - splats.means[whole].quantile(0.1, 0)).prod()


def test_a_single_splat_and_none_at_all_come_back():
    one = random_splats(1, degree=0)
    one.opacities[:] = 0.5
    assert torch.allclose(round_trip(one).means, one.means)
    none = random_splats(5, degree=0)
    none.opacities[:] = 0
    assert len(round_trip(none).means) == 0


def test_a_splat_with_numbers_that_are_none_is_left_out():
    splats = random_splats(10, degree=1)
    splats.opacities[:] = 0.5
    splats.means[3, 1] = float("nan")
    assert len(round_trip(splats).means) == 9
