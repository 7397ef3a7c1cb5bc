"""What one camera sees of every Gaussian: its ellipse on the image, its opacity and its colour, a row each.

EWA projection (Zwicker et al. 2001, as gsplat 1.5 does it). The camera sees along +z. With ``J`` the Jacobian of the
pinhole at the mean and ``S`` the covariance in the camera, the image covariance is ``J S J^T + blur I``. In ``J`` the
slopes x/z and y/z are clamped to 30 % of half the field of view beyond the image, where the linearisation would run
away. The colour is ``max(0, 1/2 + sum_k c_k Y_k(direction))`` along the direction from the camera's centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from scenekit.core.checks import check_same_kind, check_shape
from scenekit.kernels import native
from scenekit.kernels.gpu import project as on_gpu
from scenekit.kernels.op import below_autograd, once_differentiable, reference_gradients, register
from scenekit.kernels.spherical_harmonics import basis_of, check_degree

SIGMAS = 3.33  # of the radii by which Gaussians beside the image are told: where opacity 1 has fallen to 1/255
BLUR = 0.3  # square pixels that every Gaussian is widened by
LEAST_COMPENSATION = 0.005
COLUMNS = 12
INPUTS = 8  # tensors that the op takes

Harmonics = tuple[Float[Tensor, "N 1 3"], Float[Tensor, "N K 3"]]


@dataclass(frozen=True)
class Projected:
    """Gaussians as one camera sees them; the row of a culled one is all zeros and gets no gradient.

    Attributes:
        rows: x and y of the mean in pixels (pixel centres at +0.5); xx, xy, yy of the inverse of the blurred image
            covariance, per square pixel; opacity; red, green, blue; depth, the camera's z in scene units; two zeros.
            What :func:`~scenekit.kernels.rasterize.rasterize` takes: the features are colour and depth.
        depths: that column once more, in one piece and without gradient.
        order: in which those at the same depth come one before another; None for that of the rows.
    """

    rows: Float[Tensor, "N 12"]
    depths: Float[Tensor, "N"]
    order: Int64[Tensor, "N"] | None = None


def project(  # noqa: PLR0913 (a camera, and all that it sees of a splat)
    means: Float[Tensor, "N 3"],
    quaternions: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, "N"],
    world_from_camera: Float[Tensor, "3 4"],
    intrinsics: Float[Tensor, "4"],
    size: tuple[int, int],
    *,
    harmonics: Harmonics | None = None,
    degree: int = 0,
    antialiased: bool = False,
    near: float = 0.01,
    blur: float = BLUR,
) -> Projected:
    """See Gaussians in an image of ``size`` (width, height); ``intrinsics``: fx, fy, cx, cy in pixels.

    Quaternions are wxyz and need not be normalised; ``scales`` are standard deviations in scene units.
    ``harmonics`` are the constant coefficients of the colour and the others, of which those up to ``degree`` count;
    without any all is black. ``antialiased`` multiplies opacities by ``sqrt(det(before blur) / det(after))``, at
    least 0.005, so that the blur does not brighten small Gaussians. Culled are Gaussians with z not beyond ``near``
    and those whose radii do not reach the image. Gradients reach all tensors; to ``intrinsics`` not through the
    clamps of the slopes, to the coefficients beyond the constant one not while ``degree`` is 0. Raises ValueError
    for a wrong shape, degree or plane, TypeError for dtypes that differ.
    """
    sizes: dict[str, int] = {}
    check_shape("means", means, ("N", 3), sizes)
    check_shape("quaternions", quaternions, ("N", 4), sizes)
    check_shape("scales", scales, ("N", 3), sizes)
    check_shape("opacities", opacities, ("N",), sizes)
    check_shape("world_from_camera", world_from_camera, (3, 4), {})
    check_shape("intrinsics", intrinsics, (4,), {})
    others = {"opacities": opacities, "world_from_camera": world_from_camera, "intrinsics": intrinsics}
    constant, rest = harmonics or (None, None)
    if constant is not None and rest is not None:
        check_degree(degree)
        check_shape("harmonics[0]", constant, ("N", 1, 3), sizes)
        check_shape("harmonics[1]", rest, ("N", "K", 3), sizes)
        others |= {"harmonics[0]": constant, "harmonics[1]": rest}
        if sizes["K"] < (degree + 1) ** 2 - 1:
            raise ValueError(f"harmonics[1]: degree {degree} wants {(degree + 1) ** 2 - 1}, found {sizes['K']}")
    check_same_kind("means", means, quaternions=quaternions, scales=scales, **others)
    if near <= 0 or blur < 0:
        raise ValueError(f"near, blur: wanted near > 0 and blur >= 0, found {near} and {blur}")
    inputs = (means, quaternions, scales, opacities, constant, rest, world_from_camera, intrinsics)
    return Projected(*PROJECT(*inputs, *size, near, blur, degree, antialiased))


def _reference(*arguments: Any) -> tuple[Tensor, Tensor]:
    means, quaternions, scales, opacities, constant, rest, world_from_camera, intrinsics = arguments[:INPUTS]
    width, height, near, blur, degree, antialiased = arguments[INPUTS:]
    rotation, relative = world_from_camera[:, :3].T, means - world_from_camera[:, 3]
    points = relative @ rotation.T
    factors = rotation @ (_axes(quaternions) * scales[:, None, :])
    depths = points[:, 2]
    in_front = depths > near
    z = torch.where(in_front, depths, torch.ones_like(depths))
    slopes = points[:, :2] / z[:, None]
    focal, center = intrinsics[:2], intrinsics[2:]
    image = intrinsics.new_tensor([width, height])
    clamped = torch.clamp(slopes, *_slope_limits(image, focal.detach(), center.detach()))
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
    if antialiased:
        opacities = opacities * torch.sqrt(torch.clamp(sharp / determinant, min=LEAST_COMPENSATION**2))
    colors = torch.zeros_like(means) if constant is None else _colors(relative, constant, rest, degree)
    parts = (means2d, conics, opacities[:, None], colors, depths[:, None], torch.zeros_like(means2d))
    rows = torch.where(seen[:, None], torch.cat(parts, -1), torch.zeros(COLUMNS).to(means))
    return rows, rows[:, 9].detach().clone()


def _slope_limits(image: Tensor, focal: Tensor, center: Tensor) -> tuple[Tensor, Tensor]:
    margin = 0.15 * image / focal
    return -(center / focal + margin), (image - center) / focal + margin


def _colors(relative: Tensor, constant: Tensor, rest: Tensor | None, degree: int) -> Tensor:
    basis = basis_of(torch.nn.functional.normalize(relative, dim=-1), degree)
    colors = 0.5 + basis[:, :1] * constant[:, 0]
    if degree > 0:
        assert rest is not None
        colors = colors + (basis[:, 1:, None] * rest[:, : basis.shape[1] - 1]).sum(1)
    return colors.clamp(min=0)


def _axes(quaternions: Tensor) -> Tensor:
    """Rotation matrices; columns are a Gaussian's axes."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _cpu(*arguments: Any) -> tuple[Tensor, Tensor]:
    tensors, settings = arguments[:INPUTS], arguments[INPUTS:]
    if not native.serves(*(x for x in tensors if x is not None)):
        return _reference(*arguments)
    outputs = _fake(*arguments)
    native.call("project", *_native(tensors, settings), *outputs)
    return outputs


def _native(tensors: Sequence[Tensor | None], settings: Sequence[Any]) -> list[Any]:
    """As the C library takes them."""
    (width, height, near, blur, degree, antialiased), constant, rest = settings, tensors[4], tensors[5]
    dense = [None if x is None else x.contiguous() for x in tensors]
    assert tensors[0] is not None
    sizes = (tensors[0].shape[0], 0 if rest is None else rest.shape[1], width, height)
    shading = (-1 if constant is None else degree, int(antialiased))
    return [*dense, *sizes, float(near), float(blur), *shading]


def _fake(means: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return means.new_empty(means.shape[0], COLUMNS), means.new_empty(means.shape[0])


# The arguments of the backward op: the gradient to the rows, those of the op, and whether gradients are wanted to the
# coefficients beyond the constant one, and to the camera; empty tensors stand for what is not wanted or not there.


def _backward_reference(*arguments: Any) -> tuple[Tensor, ...]:
    gradient, inputs, wanted = arguments[0], arguments[1:-1], _wanted(arguments)
    which = [i for i in range(INPUTS) if wanted[i]]
    found = dict(zip(which, reference_gradients(_reference, inputs, which, (gradient, None)), strict=True))
    return tuple(found[i] if wanted[i] else gradient.new_empty(0) for i in range(INPUTS))


def _wanted(arguments: Sequence[Any]) -> tuple[bool, ...]:
    constant, (rest, camera) = arguments[5] is not None, arguments[-1]
    return (True, True, True, True, constant, constant and rest, camera, camera)


def _backward_cpu(*arguments: Any) -> tuple[Tensor, ...]:
    gradient, tensors, settings = arguments[0], arguments[1 : INPUTS + 1], arguments[INPUTS + 1 : -1]
    if not native.serves(gradient, *(x for x in tensors if x is not None)):
        return _backward_reference(*arguments)
    wanted = _wanted(arguments)
    results = [x.new_empty(x.shape) if want else None for x, want in zip(tensors[:6], wanted[:6], strict=True)]
    camera = gradient.new_empty(16)
    native.call("project_backward", gradient.contiguous(), *_native(tensors, settings), *results, camera)
    found = [*results, *((camera[:12].view(3, 4), camera[12:].clone()) if wanted[6] else (None, None))]
    return tuple(gradient.new_empty(0) if x is None else x for x in found)


def _backward_fake(*arguments: Any) -> tuple[Tensor, ...]:
    gradient, tensors = arguments[0], arguments[1 : INPUTS + 1]
    return tuple(
        x.new_empty(x.shape) if want else gradient.new_empty(0)
        for x, want in zip(tensors, _wanted(arguments), strict=True)
    )


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        rows, depths = below_autograd("project", *arguments)
        ctx.save_for_backward(*arguments[:INPUTS])
        ctx.settings = arguments[INPUTS:]
        ctx.mark_non_differentiable(depths)
        return rows, depths

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        needed, degree = ctx.needs_input_grad[:INPUTS], ctx.settings[4]
        asked = [needed[5] and degree > 0, needed[6] or needed[7]]
        arguments = (gradients[0], *ctx.saved_tensors, *ctx.settings, asked)
        found = torch.ops.scenekit.project_backward(*arguments)
        given = zip(found, needed, _wanted(arguments), strict=True)
        return (*(g if need and there else None for g, need, there in given), *(None,) * len(ctx.settings))


PROJECT = register(
    "project(Tensor means, Tensor quaternions, Tensor scales, Tensor opacities, Tensor? constant, Tensor? rest,"
    " Tensor world_from_camera, Tensor intrinsics, int width, int height, float near, float blur, int degree,"
    " bool antialiased) -> (Tensor, Tensor)",
    _reference,
    fake=_fake,
    cpu=_cpu,
    cuda=on_gpu.project,
    autograd=_Project,
)
PROJECT_BACKWARD = register(
    "project_backward(Tensor gradient, Tensor means, Tensor quaternions, Tensor scales, Tensor opacities,"
    " Tensor? constant, Tensor? rest, Tensor world_from_camera, Tensor intrinsics, int width, int height, float near,"
    " float blur, int degree, bool antialiased, bool[2] wanted)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _backward_reference,
    fake=_backward_fake,
    cpu=_backward_cpu,
    cuda=on_gpu.project_backward,
)
