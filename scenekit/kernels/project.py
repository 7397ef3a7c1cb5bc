"""EWA projection of Gaussians to ellipses on an image (Zwicker et al. 2001, as gsplat 1.5 does it).

The camera sees along +z. With ``J`` the Jacobian of the pinhole at the mean and ``S`` the covariance in
the camera, the image covariance is ``J S J^T + blur I``. In ``J`` the slopes x/z and y/z are clamped to 30 %
of half the field of view beyond the image, where the linearisation would run away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import project as on_gpu
from scenekit.kernels.op import below_autograd, once_differentiable, reference_gradients, register

SIGMAS = 3.33  # of the radii: where opacity 1 has fallen to 1/255
LEAST_COMPENSATION = 0.005


@dataclass(frozen=True)
class Projected:
    """Gaussians as one camera sees them; the row of a culled one is all zeros and gets no gradient.

    Attributes:
        means2d: in pixels, pixel centres at +0.5.
        depths: camera z, in scene units.
        conics: xx, xy, yy of the inverse of the blurred image covariance, per square pixel.
        compensations: what to multiply opacities by so that the blur does not brighten small Gaussians:
            ``sqrt(det(before blur) / det(after))``, at least 0.005.
        radii: 3.33 sigma along x and y, in whole pixels; 0 where culled.
    """

    means2d: Float[Tensor, "N 2"]
    depths: Float[Tensor, "N"]
    conics: Float[Tensor, "N 3"]
    compensations: Float[Tensor, "N"]
    radii: Int32[Tensor, "N 2"]


def project(
    means: Float[Tensor, "N 3"],
    quaternions: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    camera_from_world: Float[Tensor, "3 4"],
    intrinsics: Float[Tensor, "4"],
    size: tuple[int, int],
    *,
    near: float = 0.01,
    blur: float = 0.3,
) -> Projected:
    """Project Gaussians into an image of ``size`` (width, height); ``intrinsics``: fx, fy, cx, cy in pixels.

    Quaternions are wxyz and need not be normalised; ``scales`` are standard deviations in scene units. Culled
    are Gaussians with z not beyond ``near`` and those whose radii do not reach the image. Gradients reach
    means, quaternions, scales and ``camera_from_world``. Raises ValueError for a wrong shape, TypeError
    for dtypes that differ.
    """
    sizes: dict[str, int] = {}
    check_shape("means", means, ("N", 3), sizes)
    check_shape("quaternions", quaternions, ("N", 4), sizes)
    check_shape("scales", scales, ("N", 3), sizes)
    check_shape("camera_from_world", camera_from_world, (3, 4), {})
    check_shape("intrinsics", intrinsics, (4,), {})
    cameras = {"camera_from_world": camera_from_world, "intrinsics": intrinsics}
    check_same_kind("means", means, quaternions=quaternions, scales=scales, **cameras)
    if near <= 0 or blur < 0:
        raise ValueError(f"near, blur: wanted near > 0 and blur >= 0, found {near} and {blur}")
    inputs = (means, quaternions, scales, camera_from_world, intrinsics)
    return Projected(*PROJECT(*inputs, *size, near, blur))


def _reference(*arguments: Any) -> tuple[Tensor, ...]:
    means, quaternions, scales, camera_from_world, intrinsics, width, height, near, blur = arguments
    rotation = camera_from_world[:, :3]
    points = means @ rotation.T + camera_from_world[:, 3]
    factors = rotation @ (_axes(quaternions) * scales[:, None, :])
    depths = points[:, 2]
    in_front = depths > near
    z = torch.where(in_front, depths, torch.ones_like(depths))
    slopes = points[:, :2] / z[:, None]
    focal, center = intrinsics[:2], intrinsics[2:]
    image = intrinsics.new_tensor([width, height])
    margin = 0.15 * image / focal
    clamped = torch.clamp(slopes, -(center / focal + margin), (image - center) / focal + margin)
    jacobian = factors[:, :2] - clamped[:, :, None] * factors[:, 2:]
    u, v = ((focal / z[:, None])[:, :, None] * jacobian).unbind(1)
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    sharp = torch.linalg.cross(u, v).square().sum(-1)  # uu vv - uv^2, without cancellation
    determinant = sharp + blur * (uu + vv) + blur * blur
    means2d = focal * slopes + center
    radii = torch.ceil(SIGMAS * torch.sqrt(torch.stack([uu, vv], -1).detach() + blur))
    inside = ((means2d + radii > 0) & (means2d - radii < image)).all(-1)
    seen = in_front & (determinant > 0) & torch.isfinite(determinant) & inside
    conics = torch.stack([vv + blur, -uv, uu + blur], -1) / determinant[:, None]
    compensations = torch.sqrt(torch.clamp(sharp / determinant, min=LEAST_COMPENSATION**2))
    whole = radii.clamp(max=1e9).to(torch.int32)
    return tuple(_masked(x, seen) for x in (means2d, depths, conics, compensations, whole))


def _masked(x: Tensor, seen: Tensor) -> Tensor:
    return torch.where(seen.reshape(-1, *[1] * (x.dim() - 1)), x, torch.zeros_like(x))


def _axes(quaternions: Tensor) -> Tensor:
    """Rotation matrices; columns are a Gaussian's axes."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _cpu(*arguments: Any) -> tuple[Tensor, ...]:
    tensors, (width, height, near, blur) = arguments[:5], arguments[5:]
    if not native.serves(*tensors):
        return _reference(*arguments)
    outputs = _fake(*arguments)
    count = tensors[0].shape[0]
    native.call("project", *_dense(tensors), count, width, height, float(near), float(blur), *outputs)
    return outputs


def _fake(means: Tensor, *_: Any) -> tuple[Tensor, ...]:
    count = means.shape[0]
    return (
        means.new_empty(count, 2),
        means.new_empty(count),
        means.new_empty(count, 3),
        means.new_empty(count),
        means.new_empty(count, 2, dtype=torch.int32),
    )


# The arguments of the backward op: four gradients, then those of the op.


def _backward_reference(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(reference_gradients(_reference, arguments[4:], (0, 1, 2, 3), arguments[:4]))


def _backward_cpu(*arguments: Any) -> tuple[Tensor, ...]:
    tensors, (width, height, near, blur) = arguments[:9], arguments[9:]
    if not native.serves(*tensors):
        return _backward_reference(*arguments)
    outputs = _backward_fake(*arguments)
    count = tensors[0].shape[0]
    native.call("project_backward", *_dense(tensors), count, width, height, float(near), float(blur), *outputs)
    return outputs


def _backward_fake(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape) for x in arguments[4:8])


def _dense(tensors: tuple[Tensor, ...]) -> list[Tensor]:
    return [x.contiguous() for x in tensors]


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        outputs = below_autograd("project", *arguments)
        ctx.save_for_backward(*arguments[:5])
        ctx.constants = arguments[5:]
        ctx.mark_non_differentiable(outputs[4])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        found = torch.ops.scenekit.project_backward(*gradients[:4], *ctx.saved_tensors, *ctx.constants)
        wanted = zip(found, ctx.needs_input_grad[:4], strict=True)
        return (*(g if needed else None for g, needed in wanted), None, None, None, None, None)


PROJECT = register(
    "project(Tensor means, Tensor quaternions, Tensor scales, Tensor camera_from_world, Tensor intrinsics,"
    " int width, int height, float near, float blur) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=on_gpu.project,
    autograd=_Project,
)
PROJECT_BACKWARD = register(
    "project_backward(Tensor means2d_gradient, Tensor depths_gradient, Tensor conics_gradient,"
    " Tensor compensations_gradient, Tensor means, Tensor quaternions, Tensor scales,"
    " Tensor camera_from_world, Tensor intrinsics, int width, int height, float near, float blur)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _backward_reference,
    fake=_backward_fake,
    cpu=_backward_cpu,
    cuda=on_gpu.project_backward,
)
