"""Splats through lenses that are not pinholes: pinhole faces about the same centre, read off along the lens's rays.

Projecting a Gaussian through a strongly bent lens is no longer a Gaussian. So the scene is rasterized onto faces, each
a pinhole within which projection is as exact as ever: one face for a narrow lens, those faces of a cube that the lens
looks through for a wide one. Every pixel then takes the value where its own ray meets its face, between those of face
pixels. An orthographic camera is one face very far away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenekit.core.cameras import Cameras, every_pixel
from scenekit.core.lenses import Lens, sight

ONE_FACE = math.radians(50)  # rays within this angle of the axis share a single face
DENSITY = 1.5  # face pixels for each pixel of the lens along a line, so that reading off hardly blurs
FAR = 1000.0  # scene units from which an orthographic view is taken: lines differ from parallel by a thousandth
MARGIN = 2.0  # pixels around what is read off, for each value stands between four a line

# Rotations camera_from_face: the face's own z axis looks along +z, +x, -x, +y, -y, -z of the camera.
CUBE = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
    ((0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)),
    ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
)


@dataclass(frozen=True)
class Face:
    """A pinhole about the camera's centre, and which of the camera's pixels are read off it.

    Attributes:
        camera_from_face: rotation.
        intrinsics, size: of the pinhole.
        back: how far behind the camera's centre it stands, in scene units.
        pixels: flat indices of the camera's pixels.
        positions: where their rays meet the face, in its pixels.
        depths: what the face's z is multiplied by to give the camera's depth, for a face at the centre.
        unit: see :class:`~scenekit.renderers.exchange.Pinhole`; a face of several counts as a picture of its own, of 90
            degrees, so that what a lens sees elsewhere does not lessen how much a splat is pulled at. None for a single
            face, which counts as what it is.
    """

    camera_from_face: Float[Tensor, "3 3"]
    intrinsics: Float[Tensor, "4"]
    size: tuple[int, int]
    back: float
    pixels: Int[Tensor, " P"]
    positions: Float[Tensor, "P 2"]
    depths: Float[Tensor, " P"]
    unit: float | None

    def to(self, device: torch.device) -> Face:
        """With its tensors there."""
        tensors = (self.pixels, self.positions, self.depths)
        pixels, positions, depths = (tensor.to(device) for tensor in tensors)
        return replace(self, pixels=pixels, positions=positions, depths=depths)

    def camera(self, camera: Cameras) -> Cameras:
        """The face as a camera where ``camera`` stands; gradients reach the pose."""
        pose = camera.world_from_camera[0]
        turned = pose[:, :3] @ self.camera_from_face.to(pose)
        centre = pose[:, 3] - self.back * turned[:, 2]
        placed = torch.cat([turned, centre[:, None]], -1)[None]
        return replace(
            camera, world_from_camera=placed, intrinsics=self.intrinsics.to(pose)[None], sizes=(self.size,), lenses=None
        )


def faces_of(camera: Cameras) -> tuple[Face, ...]:
    """The faces that one camera is seen through, none for a pinhole; gradients reach intrinsics that are learnt."""
    lens, values = camera.lens(0), camera.intrinsics[0]
    if lens is None:
        return ()
    faces = _faces(lens, tuple(values.tolist()), camera.sizes[0], camera.world_from_camera.device)
    return tuple(_learnt(face, camera, lens) for face in faces) if values.requires_grad else faces


def _learnt(face: Face, camera: Cameras, lens: Lens) -> Face:
    """The face as a function of the camera's intrinsics, but for where its corner lies and which pixels are its own."""
    values = camera.intrinsics[0]
    at = every_pixel(camera).positions[face.pixels]
    origins, directions, along = sight(lens, values, values.new_tensor(camera.sizes[0]), at)
    density, corner = DENSITY * values[:2].max(), face.intrinsics[2:].to(values)
    if lens.kind == "orthographic":
        intrinsics = torch.cat([(density * FAR).expand(2), corner])
        return replace(face, intrinsics=intrinsics, positions=density * origins[:, :2] + corner)
    local = directions @ face.camera_from_face.to(values)
    positions = density * local[:, :2] / local[:, 2:] + corner
    intrinsics = torch.cat([density.expand(2), corner])
    return replace(face, intrinsics=intrinsics, positions=positions, depths=along / local[:, 2])


@lru_cache(maxsize=64)
def _faces(lens: Lens, intrinsics: tuple[float, ...], size: tuple[int, int], device: torch.device) -> tuple[Face, ...]:
    """In float64 on a CPU, then where pictures are read off."""
    return tuple(face.to(device) for face in _cut(lens, intrinsics, size))


def _cut(lens: Lens, intrinsics: tuple[float, ...], size: tuple[int, int]) -> tuple[Face, ...]:
    values = torch.tensor(intrinsics, dtype=torch.float64)
    pixels = every_pixel(Cameras(torch.eye(4, dtype=torch.float64)[None, :3], values[None], (size,)))
    origins, directions, along = sight(lens, values, values.new_tensor(size), pixels.positions)
    density = DENSITY * max(intrinsics[:2])
    if lens.kind == "orthographic":
        return (_far_face(origins, density),)
    if float(directions[:, 2].min()) > math.cos(ONE_FACE):
        every = torch.arange(len(directions))
        return (_face(torch.eye(3, dtype=torch.float64), every, directions, along, density, None),)
    turns = torch.tensor(CUBE, dtype=torch.float64)
    nearest = (directions @ turns[:, :, 2].T).argmax(-1)
    chosen = [(turns[face], (nearest == face).nonzero().squeeze(-1)) for face in range(len(CUBE))]
    # A picture of 90 degrees is twice its focal length wide, half of which is the unit, and has the square of that in
    # pixels; the gradient is of a mean over the lens's own.
    unit = density * len(directions) / (2 * density / DENSITY) ** 2
    return tuple(_face(turn, rows, directions, along, density, unit) for turn, rows in chosen if len(rows))


def _face(turn: Tensor, rows: Tensor, directions: Tensor, along: Tensor, density: float, unit: float | None) -> Face:
    local = directions[rows] @ turn
    plane = density * local[:, :2] / local[:, 2:]
    size, corner = _box(plane)
    intrinsics = torch.tensor([density, density, -corner[0], -corner[1]])
    depths = (along[rows] / local[:, 2]).float()
    return Face(turn, intrinsics, size, 0.0, rows, (plane - corner).float(), depths, unit)


def _far_face(origins: Tensor, density: float) -> Face:
    plane = density * origins[:, :2]
    size, corner = _box(plane)
    intrinsics = torch.tensor([density * FAR, density * FAR, -corner[0], -corner[1]])
    rows, depths = torch.arange(len(origins)), torch.ones(len(origins))
    return Face(torch.eye(3).double(), intrinsics, size, FAR, rows, (plane - corner).float(), depths, None)


def _box(plane: Tensor) -> tuple[tuple[int, int], Tensor]:
    """Size of the smallest image that holds the points with a margin, and where its corner lies."""
    corner = plane.amin(0).floor() - MARGIN
    width, height = (plane.amax(0) - corner + MARGIN).ceil().long().tolist()
    return (width, height), corner


def read_off(face: Face, features: Float[Tensor, "h w D"], opacities: Float[Tensor, "h w"]) -> Float[Tensor, "P E"]:
    """What a face's picture shows along the rays of its pixels.

    Args:
        face: where they meet it.
        features: premultiplied colours and, if there are four, depth.
        opacities: beside them.

    Returns:
        Features and, last, opacity; E = D + 1.
    """
    seen = cubic(torch.cat([features[..., :3], opacities[..., None]], -1), face.positions)
    # Weights of both signs overshoot along silhouettes. What is more than opaque is opaque and of the same colour, what
    # is less than nothing is nothing: so an object of the background's own colour does not show against it.
    seen = (seen / seen[:, 3:].clamp(min=1)).clamp(min=0)
    if features.shape[-1] == 3:
        return seen
    # No depth lies between those beside it but by weights of one sign.
    depth, covered = linear(torch.stack([features[..., 3], opacities], -1), face.positions).unbind(-1)
    depth = depth / torch.where(covered > 0, covered, 1) * face.depths - face.back
    depth = torch.where(covered > 0, depth, 0) * seen[:, 3]
    return torch.cat([seen[:, :3], depth[:, None], seen[:, 3:]], -1)


def cubic(image: Float[Tensor, "h w D"], positions: Float[Tensor, "P 2"]) -> Float[Tensor, "P D"]:
    """By Catmull-Rom splines, exact for polynomials of the second degree; pixel centres lie at +0.5.

    ``positions`` have two pixel centres to every side. A bilinear reading is a blur that splats cannot undo, and the
    bicubic one of torch (-0.75 where these have -0.5) moves even straight slopes by a twentieth of a pixel.
    """
    corners = (positions - 0.5).floor()
    across, down = _catmull_rom(positions - 0.5 - corners).unbind(1)
    column, row = corners.long().unbind(-1)
    columns = column[:, None] + torch.arange(-1, 3, device=column.device)
    flat = image.flatten(0, 1)
    lines = []
    for step in range(-1, 3):
        values = flat[(row + step)[:, None] * image.shape[1] + columns]
        lines.append((values * (across * down[:, step + 1, None])[..., None]).sum(1))
    return lines[0] + lines[1] + lines[2] + lines[3]


def _catmull_rom(t: Float[Tensor, "*b"]) -> Float[Tensor, "*b 4"]:
    """Weights of the two before and the two after what is ``t`` of the way between the middle ones."""
    outer, inner = ((2 - t) * t - 1) * t, (3 * t - 5) * t * t + 2
    return torch.stack([outer, inner, ((4 - 3 * t) * t + 1) * t, (t - 1) * t * t], -1) / 2


def linear(image: Float[Tensor, "h w D"], positions: Float[Tensor, "P 2"]) -> Float[Tensor, "P D"]:
    """Bilinear values; pixel centres lie at +0.5."""
    size = positions.new_tensor([image.shape[1], image.shape[0]])
    grid = (positions * (2 / size) - 1)[None, None]
    found = torch.nn.functional.grid_sample(image.permute(2, 0, 1)[None], grid, align_corners=False)
    return found[0, :, 0].T
