from dataclasses import replace

import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, look_at
from scenekit.core.protocols import EVAL
from scenekit.renderers.crop import refuse
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations import REPRESENTATIONS
from scenekit.representations.gaussian_cloud import GaussianCloud, model_of


def camera():
    pose = look_at(*torch.tensor([[0.0, -3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    return Cameras(pose[None], torch.tensor([[40.0, 40.0, 20.0, 10.0]]), ((40, 20),))


def left_half():
    """Keeps x in [-2, 0]: what this camera sees on the left."""
    box = torch.eye(3, 4, dtype=torch.float64)
    box[0, 3] = 1.0
    box[1:] *= 0.25
    return replace(EVAL, crop=box)


def splats():
    cloud = GaussianCloud(
        means=torch.tensor([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]),
        log_scales=torch.full((2, 3), -2.5),
        quaternions=torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2),
        opacity_logits=torch.full((2,), 4.0),
        harmonics=torch.ones(2, 1, 3),
    )
    return SplatRenderer(model_of(cloud))


@pytest.mark.parametrize("name", ["hash_grid", "dense_grid", "gaussians"])
def test_outside_of_the_crop_nothing_is_seen_and_inside_all_is_as_it_was(name):
    if name == "gaussians":
        renderer = splats()
    else:
        field = REPRESENTATIONS[name]().build(Bounds(), torch.Generator().manual_seed(0))
        renderer = VolumeRenderer(field, Marching(steps=64, grid=16))
    with torch.no_grad():
        whole = renderer.render(camera(), context=EVAL)
        cropped = renderer.render(camera(), context=left_half())
    assert float(whole.opacity[0, :, 21:].max()) > 0.01
    assert float(cropped.opacity[0, :, 24:].max()) < 0.01 * float(whole.opacity.max())
    left = slice(None, 16)
    torch.testing.assert_close(cropped.opacity[0, :, left], whole.opacity[0, :, left], atol=0.02, rtol=0)
    assert float(cropped.opacity[0, :, left].max()) > 0.01


def test_a_picture_cannot_be_cropped_and_says_so():
    refuse(EVAL)
    with pytest.raises(ValueError, match="show it whole"):
        refuse(left_half())
