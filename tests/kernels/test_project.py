import math

import pytest
import torch

from scenekit.kernels import native, project
from scenekit.kernels.project import PROJECT

IDENTITY = torch.eye(4)[:3]
INTRINSICS = torch.tensor([80.0, 90.0, 50.0, 30.0])
SIZE = (100, 60)


def _scene(count: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(count)
    means = torch.randn(count, 3, generator=g) * torch.tensor([1.5, 1.0, 1.0]) + torch.tensor([0.0, 0.0, 3.0])
    quaternions = torch.randn(count, 4, generator=g)
    scales = torch.exp(torch.randn(count, 3, generator=g) - 2.5)
    return means.to(dtype), quaternions.to(dtype), scales.to(dtype)


def test_a_gaussian_on_the_axis_projects_in_closed_form():
    means, scales = torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[0.1, 0.2, 0.3]])
    flat = project(means, torch.tensor([[3.0, 0.0, 0.0, 0.0]]), scales, IDENTITY, INTRINSICS, SIZE)
    xx, yy = (80 / 2 * 0.1) ** 2, (90 / 2 * 0.2) ** 2
    assert torch.equal(flat.means2d, torch.tensor([[50.0, 30.0]]))
    assert flat.depths.item() == 2
    assert flat.conics[0].tolist() == pytest.approx([1 / (xx + 0.3), 0.0, 1 / (yy + 0.3)], rel=1e-6)
    assert flat.compensations.item() == pytest.approx(math.sqrt(xx * yy / (xx + 0.3) / (yy + 0.3)), rel=1e-6)
    assert flat.radii.tolist() == [[math.ceil(3.33 * math.sqrt(xx + 0.3)), math.ceil(3.33 * math.sqrt(yy + 0.3))]]


def test_what_cannot_be_seen_is_all_zeros_and_gets_no_gradient():
    behind, beside, too_near = [0.0, 0.0, -2.0], [50.0, 0.0, 2.0], [0.0, 0.0, 0.009]
    means = torch.tensor([behind, beside, too_near], requires_grad=True)
    quaternions = torch.tensor([[1.0, 0.2, 0.3, 0.1]]).repeat(3, 1).requires_grad_()
    scales = torch.full((3, 3), 0.1, requires_grad=True)
    flat = project(means, quaternions, scales, IDENTITY, INTRINSICS, SIZE)
    assert not any(x.any() for x in (flat.means2d, flat.depths, flat.conics, flat.compensations, flat.radii.float()))
    (flat.means2d.sum() + flat.conics.sum() + flat.depths.sum() + flat.compensations.sum()).backward()
    for leaf in (means, quaternions, scales):
        assert leaf.grad is not None
        assert not leaf.grad.any()


def test_a_huge_or_broken_gaussian_spoils_no_other():
    means, quaternions, scales = _scene(20)
    alone = project(means, quaternions, scales, IDENTITY, INTRINSICS, SIZE)
    scales[0], means[1], quaternions[2] = 1e25, math.nan, 0.0
    flat = project(means, quaternions, scales, IDENTITY, INTRINSICS, SIZE)
    assert torch.equal(flat.radii[:2], torch.zeros(2, 2, dtype=torch.int32))
    assert torch.isfinite(flat.conics).all()
    assert torch.equal(flat.conics[3:], alone.conics[3:])


def test_values_and_gradients_equal_the_float64_reference():
    tensors = _scene(2000)
    generator = torch.Generator().manual_seed(0)
    camera = torch.cat([torch.linalg.qr(torch.randn(3, 3, generator=generator))[0] * 0.2 + IDENTITY[:, :3],
                        torch.randn(3, 1, generator=generator) * 0.1], 1)  # fmt: skip
    seeds = [torch.randn(shape, generator=generator) for shape in ((2000, 2), (2000,), (2000, 3), (2000,))]

    def run(dtype: torch.dtype) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        leaves = [x.to(dtype).requires_grad_() for x in (*tensors, camera)]
        outputs = PROJECT(*leaves, INTRINSICS.to(dtype), *SIZE, 0.01, 0.3)
        grads = torch.autograd.grad(outputs[:4], leaves, [s.to(dtype) for s in seeds])
        return list(outputs), list(grads)

    (found, found_gradients), (wanted, wanted_gradients) = run(torch.float32), run(torch.float64)
    assert torch.equal(found[4], wanted[4])
    for a, b in zip(found[:4] + found_gradients, wanted[:4] + wanted_gradients, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm()


def test_every_number_of_threads_gives_the_same_bits():
    handle = native.library()
    if handle is None:
        pytest.skip("no compiled library")
    tensors = [x.requires_grad_() for x in _scene(5000)]
    camera = IDENTITY.clone().requires_grad_()

    def run(threads: int) -> list[torch.Tensor]:
        handle.scenekit_set_threads(threads)
        flat = project(*tensors, camera, INTRINSICS, SIZE)
        total = flat.means2d.sum() + flat.conics.sum() + flat.compensations.sum() + flat.depths.sum()
        return [flat.conics, *torch.autograd.grad(total, [*tensors, camera])]

    try:
        one, two = run(1), run(2)
    finally:
        handle.scenekit_set_threads(torch.get_num_threads())
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_projection_equals_gsplat():
    oracle = pytest.importorskip("gsplat.cuda._torch_impl", reason="gsplat is not installed: pip install gsplat==1.5.3")
    means, quaternions, scales = _scene(500, torch.float64)
    camera = torch.eye(4, dtype=torch.float64)
    camera[:3, 3] = torch.tensor([0.1, -0.2, 0.3])
    pinhole = torch.eye(3, dtype=torch.float64)
    pinhole[0, 0], pinhole[1, 1], pinhole[:2, 2] = 80, 90, torch.tensor([40.0, 35.0])
    covariances, _ = oracle._quat_scale_to_covar_preci(quaternions, scales, compute_preci=False)
    radii, means2d, depths, conics, compensations = (
        x[0] for x in oracle._fully_fused_projection(
            means, covariances, camera[None], pinhole[None], *SIZE, calc_compensations=True
        )
    )  # fmt: skip
    intrinsics = torch.tensor([80.0, 90.0, 40.0, 35.0], dtype=torch.float64)
    flat = project(means, quaternions, scales, camera[:3], intrinsics, SIZE)
    seen = (radii > 0).all(-1)
    assert seen.sum() > 200
    assert torch.equal(flat.radii[seen], radii[seen])
    assert not flat.radii[~seen].any()
    torch.testing.assert_close(flat.means2d[seen], means2d[seen])
    torch.testing.assert_close(flat.depths[seen], depths[seen])
    torch.testing.assert_close(flat.conics[seen], conics[seen])
    torch.testing.assert_close(flat.compensations[seen], compensations[seen].clamp(min=0.005))


def test_no_gaussians_give_empty_results():
    flat = project(torch.empty(0, 3), torch.empty(0, 4), torch.empty(0, 3), IDENTITY, INTRINSICS, SIZE)
    assert flat.means2d.shape == (0, 2)
    assert flat.radii.shape == (0, 2)


@pytest.mark.bad_input
def test_wrong_shapes_and_planes_are_named():
    means, quaternions, scales = _scene(4)
    with pytest.raises(ValueError, match="scales"):
        project(means, quaternions, scales[:3], IDENTITY, INTRINSICS, SIZE)
    with pytest.raises(ValueError, match="near"):
        project(means, quaternions, scales, IDENTITY, INTRINSICS, SIZE, near=0.0)
    with pytest.raises(TypeError, match="quaternions"):
        project(means, quaternions.double(), scales, IDENTITY, INTRINSICS, SIZE)
