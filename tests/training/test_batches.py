from dataclasses import replace

import pytest
import torch

from scenekit.core.cameras import Cameras
from scenekit.core.context import Share
from scenekit.core.protocols import Batch, Context
from scenekit.training.batches import ImageBatches, PixelBatches, Views
from scenekit.training.ray_budget import MOST_RAYS, RayBudget, size_above


def some_views() -> Views:
    """Two photographs of different sizes; every pixel's colour says where it is."""
    sizes = ((6, 4), (4, 8))
    images = []
    for index, (width, height) in enumerate(sizes):
        v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        images.append(torch.stack([u, v, torch.full_like(u, index)], -1).to(torch.uint8))
    pose = torch.eye(4)[:3].repeat(2, 1, 1)
    return Views(Cameras(pose, torch.tensor([[5.0, 5.0, 3.0, 2.0]] * 2), sizes), tuple(images))


def test_every_pixel_comes_with_its_own_colour() -> None:
    batch = PixelBatches(some_views(), samples=4096).next(Context(generator=torch.Generator().manual_seed(0)))
    assert batch.pixels is not None
    found = torch.cat([batch.pixels.positions - 0.5, batch.pixels.cameras[:, None].float()], -1)
    torch.testing.assert_close(batch.target * 255, found)


def test_the_number_of_rays_settles_where_the_samples_are_spent() -> None:
    batches = PixelBatches(some_views(), samples=2**16)
    for _ in range(12):
        cost = batches.rays * 20
        batches.feedback(cost)
    assert abs(batches.rays * 20 / 2**16 - 1) < 0.1


def test_sizes_are_two_for_every_doubling_and_never_below_what_is_needed() -> None:
    found = sorted({size_above(float(needed)) for needed in range(1025, 4097)})
    assert found == [1536, 2048, 3072, 4096]
    assert all(needed <= size_above(needed) < 1.51 * needed for needed in (256.0, 257.0, 1024.0, 1024.5, 99999.0))


def test_rays_by_sizes_settle_above_what_has_room_and_stay_there() -> None:
    budget, late, seen, rays = RayBudget(2**16, by_sizes=True), [], [], 0
    for step in range(40):
        needs = 12.5 + 0.2 * (-1) ** step  # samples a ray
        rays = budget.counted()
        served = min(1.0, 2**16 / (rays * needs))
        late.append((round(served * rays * needs), served))
        if len(late) > 1:  # as on a GPU: what a batch cost is known when the next has been drawn
            budget.feedback(*late.pop(0))
        seen.append(rays)
    assert len(set(seen)) <= 3
    assert len(set(seen[6:])) == 1
    assert 1.0 < rays * 12.5 / 2**16 < 1.7


@pytest.mark.parametrize("by_sizes", [False, True])
def test_rays_that_mostly_see_nothing_are_more_than_samples_but_not_without_end(by_sizes: bool) -> None:
    for share, most in ((0.5, 2 * 2**12), (0.01, MOST_RAYS * 2**12)):  # samples a ray
        budget, rays = RayBudget(2**12, by_sizes=by_sizes), 0
        for _ in range(20):
            rays = budget.counted()
            budget.feedback(round(rays * share))
        assert most <= rays < 1.7 * most
    assert rays == MOST_RAYS * 2**12


def test_every_photograph_comes_once_before_any_comes_again() -> None:
    batches = ImageBatches(some_views())
    context = Context(generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        sizes = {batches.next(context).cameras.sizes for _ in range(2)}
        assert len(sizes) == 2


def test_photographs_of_a_step_are_alike_and_each_comes_once_before_others_of_its_kind_come_again() -> None:
    views = replace(some_views(), cameras=some_views().cameras[[0, 1, 0, 0, 1]])
    shown = [some_views().images[index] for index in (0, 1, 0, 0, 1)]
    shown[2] = torch.cat([shown[2], shown[2][..., :1]], -1)  # with alpha: another kind
    batches, context = (
        ImageBatches(replace(views, images=tuple(shown)), photographs=2),
        Context(generator=torch.Generator().manual_seed(1)),
    )
    kinds = []
    for _ in range(30):
        batch = batches.next(context)
        assert len(set(batch.cameras.sizes)) == 1
        assert len(batch.target) == len(batch.cameras) == 2
        kinds.append((batch.cameras.sizes[0], batch.target.shape[-1]))
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {((6, 4), 3): 12, ((4, 8), 3): 12, ((6, 4), 4): 6}


def test_masks_and_measurements_come_with_every_photograph_of_a_step() -> None:
    views = replace(some_views(), cameras=some_views().cameras[[0, 0]], images=some_views().images[:1] * 2)
    masks = tuple(torch.full((4, 6), bool(index)) for index in range(2))
    depths, normals = (
        tuple(mask.float() for mask in masks),
        tuple(mask[..., None].float().expand(-1, -1, 3) for mask in masks),
    )
    batch = ImageBatches(replace(views, masks=masks, depths=depths, normals=normals), photographs=2).of([1, 0], 2)
    assert batch.valid is not None
    assert batch.depth is not None
    assert batch.normals is not None
    assert batch.valid.flatten(1).all(1).tolist() == [True, False]
    assert batch.depth.flatten(1).mean(1).tolist() == batch.normals.flatten(1).mean(1).tolist() == [1.0, 0.0]
    assert batch.target.shape == (2, 2, 3, 3)


def test_reduced_photographs_keep_their_geometry() -> None:
    views = some_views()
    batches = ImageBatches(views, coarse=((0.5, 2),))
    early = batches.next(Context(generator=torch.Generator().manual_seed(1), progress=0.0))
    assert max(early.cameras.sizes[0]) in (3, 4)
    torch.testing.assert_close(early.cameras.intrinsics, views.cameras.intrinsics[:1] / 2)
    late = batches.next(Context(generator=torch.Generator().manual_seed(1), progress=0.6))
    assert max(late.cameras.sizes[0]) in (6, 8)


def test_transparent_pixels_do_not_bleed_into_a_reduced_photograph() -> None:
    image = torch.zeros(2, 2, 4, dtype=torch.uint8)
    image[0, 0] = torch.tensor([200, 100, 50, 255])
    views = Views(Cameras(torch.eye(4)[None, :3], torch.ones(1, 4), ((2, 2),)), (image,))
    small = ImageBatches(views).of([0], reduction=2).target[0, 0, 0] * 255
    assert torch.equal(small.round(), torch.tensor([200.0, 100.0, 50.0, 64.0]))


def test_batches_resume_where_they_stopped() -> None:
    first, second = ImageBatches(some_views()), ImageBatches(some_views())
    generator = torch.Generator().manual_seed(3)
    first.next(Context(generator=generator))
    second.load_state_dict(first.state_dict())
    state = generator.get_state()
    expected = [first.next(Context(generator=generator)).cameras.sizes for _ in range(5)]
    generator.set_state(state)
    assert [second.next(Context(generator=generator)).cameras.sizes for _ in range(5)] == expected


def test_each_of_several_processes_knows_what_the_others_look_through() -> None:
    views = some_views()

    def drawn(share: Share) -> Batch:
        context = Context(True, torch.Generator().manual_seed(1), progress=0.1, share=share)
        return ImageBatches(views, coarse=((0.5, 2),)).next(context)

    batches = [drawn(Share(rank, 2)) for rank in range(2)]
    for rank, batch in enumerate(batches):
        assert batch.around is not None
        assert batch.around.sizes == tuple(other.cameras.sizes[0] for other in batches)
        assert torch.equal(batch.around[rank].intrinsics, batch.cameras.intrinsics)
    assert batches[0].cameras.sizes != batches[1].cameras.sizes
    assert drawn(Share()).around is None
