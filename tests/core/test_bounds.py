import torch

from scenekit.core.bounds import Bounds, contract, expand


def test_contraction_keeps_the_unit_ball_and_folds_all_else_into_radius_two() -> None:
    inside = torch.nn.functional.normalize(torch.randn(100, 3), dim=-1) * torch.rand(100, 1)
    torch.testing.assert_close(contract(inside), inside)
    for distance in (1.5, 10.0, 1e8):
        outside = torch.nn.functional.normalize(torch.randn(100, 3), dim=-1) * distance
        torch.testing.assert_close(contract(outside).norm(dim=-1), torch.full((100,), 2 - 1 / distance))


def test_expansion_undoes_contraction() -> None:
    points = torch.randn(500, 3, dtype=torch.float64) * 5
    torch.testing.assert_close(expand(contract(points)), points)


def test_contraction_has_finite_gradients_at_the_origin_and_far_away() -> None:
    points = torch.tensor([[0.0, 0.0, 0.0], [1e8, 0.0, 0.0]], requires_grad=True)
    contract(points).sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()


def test_normalized_positions_fill_the_unit_cube() -> None:
    assert torch.equal(Bounds(extent=4.0).normalize(torch.tensor([[-4.0, 0, 4]])), torch.tensor([[0.0, 0.5, 1.0]]))
    far = Bounds(extent=64.0, contracted=True).normalize(torch.tensor([[1e9, 0, 0]]))
    torch.testing.assert_close(far, torch.tensor([[1.0, 0.5, 0.5]]))


def test_cascades_cover_the_extent() -> None:
    assert [Bounds(extent=e).cascades for e in (1.0, 2.0, 4.0, 64.0)] == [1, 2, 3, 7]
