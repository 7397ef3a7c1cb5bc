import math

import pytest
import torch
from torch import Tensor

from scenekit.core.transforms import invert_rigid
from scenekit.kernels import native, project
from scenekit.kernels.project import PROJECT
from scenekit.kernels.spherical_harmonics import C0, harmonic_colors

IDENTITY = torch.eye(4)[:3]
INTRINSICS = torch.tensor([80.0, 90.0, 50.0, 30.0])
SIZE = (100, 60)


def _scene(count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Means, quaternions, scales and opacities."""
    g = torch.Generator().manual_seed(count)
    means = torch.randn(count, 3, generator=g) * torch.tensor([1.5, 1.0, 1.0]) + torch.tensor([0.0, 0.0, 3.0])
    quaternions = torch.randn(count, 4, generator=g)
    scales = torch.exp(torch.randn(count, 3, generator=g) - 2.5)
    opacities = torch.rand(count, generator=g)
    return means.to(dtype), quaternions.to(dtype), scales.to(dtype), opacities.to(dtype)


def _harmonics(count: int, stored: int = 15) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(7)
    return torch.randn(count, 1, 3, generator=g), 0.3 * torch.randn(count, stored, 3, generator=g)


def test_a_gaussian_on_the_axis_projects_in_closed_form():
    shape = (torch.tensor([[0.0, 0.0, 2.0]]), torch.tensor([[3.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.1, 0.2, 0.3]]))
    flat = project(*shape, torch.tensor([0.75]), IDENTITY, INTRINSICS, SIZE)
    xx, yy = (80 / 2 * 0.1) ** 2, (90 / 2 * 0.2) ** 2
    conic = [1 / (xx + 0.3), 0.0, 1 / (yy + 0.3)]
    assert flat.depths.item() == 2
    assert flat.rows[0].tolist() == pytest.approx([50, 30, *conic, 0.75, 0, 0, 0, 2, 0, 0], rel=1e-6)
    smooth = project(*shape, torch.tensor([0.75]), IDENTITY, INTRINSICS, SIZE, antialiased=True)
    compensation = math.sqrt(xx * yy / (xx + 0.3) / (yy + 0.3))
    assert smooth.rows[0, 5].item() == pytest.approx(0.75 * compensation, rel=1e-6)


def test_what_cannot_be_seen_is_all_zeros_and_gets_no_gradient():
    behind, beside, too_near = [0.0, 0.0, -2.0], [50.0, 0.0, 2.0], [0.0, 0.0, 0.009]
    means = torch.tensor([behind, beside, too_near])
    shapes = [means, torch.tensor([[1.0, 0.2, 0.3, 0.1]]).repeat(3, 1), torch.full((3, 3), 0.1), torch.full((3,), 0.5)]
    leaves = [x.requires_grad_() for x in (*shapes, *_harmonics(3))]
    flat = project(*leaves[:4], IDENTITY, INTRINSICS, SIZE, harmonics=(leaves[4], leaves[5]), degree=3)
    assert not flat.rows.any()
    assert not flat.depths.any()
    flat.rows.sum().backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert not leaf.grad.any()


def test_a_row_without_a_gradient_gives_exact_zeros():
    leaves = [x.requires_grad_() for x in (*_scene(40), *_harmonics(40))]
    flat = project(*leaves[:4], IDENTITY, INTRINSICS, SIZE, harmonics=(leaves[4], leaves[5]), degree=3)
    seed = torch.randn(flat.rows.shape)
    seed[::2] = 0
    for gradient in torch.autograd.grad(flat.rows, leaves, seed):
        assert not gradient[::2].any()
        assert gradient[1::2].any()


def test_the_radii_tell_what_lies_beside_the_image():
    sigma = 80 / 2 * 0.1  # in pixels, along x
    reach = math.ceil(3.33 * math.sqrt(sigma**2 + 0.3))
    for beyond, seen in ((reach - 0.01, True), (reach + 0.01, False)):
        means = torch.tensor([[(50 + beyond) * 2 / 80, 0.0, 2.0]])
        disc = (torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[0.1, 0.1, 1e-6]]))
        flat = project(means, *disc, torch.ones(1), IDENTITY, INTRINSICS, SIZE)
        assert bool(flat.depths.item()) == seen


def test_colours_are_harmonics_of_the_direction_from_the_camera():
    count, pose = 300, torch.cat([torch.eye(3), torch.tensor([[0.2], [-0.1], [-0.5]])], 1)
    constant, rest = _harmonics(count)
    shapes = _scene(count)
    towards = torch.nn.functional.normalize(shapes[0] - pose[:, 3], dim=-1)
    for degree in range(4):
        flat = project(*shapes, pose, INTRINSICS, SIZE, harmonics=(constant, rest), degree=degree)
        seen = flat.depths > 0
        wanted = (harmonic_colors(torch.cat([constant, rest], 1), towards, degree) + 0.5).clamp(min=0)
        torch.testing.assert_close(flat.rows[seen, 6:9], wanted[seen])
    assert (flat.rows[seen, 6:9] == 0).any()


def test_degree_0_is_the_constant_colour_and_leaves_the_others_without_a_gradient():
    constant, rest = (x.requires_grad_() for x in _harmonics(50))
    flat = project(*_scene(50), IDENTITY, INTRINSICS, SIZE, harmonics=(constant, rest))
    seen = flat.depths > 0
    torch.testing.assert_close(flat.rows[seen, 6:9], (0.5 + C0 * constant[seen, 0]).clamp(min=0))
    flat.rows.sum().backward()
    assert constant.grad is not None
    assert rest.grad is None


def test_a_huge_or_broken_gaussian_spoils_no_other():
    means, quaternions, scales, opacities = _scene(20)
    camera = (IDENTITY, INTRINSICS, SIZE)
    alone = project(means, quaternions, scales, opacities, *camera, harmonics=_harmonics(20), degree=3)
    scales[0], means[1], quaternions[2] = 1e25, math.nan, 0.0
    leaves = [x.requires_grad_() for x in (means, quaternions, scales, opacities)]
    flat = project(*leaves, *camera, harmonics=_harmonics(20), degree=3)
    assert not flat.rows[:2].any()
    assert torch.isfinite(flat.rows).all()
    assert torch.equal(flat.rows[3:], alone.rows[3:])
    flat.rows.sum().backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad[3:]).all()
        assert not leaf.grad[:2].any()


@pytest.mark.parametrize("antialiased", [False, True])
def test_values_and_gradients_equal_the_float64_reference(antialiased: bool):
    tensors = _scene(2000)
    generator = torch.Generator().manual_seed(0)
    pose = torch.cat([torch.linalg.qr(torch.randn(3, 3, generator=generator))[0] * 0.2 + IDENTITY[:, :3],
                      torch.randn(3, 1, generator=generator) * 0.1], 1)  # fmt: skip
    seed = torch.randn(2000, 12, generator=generator)
    seed[:, 6:9] = 0  # where a colour meets black is tested apart

    def run(dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
        leaves = [x.to(dtype).requires_grad_() for x in (*tensors, pose, INTRINSICS)]
        outputs = PROJECT(*leaves[:4], None, None, *leaves[4:], *SIZE, 0.01, 0.3, 0, antialiased)
        return list(outputs), list(torch.autograd.grad(outputs[0], leaves, seed.to(dtype)))

    (found, found_gradients), (wanted, wanted_gradients) = run(torch.float32), run(torch.float64)
    for a, b in zip(found + found_gradients, wanted + wanted_gradients, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm()


def test_every_number_of_threads_gives_the_same_bits():
    handle = native.library()
    if handle is None:
        pytest.skip("no compiled library")
    leaves = [x.requires_grad_() for x in (*_scene(5000), IDENTITY.clone(), INTRINSICS.clone(), *_harmonics(5000))]

    def run(threads: int) -> list[Tensor]:
        handle.scenekit_set_threads(threads)
        flat = project(*leaves[:6], SIZE, harmonics=(leaves[6], leaves[7]), degree=3)
        return [flat.rows, *torch.autograd.grad(flat.rows.sum(), leaves)]

    try:
        one, two = run(1), run(2)
    finally:
        handle.scenekit_set_threads(torch.get_num_threads())
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_projection_equals_gsplat():
    oracle = pytest.importorskip("gsplat.cuda._torch_impl", reason="gsplat is not installed: pip install gsplat==1.5.3")
    means, quaternions, scales, opacities = _scene(500, torch.float64)
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
    shapes = (means, quaternions, scales, opacities)
    flat = project(*shapes, invert_rigid(camera[:3]), intrinsics, SIZE, antialiased=True)
    seen = (radii > 0).all(-1)
    assert seen.sum() > 200
    assert torch.equal(flat.depths > 0, seen)
    torch.testing.assert_close(flat.rows[seen, :2], means2d[seen])
    torch.testing.assert_close(flat.depths[seen], depths[seen])
    torch.testing.assert_close(flat.rows[seen, 2:5], conics[seen])
    torch.testing.assert_close(flat.rows[seen, 5], (opacities * compensations.clamp(min=0.005))[seen])


def test_no_gaussians_give_empty_results():
    nothing = (torch.empty(0, 3), torch.empty(0, 4), torch.empty(0, 3), torch.empty(0))
    flat = project(*nothing, IDENTITY, INTRINSICS, SIZE, harmonics=_harmonics(0), degree=3)
    assert flat.rows.shape == (0, 12)
    assert flat.depths.shape == (0,)


@pytest.mark.bad_input
def test_wrong_shapes_degrees_and_planes_are_named():
    means, quaternions, scales, opacities = _scene(4)
    camera = (IDENTITY, INTRINSICS, SIZE)
    with pytest.raises(ValueError, match="scales"):
        project(means, quaternions, scales[:3], opacities, *camera)
    with pytest.raises(ValueError, match="near"):
        project(means, quaternions, scales, opacities, *camera, near=0.0)
    with pytest.raises(TypeError, match="quaternions"):
        project(means, quaternions.double(), scales, opacities, *camera)
    with pytest.raises(ValueError, match=r"degree 2 wants 8, found 3"):
        project(means, quaternions, scales, opacities, *camera, harmonics=_harmonics(4, 3), degree=2)
    with pytest.raises(ValueError, match=r"harmonics\[0\]"):
        project(means, quaternions, scales, opacities, *camera, harmonics=_harmonics(3), degree=2)
