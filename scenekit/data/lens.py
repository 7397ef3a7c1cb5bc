"""What a photograph's lens did: a COLMAP camera model, and the pinhole that its image is resampled to.

Every model that pycolmap can project is understood. A photograph through anything but a pinhole is resampled
once to a pinhole of the same size whose focal length is enlarged just enough that every pixel of the result
comes from inside the photograph: black borders would be learned as if they were part of the scene. Lenses that no
pinhole can stand for (``is_bent``) are kept, and so are all others on request: rays are then cast through them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenekit.core import lenses as core

if TYPE_CHECKING:
    import pycolmap

PINHOLES = ("SIMPLE_PINHOLE", "PINHOLE")
# Models that COLMAP does not have; their parameters are fx, fy, cx, cy.
OURS = {"EQUIRECTANGULAR": "equirectangular", "ORTHOGRAPHIC": "orthographic"}
# The distortion coefficients of each model, in COLMAP's order, by our names.
COEFFICIENTS = {
    "SIMPLE_RADIAL": ("k1",),
    "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("k1", "k2", "p1", "p2", "k3", "d1", "d2", "d3"),
    "SIMPLE_RADIAL_FISHEYE": ("k1",),
    "RADIAL_FISHEYE": ("k1", "k2"),
    "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
    "THIN_PRISM_FISHEYE": ("k1", "k2", "p1", "p2", "k3", "k4", "s1", "s2"),
}
# Perspective stretches by 1 / cos^2 of the angle off the axis: wider than this, corners are smeared pixels.
WIDEST_DIAGONAL = math.radians(120)


@dataclass(frozen=True)
class Lens:
    """A COLMAP camera model by name, its parameters, and the image size (width, height) they hold for.

    Pixel centres are at +0.5, as in COLMAP and everywhere here.
    """

    model: str
    size: tuple[int, int]
    parameters: tuple[float, ...]

    @classmethod
    def pinhole(cls, size: tuple[int, int], fx: float, fy: float, cx: float, cy: float) -> Lens:
        """A lens without distortion."""
        return cls("PINHOLE", size, (fx, fy, cx, cy))

    @property
    def is_pinhole(self) -> bool:
        """Whether images need no resampling."""
        return self.model in PINHOLES

    @property
    def is_bent(self) -> bool:
        """Whether no pinhole sees most of what it sees: panoramas, parallel rays, fisheyes wider than 120 degrees."""
        if self.model in OURS:
            return True
        if "FISHEYE" not in self.model or self.model not in COEFFICIENTS:
            return False
        fx, fy, cx, cy = self.intrinsics
        return math.hypot(max(cx, self.size[0] - cx) / fx, max(cy, self.size[1] - cy) / fy) > WIDEST_DIAGONAL / 2

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in pixels."""
        if self.model in OURS or self.model == "PINHOLE":  # without pycolmap, which takes a while to load
            fx, fy, cx, cy = self.parameters
            return fx, fy, cx, cy
        camera = self.camera()
        names = [name.strip() for name in camera.params_info.split(",")]
        values = dict(zip(names, self.parameters, strict=True))
        fx = values.get("f", values.get("fx", 0.0))
        return fx, values.get("f", values.get("fy", 0.0)), values["cx"], values["cy"]

    def camera(self) -> pycolmap.Camera:
        """The same lens in pycolmap's hands. Raises ValueError for an unknown model or a wrong count."""
        from scenekit.data.colmap_library import pycolmap

        camera = pycolmap.Camera(model=self.model, width=self.size[0], height=self.size[1], params=self.parameters)
        if not camera.verify_params():
            raise ValueError(f"{self.model} takes {camera.params_info}, got {len(self.parameters)} values")
        return camera

    def resized(self, size: tuple[int, int]) -> Lens:
        """The lens of the same photograph at another size; only what is measured in pixels changes."""
        if self.model == "PINHOLE":
            across, down = size[0] / self.size[0], size[1] / self.size[1]
            scaled = (value * factor for value, factor in zip(self.parameters, (across, down) * 2, strict=True))
            return replace(self, size=size, parameters=tuple(scaled))
        camera = self.camera()
        camera.rescale(*size)
        exact = list(self.parameters)
        rescaled = camera.params
        for index in (*camera.focal_length_idxs(), *camera.principal_point_idxs()):
            exact[index] = float(rescaled[index])
        return replace(self, size=size, parameters=tuple(exact))


def kept(lens: Lens) -> core.Lens | None:
    """The lens as rays are cast through it; None for a pinhole. Raises ValueError for a model without such rays."""
    if lens.is_pinhole:
        return None
    if lens.model in OURS:
        return core.Lens.of(OURS[lens.model])
    if lens.model not in COEFFICIENTS:
        raise ValueError(f"{lens.model}: its rays are not known here")
    names = COEFFICIENTS[lens.model]
    values = dict(zip(names, lens.parameters[-len(names) :], strict=True))
    return core.Lens.of("equidistant" if "FISHEYE" in lens.model else "perspective", **values)


def project(lens: Lens, rays: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel positions [m 2] of points [m 3] in the camera's frame (OpenCV axes); NaN where there is none."""
    camera = lens.camera()
    try:
        return np.asarray(camera.img_from_cam(rays))
    except TypeError:  # before pycolmap 3.13 the points were already divided by z
        return np.asarray(camera.img_from_cam(rays[:, :2] / rays[:, 2:]))


def undistorted(lens: Lens) -> Lens:
    """The pinhole of the same size and principal point that sees only what the photograph holds.

    Its focal length is the lens's times the smallest factor for which every pixel maps into the photograph
    (and the diagonal stays within 120 degrees). A pinhole comes back as it is.
    """
    if lens.is_pinhole:
        return Lens.pinhole(lens.size, *lens.intrinsics)
    fx, fy, cx, cy = lens.intrinsics
    width, height = lens.size
    corner = math.hypot(max(cx, width - cx) / fx, max(cy, height - cy) / fy)
    smallest = max(0.5, corner / math.tan(WIDEST_DIAGONAL / 2))
    factor = _smallest_valid_factor(lens, smallest)
    return Lens.pinhole(lens.size, fx * factor, fy * factor, cx, cy)


def source_positions(lens: Lens, pinhole: Lens, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where in the photograph the pinhole's pixels at ``u`` x ``v`` come from: [len(v) len(u) 2]."""
    fx, fy, cx, cy = pinhole.intrinsics
    x, y = np.meshgrid((u - cx) / fx, (v - cy) / fy)
    rays = np.stack([x, y, np.ones_like(x)], -1)
    return project(lens, rays.reshape(-1, 3)).reshape(*x.shape, 2)


def _smallest_valid_factor(lens: Lens, smallest: float) -> float:
    """Grow the factor until the image is covered, then bisect to a thousandth of a pixel's worth."""
    high = smallest
    while not _is_covered(lens, high):
        high *= 1.1
        if high > 100:
            raise ValueError(f"{lens.model} {lens.parameters} maps no pinhole view into its own image")
    if high == smallest:
        return smallest
    low = high / 1.1
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if _is_covered(lens, middle) else (middle, high)
    return high


def _is_covered(lens: Lens, factor: float) -> bool:
    """Whether every pixel comes from between the outermost pixel centres, and distortion never folds back."""
    fx, fy, cx, cy = lens.intrinsics
    width, height = lens.size
    pinhole = Lens.pinhole(lens.size, fx * factor, fy * factor, cx, cy)
    u, v = np.linspace(0.5, width - 0.5, 65), np.linspace(0.5, height - 0.5, 65)
    with np.errstate(all="ignore"):  # what overflows is not covered
        return _is_valid(source_positions(lens, pinhole, u, v), width, height)


def _is_valid(source: NDArray[np.float64], width: int, height: int) -> bool:
    inside = (source >= 0.5) & (source <= (width - 0.5, height - 0.5))
    # Where the distortion polynomial turns back, a step to the right here is a step to the left there.
    forward = (np.diff(source[..., 0], axis=1) > 0).all() and (np.diff(source[..., 1], axis=0) > 0).all()
    return bool(inside.all() and forward)
