import pytest
import torch

from scenekit.core.cameras import Cameras, look_at
from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.renderers.splats import SplatRenderer
from scenekit.representations.gaussian_cloud import GaussianCloud, cloud_of, joined, model_of
from tests.representations.gaussian_clouds import assert_same_bits, sample_cloud


def picture(cloud: GaussianCloud, cameras: Cameras) -> torch.Tensor:
    with torch.no_grad():
        renderer = SplatRenderer(model_of(cloud), antialiased=cloud.antialiased)
        return renderer.render(cameras.to(dtype=torch.float32)).color


def test_a_moved_cloud_looks_the_same_from_moved_cameras() -> None:
    cloud = sample_cloud(200)
    turn = matrix_from_quaternion(torch.tensor([0.3, -0.8, 0.4, 0.5], dtype=torch.float64))
    move = Similarity.of(2.5, torch.tensor([0.4, -1.0, 2.0]), turn)
    pose = look_at(torch.tensor([0.5, -1.0, -6.0]).double(), torch.zeros(3).double(), torch.tensor([0, -1, 0]).double())
    cameras = Cameras(pose[None], torch.tensor([[60.0, 60.0, 24.0, 16.0]]), ((48, 32),))
    before = picture(cloud, cameras)
    assert before.std() > 0.05
    error = (picture(cloud.moved(move), cameras.moved(move)) - before).abs()
    assert error.mean() < 1e-5
    assert error.max() < 1 / 255  # rounding may push a splat over the edge of what is drawn at all
    # Were the harmonics left behind, it would show.
    lazy = cloud.moved(move)
    lazy.harmonics.copy_(cloud.harmonics)
    assert (picture(lazy, cameras.moved(move)) - before).abs().max() > 0.02


def test_moving_by_nothing_keeps_every_bit_and_moving_back_almost_every_one() -> None:
    cloud = sample_cloud()
    assert_same_bits(cloud.moved(Similarity.identity()), cloud)
    turn = matrix_from_quaternion(torch.tensor([0.9, 0.1, 0.4, -0.5], dtype=torch.float64))
    move = Similarity.of(0.01, torch.tensor([40.0, -10.0, 2.0]), turn)
    back = cloud.moved(move).moved(move.inverse())
    torch.testing.assert_close(back.means, cloud.means, atol=2e-5, rtol=0)
    torch.testing.assert_close(back.harmonics, cloud.harmonics, atol=2e-6, rtol=0)
    torch.testing.assert_close(back.log_scales, cloud.log_scales, atol=2e-6, rtol=0)


def test_degrees_are_cut_and_filled() -> None:
    cloud = sample_cloud(degree=2)
    assert cloud.of_degree(1).degree == 1
    more = cloud.of_degree(4)
    assert more.degree == 4
    assert_same_bits(more.of_degree(2), cloud)
    assert not more.harmonics[:, 9:].any()


def test_a_model_holds_a_cloud_bit_for_bit() -> None:
    cloud = sample_cloud(antialiased=True)
    model = model_of(cloud)
    assert model.config.antialiased
    assert_same_bits(cloud_of(model), cloud)


def test_joined_clouds_stand_one_after_another_at_the_highest_degree() -> None:
    first, second = sample_cloud(5, 1), sample_cloud(7, 2, seed=1)
    both = joined([first, second])
    assert (len(both), both.degree) == (12, 2)
    assert_same_bits(both[5:], second)
    assert_same_bits(both[:5].of_degree(1), first)


@pytest.mark.bad_input
def test_antialiased_clouds_and_others_do_not_join() -> None:
    with pytest.raises(ValueError, match="found both"):
        joined([sample_cloud(3), sample_cloud(3, antialiased=True)])
