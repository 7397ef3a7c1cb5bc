"""What is learnt from photographs of which not everything may be believed."""

import pytest
import torch

from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Context
from scenekit.renderers.background import GivenBackground
from scenekit.training.batches import ImageBatches, PixelBatches, Views
from scenekit.training.losses import huber, l1_dssim
from scenekit.training.photographs import Photographs
from scenekit.training.steps import Budget, Training, steps
from tests.training.test_steps import FlatColor

GREEN, RED = (51, 204, 51), (204, 51, 51)


def half_masked(**more) -> Views:
    """Green on the left, which is to be believed, and red on the right, which is not."""
    image = torch.zeros(16, 16, 3, dtype=torch.uint8)
    image[:, :8] = torch.tensor(GREEN, dtype=torch.uint8)
    image[:, 8:] = torch.tensor(RED, dtype=torch.uint8)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[:, :8] = True
    camera = Cameras(torch.eye(4)[None, :3], torch.tensor([[9.0, 9, 8, 8]]), ((16, 16),))
    return Views(camera, (image,), masks=(mask,), **more)


@pytest.mark.parametrize("whole", [False, True])
def test_pixels_that_are_masked_are_not_learnt(whole: bool) -> None:
    batches = ImageBatches(half_masked()) if whole else PixelBatches(half_masked(), 1024)
    loss = l1_dssim(0.2) if whole else huber
    renderer = FlatColor()
    objective = Photographs(renderer, GivenBackground((0.0, 0.0, 0.0)), batches, loss)
    *_, last = steps(Training(objective, Budget(steps=300), torch.Generator().manual_seed(0)))
    values = renderer.logits.sigmoid().detach()
    learnt = values[:3] * values[3]
    torch.testing.assert_close(learnt, torch.tensor(GREEN) / 255, atol=0.03, rtol=0)
    assert last.psnr > 30  # judged where the photograph may be believed


def test_reduced_photographs_believe_blocks_that_are_believed_whole_and_take_the_middle_measurement() -> None:
    depth = torch.arange(256.0).reshape(16, 16)
    batch = ImageBatches(half_masked(depths=(depth,)), ((1.0, 3),)).next(Context(progress=0.0))
    assert batch.valid is not None
    assert batch.depth is not None
    assert batch.target.shape == (1, 5, 5, 3)
    assert batch.valid[0].all(0).tolist() == [True, True, False, False, False]  # the third block straddles
    assert torch.equal(batch.depth[0], depth[1:15:3, 1:15:3])


def test_pixels_for_normals_come_with_neighbours_that_are_believed_too() -> None:
    normals = torch.zeros(16, 16, 3)
    batch = PixelBatches(half_masked(normals=(normals,)), 4096).next(
        Context(generator=torch.Generator().manual_seed(0))
    )
    assert batch.triples
    assert batch.pixels is not None
    middle, right, below = batch.pixels.positions.unflatten(0, (-1, 3)).unbind(1)
    assert torch.equal(right, middle + torch.tensor([1.0, 0.0]))
    assert torch.equal(below, middle + torch.tensor([0.0, 1.0]))
    assert (right[:, 0] < 8).all()
    assert (below[:, 1] < 16).all()


@pytest.mark.bad_input
def test_photographs_of_which_nothing_may_be_believed_are_refused() -> None:
    views = half_masked()
    nothing = Views(views.cameras, views.images, masks=(torch.zeros(16, 16, dtype=torch.bool),))
    with pytest.raises(BadInput, match="masks: wanted at least one pixel"):
        PixelBatches(nothing, 1024)
