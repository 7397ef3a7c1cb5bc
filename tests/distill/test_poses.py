from dataclasses import replace

import pytest
import torch

from scenekit.core.cameras import Cameras
from scenekit.distill.active import PosePool
from scenekit.distill.pictures import FEWEST, MOST_PIXELS, affordable
from scenekit.distill.poses import MOST_OWN, Clearance, PoseSampler, kind_of, looked_from
from tests.distill.teachers import RADIUS, ball_renderer, ring


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def facing_one_way() -> Cameras:
    centres = torch.tensor([[x, y, -3.0] for x in (-0.5, 0.0, 0.5) for y in (-0.3, 0.3)])
    poses = torch.cat([torch.eye(3).expand(6, 3, 3), centres[..., None]], -1)
    return Cameras(poses, torch.tensor([[40.0, 40, 16, 16]]).repeat(6, 1), ((32, 32),) * 6)


def looking_outwards() -> Cameras:
    cameras = ring(12, distance=0.3).to(dtype=torch.float32)
    turned = cameras.world_from_camera.clone()
    turned[..., 0] *= -1
    turned[..., 2] *= -1
    return replace(cameras, world_from_camera=turned)


def samplers() -> dict[str, PoseSampler]:
    anywhere = {"hemisphere": ring().to(dtype=torch.float32), "forward-facing": facing_one_way(),
                "inside-out": looking_outwards()}  # fmt: skip
    return {
        kind: PoseSampler(cameras, kind_of(cameras), lambda found: torch.ones(len(found), dtype=torch.bool))
        for kind, cameras in anywhere.items()
    }


@pytest.mark.parametrize("kind", ["hemisphere", "forward-facing", "inside-out"])
def test_the_kind_is_told_from_the_cameras_alone(kind: str) -> None:
    assert samplers()[kind].kind == kind


@pytest.mark.parametrize("kind", ["hemisphere", "forward-facing", "inside-out"])
def test_poses_are_rigid_new_and_within_what_the_cameras_span(kind: str) -> None:
    sampler = samplers()[kind]
    drawn = sampler.draw(64, generator())
    assert len(drawn) == 64
    rotations = drawn.world_from_camera[..., :3]
    assert torch.allclose(rotations @ rotations.transpose(1, 2), torch.eye(3).expand(64, 3, 3), atol=1e-4)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(64), atol=1e-4)
    spread = sampler.cameras.centres.amax(0) - sampler.cameras.centres.amin(0)
    assert bool((drawn.centres <= sampler.cameras.centres.amax(0) + 0.25 * spread + 0.1).all())
    assert bool((drawn.centres >= sampler.cameras.centres.amin(0) - 0.25 * spread - 0.1).all())
    assert float(torch.cdist(drawn.centres, sampler.cameras.centres).amin(1).median()) > 1e-3


def test_on_a_hemisphere_poses_keep_their_distance_and_what_they_look_at() -> None:
    drawn = samplers()["hemisphere"].draw(64, generator())
    assert torch.allclose(drawn.centres.norm(dim=-1), torch.full((64,), 2.5), atol=0.05)
    towards = -torch.nn.functional.normalize(drawn.centres, dim=-1)
    assert float((drawn.forward * towards).sum(-1).min()) > 0.85


def test_no_pose_is_drawn_inside_matter_or_right_before_it() -> None:
    """The cameras' chords lead through the ball, so candidates are inside it."""
    renderer = ball_renderer()
    through = ring(12, distance=0.7).to(dtype=torch.float32)
    own = replace(through, intrinsics=through.intrinsics * torch.tensor([0.5, 0.5, 1.0, 1.0]))
    clear = Clearance(renderer, own)
    inside = replace(own, world_from_camera=own.world_from_camera * torch.tensor([1.0, 1.0, 1.0, 0.3]))
    assert not clear(inside).any()
    assert clear(own).all()
    sampler = PoseSampler(own, "inside-out", clear)
    for found in (sampler.draw(64, generator()), sampler.near(sampler.draw(64, generator(1)), generator(2))):
        assert float(found.centres.norm(dim=-1).min()) > RADIUS


def test_where_nothing_is_clear_the_own_cameras_serve() -> None:
    own = ring().to(dtype=torch.float32)
    drawn = PoseSampler(own, "hemisphere", lambda found: torch.zeros(len(found), dtype=torch.bool)).draw(5, generator())
    assert float(torch.cdist(drawn.centres, own.centres).amin(1).max()) < 1e-3


def test_an_active_pool_exchanges_the_easiest_for_copies_of_the_hardest() -> None:
    sampler = samplers()["hemisphere"]
    pool = PosePool(sampler.cameras[[0, 1]], sampler, 22, True, generator())
    before = pool.cameras.world_from_camera
    pool.note(torch.arange(22), torch.linspace(0, 1, 22))
    slots = pool.renew(generator())
    assert slots.tolist() == [2, 3]
    assert torch.equal(pool.cameras.world_from_camera[:2], before[:2])
    assert torch.equal(pool.cameras.world_from_camera[4:], before[4:])
    # Perturbed by nine degrees about each axis at most.
    apart = (pool.cameras.centres[slots] - before[[21, 20], :, 3]).norm(dim=-1)
    assert bool((apart < 0.8).all())
    assert bool((apart > 0).all())


def test_a_pool_that_is_not_active_exchanges_any_but_the_runs_own() -> None:
    sampler = samplers()["hemisphere"]
    pool = PosePool(sampler.cameras[[0, 1]], sampler, 22, False, generator())
    seen = {slot for seed in range(40) for slot in pool.renew(generator(seed)).tolist()}
    assert min(seen) == 2
    assert len(seen) > 15


def test_where_a_pose_costs_nothing_all_of_the_runs_own_serve() -> None:
    cameras = ring(40).to(dtype=torch.float32)
    own, views = looked_from(cameras, 24, shared=True, photographed=False)
    assert (len(own), views) == (40, 80)
    many = looked_from(ring(2 * MOST_OWN).to(dtype=torch.float32), 24, shared=True, photographed=False)
    assert (len(many[0]), many[1]) == (MOST_OWN, 2 * MOST_OWN)


def test_where_a_pose_is_a_picture_others_than_the_runs_own_only_fill_up() -> None:
    cameras = ring(40).to(dtype=torch.float32)
    own, views = looked_from(cameras, 24, shared=False, photographed=False)
    assert (len(own), views) == (24, 24)
    own, views = looked_from(cameras, 64, shared=False, photographed=False)
    assert (len(own), views) == (40, 64)
    own, views = looked_from(cameras, 24, shared=False, photographed=True)
    assert (len(own), views) == (40, 40)


def test_as_many_pictures_are_taken_as_there_are_room_and_time_for() -> None:
    teacher, many = ball_renderer(), ring(200).to(dtype=torch.float32)
    assert affordable(teacher, many, None) == 200
    assert affordable(teacher, many, 1e4) == 200
    assert affordable(teacher, many, 1e-4) == FEWEST
    assert affordable(teacher, many[list(range(12))], 1e4) == FEWEST
    large = replace(many, sizes=((2**10, 2**10),) * 200)
    assert affordable(teacher, large, None) == MOST_PIXELS // 2**20


def test_a_pool_resumes() -> None:
    sampler = samplers()["hemisphere"]
    pool = PosePool(sampler.cameras[[0, 1]], sampler, 12, True, generator())
    pool.note(torch.arange(12), torch.rand(12, generator=generator()))
    other = PosePool(sampler.cameras[[0, 1]], sampler, 12, True, generator(5))
    other.load_state_dict(pool.state_dict())
    assert torch.equal(pool.renew(generator(7)), other.renew(generator(7)))
    assert torch.equal(pool.cameras.world_from_camera, other.cameras.world_from_camera)
