import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenekit.core.transforms import Similarity, invert_rigid, matrix_from_quaternion, quaternion_from_matrix

seeds = st.integers(0, 2**31)


def random_similarity(seed: int) -> Similarity:
    generator = torch.Generator().manual_seed(seed)
    quaternion = torch.randn(4, generator=generator, dtype=torch.float64)
    scale = float(torch.rand((), generator=generator, dtype=torch.float64)) + 0.1
    return Similarity(scale, matrix_from_quaternion(quaternion), torch.randn(3, generator=generator).double())


@settings(deadline=None, max_examples=50)
@given(seeds)
def test_a_quaternion_survives_the_way_through_a_matrix(seed: int) -> None:
    quaternion = torch.randn(64, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    unit = torch.nn.functional.normalize(quaternion, dim=-1)
    unit = torch.where(unit[:, :1] < 0, -unit, unit)
    torch.testing.assert_close(quaternion_from_matrix(matrix_from_quaternion(quaternion)), unit)


def test_half_turns_have_stable_quaternions() -> None:
    for axis in torch.eye(3, dtype=torch.float64):
        turn = 2 * torch.outer(axis, axis) - torch.eye(3, dtype=torch.float64)
        torch.testing.assert_close(matrix_from_quaternion(quaternion_from_matrix(turn)), turn)


@settings(deadline=None, max_examples=30)
@given(seeds, seeds)
def test_similarities_form_a_group(first_seed: int, second_seed: int) -> None:
    first, second = random_similarity(first_seed), random_similarity(second_seed)
    points = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(second.after(first).points(points), second.points(first.points(points)))
    torch.testing.assert_close(first.inverse().points(first.points(points)), points)
    torch.testing.assert_close(first.after(Similarity.identity()).points(points), first.points(points))


def test_a_similarity_moves_what_a_camera_sees_with_the_camera() -> None:
    move = random_similarity(3)
    pose = torch.cat([matrix_from_quaternion(torch.randn(4).double()), torch.randn(3, 1).double()], -1)
    point = torch.randn(3, dtype=torch.float64)
    before = invert_rigid(pose)
    after = invert_rigid(move.poses(pose))
    seen = before[:, :3] @ point + before[:, 3]
    seen_after = after[:, :3] @ move.points(point) + after[:, 3]
    torch.testing.assert_close(seen_after, move.scale * seen)


def test_a_similarity_survives_the_way_through_json() -> None:
    move = random_similarity(5)
    again = Similarity.from_json(move.to_json())
    assert again.scale == move.scale
    assert torch.equal(again.rotation, move.rotation)
    assert torch.equal(again.translation, move.translation)


def test_world_coordinates_of_millions_of_metres_keep_their_millimetres() -> None:
    far = torch.tensor([[4.5e6, 5.3e6, 200.001]], dtype=torch.float64)
    there = Similarity.of(0.01, far[0] - 1)
    torch.testing.assert_close(there.inverse().points(there.points(far)), far, rtol=0, atol=1e-6)


def test_the_similarity_between_points_is_the_one_that_moved_them() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    turn = matrix_from_quaternion(torch.randn(4, generator=generator, dtype=torch.float64))
    made = Similarity(1.7, turn, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    found = Similarity.between(points, made.points(points))
    assert found.scale == pytest.approx(1.7)
    torch.testing.assert_close(found.rotation, turn)
    torch.testing.assert_close(found.translation, made.translation)


def test_a_mirrored_cloud_gives_a_rotation_all_the_same() -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = Similarity.between(points, points * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    assert float(torch.det(found.rotation)) == pytest.approx(1.0)
