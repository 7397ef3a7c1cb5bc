import pytest
import torch

from scenekit.assets.meshes.compare import compare
from scenekit.assets.meshes.surface import Mesh

pytest.importorskip("open3d", reason="meshes need the extra: pip install 'scenekit[mesh]'")


def _square(height: float = 0.0, cut: int = 1) -> Mesh:
    """The unit square at a height, in ``cut`` times ``cut`` cells."""
    axis = torch.linspace(0, 1, cut + 1, dtype=torch.float64)
    flat = torch.cartesian_prod(axis, axis)
    corner = (torch.arange(cut)[:, None] * (cut + 1) + torch.arange(cut)).reshape(-1)
    right, up = corner + cut + 1, corner + 1
    faces = torch.cat([torch.stack([corner, right, up], -1), torch.stack([right, right + 1, up], -1)])
    return Mesh(torch.cat([flat, torch.full_like(flat[:, :1], height)], -1), faces)


def test_a_mesh_is_like_itself():
    likeness = compare(_square(cut=3), _square(cut=3), samples=2000)
    assert likeness.chamfer < 1e-7
    assert likeness.f_score == 1
    assert likeness.normal_consistency == pytest.approx(1)
    assert likeness.texture_psnr is None


@pytest.mark.parametrize(("height", "f_score"), [(0.01, 1.0), (0.03, 0.0)])
def test_a_lifted_square_is_as_far_as_it_was_lifted(height: float, f_score: float):
    likeness = compare(_square(height), _square(), threshold=0.02, samples=2000)
    assert likeness.chamfer == pytest.approx(height, rel=1e-4)
    assert likeness.f_score == f_score


def test_a_missing_half_costs_recall_alone():
    half = Mesh(_square().vertices * torch.tensor([0.5, 1, 1]), _square().faces)
    likeness = compare(half, _square(), threshold=0.1, samples=20000)
    assert likeness.precision == 1
    assert likeness.recall == pytest.approx(0.6, abs=0.02)
    assert likeness.accuracy < 1e-7
    assert likeness.completeness == pytest.approx(0.125, abs=0.005)


def test_figures_hang_on_surfaces_and_not_on_their_vertices():
    coarse, fine = (compare(_square(0.01, cut), _square(cut=7), samples=4000) for cut in (1, 16))
    assert coarse.chamfer == pytest.approx(fine.chamfer, rel=1e-3)
    assert coarse.f_score == fine.f_score
