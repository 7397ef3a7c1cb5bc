"""3D Gaussians: where each stands, how far it reaches, how opaque it is and what colour it shows where to."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras
from scenekit.core.cloud import PointCloud
from scenekit.core.protocols import Context, ParameterGroup, Splats
from scenekit.core.rows import Dealt, Rows, Undivided
from scenekit.core.schedules import exponential
from scenekit.kernels.spherical_harmonics import C0
from scenekit.representations.compact import smoothness
from scenekit.representations.point_clouds import neighbour_distances, random_cloud

# A mean squared distance below this is a duplicate point; its Gaussian would never be seen.
SMALLEST_SCALE = 1e-7
COVERING = 0.6  # width of a Gaussian on a known surface, in units of the distance to its neighbours
FLATNESS = 0.2  # thickness of a Gaussian on a known surface, in units of its width
DOUBT = 0.3  # how far known opacities are kept from 0 and 1: a sigmoid learns at neither, and what is hidden must show


@dataclass(frozen=True)
class GaussianRates:
    """Learning rates at the start, as 3D Gaussian Splatting has them.

    Attributes:
        means: in units of the scene's scale; falls to ``means_end`` of itself.
        log_scales, quaternions, opacity_logits, harmonics_dc, harmonics_rest: of the other parameters.
        means_end, others_end: what is left of a rate when training ends.
    """

    means: float = 1.6e-4
    log_scales: float = 5e-3
    quaternions: float = 1e-3
    opacity_logits: float = 5e-2
    harmonics_dc: float = 2.5e-3
    harmonics_rest: float = 2.5e-3 / 20
    means_end: float = 0.01
    others_end: float = 1.0


@dataclass(frozen=True)
class Gaussians:
    """3D Gaussian Splatting.

    Attributes:
        harmonics_degree: of the colour; 0 to 3.
        harmonics_interval: progress after which one more degree is in use.
        max_count: Gaussians at most; on a CPU the count decides the speed.
        random_count: Gaussians at the start where a capture has no points.
        initial_opacity: of every Gaussian.
        initial_scale: times the distance to the nearest neighbours.
        antialiased: opacities make up for the screen-space blur (Mip-Splatting's 2D filter).
        densification: 3DGS's clone, split and prune, MCMC's relocation, or neither.
        densify_until: progress after which the count stays.
        gradient_threshold: 3DGS's, on screen positions in normalised device coordinates.
        regularization: weight of the mean opacity and the mean scale in the loss; MCMC wants 0.01.
        compact: keep the Gaussians in a sorted square grid, and the grid smooth, so that files of them are small.
        selective: leave alone what a photograph did not see, moments included (gsplat's selective Adam).
        rates: learning rates.
    """

    renderer: ClassVar[str] = "splats"

    harmonics_degree: int = 3
    harmonics_interval: float = 1 / 30
    max_count: int = 1_000_000
    random_count: int = 50_000
    initial_opacity: float = 0.1
    initial_scale: float = 1.0
    antialiased: bool = False
    densification: Literal["default", "mcmc", "none"] = "default"
    densify_until: float = 0.5
    gradient_threshold: float = 2e-4
    regularization: float = 0.0
    compact: bool = False
    selective: bool = False
    rates: GaussianRates = field(default_factory=GaussianRates)

    def build(
        self,
        cloud: PointCloud | None,
        bounds: Bounds,
        cameras: Cameras,
        generator: torch.Generator | None = None,
    ) -> GaussianModel:
        """One Gaussian for each point of ``cloud``, or for each random point where there are none.

        A point with a normal becomes a flat Gaussian in its surface; one with an opacity keeps it.
        ``cameras`` and ``cloud`` are in ``scene``. More points than ``max_count`` are thinned at random.
        """
        if cloud is None or len(cloud) == 0:
            cloud = random_cloud(min(self.random_count, self.max_count), bounds, cameras, generator)
        if len(cloud) > self.max_count:
            chosen = torch.randperm(len(cloud), generator=generator)[: self.max_count].sort().values
            cloud = cloud[chosen]
        model = GaussianModel(self, len(cloud), scene_scale(cameras))
        distances = neighbour_distances(cloud.positions, 3, generator)
        scales = distances.square().mean(-1).sqrt().clamp(min=SMALLEST_SCALE) * self.initial_scale
        with torch.no_grad():
            model.means.copy_(cloud.positions)
            model.log_scales.copy_(scales.log()[:, None].expand(-1, 3))
            model.harmonics_dc.copy_((cloud.colors[:, None] - 0.5) / C0)
            if cloud.normals is not None:
                model.quaternions.copy_(_turned_to(cloud.normals))
                model.log_scales.add_(math.log(COVERING))
                model.log_scales[:, 2] += math.log(FLATNESS)
            if cloud.opacities is not None:
                model.opacity_logits.copy_(cloud.opacities.clamp(DOUBT, 1 - DOUBT).logit())
        return model


def scene_scale(cameras: Cameras) -> float:
    """1.1 times the largest distance of a camera from the middle of all (3DGS); 1 for a single camera."""
    centres = cameras.centres
    spread = float((centres - centres.mean(0)).norm(dim=-1).max()) if len(cameras) else 0.0
    return 1.1 * spread if spread > 1e-6 else 1.0


class GaussianModel(nn.Module):
    """N Gaussians and their learnable parameters; see :class:`Gaussians`.

    ``load_state_dict`` takes any N. ``scene_scale`` is the unit in which means learn and sizes are judged. Where
    several processes train, these are one's Gaussians, and ``rows`` says which of all.
    """

    def __init__(self, config: Gaussians, count: int, scale: float) -> None:
        super().__init__()
        self.config = config
        self.scene_scale = scale
        self.rows: Rows = Undivided()
        coefficients = (config.harmonics_degree + 1) ** 2
        logit = math.log(config.initial_opacity / (1 - config.initial_opacity))
        self.means = nn.Parameter(torch.zeros(count, 3))
        self.log_scales = nn.Parameter(torch.zeros(count, 3))
        self.quaternions = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1))
        self.opacity_logits = nn.Parameter(torch.full((count,), logit))
        self.harmonics_dc = nn.Parameter(torch.zeros(count, 1, 3))
        self.harmonics_rest = nn.Parameter(torch.zeros(count, coefficients - 1, 3))
        self.register_load_state_dict_pre_hook(_resize)

    def __len__(self) -> int:
        return self.means.shape[0]

    def degree(self, progress: float) -> int:
        """Highest spherical-harmonic degree in use: colour first, its dependence on direction later."""
        if self.config.harmonics_interval <= 0:
            return self.config.harmonics_degree
        return min(self.config.harmonics_degree, int(progress / self.config.harmonics_interval))

    def stage(self, context: Context) -> Hashable:
        """The degree in use, and what rows of all are here."""
        return self.degree(context.progress), self.rows.version

    def splats(self, cameras: Cameras, context: Context) -> Splats:
        """The Gaussians, activated; the same for every camera."""
        degree = self.degree(context.progress)
        scales, opacities = self.log_scales.exp(), self.opacity_logits.sigmoid()
        weight, terms = self.config.regularization, {}
        if context.training and weight > 0:
            terms = {"opacities": weight * self.rows.mean(opacities), "scales": weight * self.rows.mean(scales)}
        if context.training and self.config.compact:
            terms["smoothness"] = smoothness(self.opacity_logits, self.quaternions)
        harmonics = (self.harmonics_dc, self.harmonics_rest)
        dealt = self.rows if isinstance(self.rows, Dealt) else None
        return Splats(self.means, self.quaternions, scales, opacities, *harmonics, degree, terms, dealt)

    def parameter_groups(self) -> list[ParameterGroup]:
        """One group for each parameter, for each learns at a rate of its own."""
        rates = self.config.rates
        last = dict.fromkeys(self.learnable, rates.others_end) | {"means": rates.means_end}
        first = {
            "means": rates.means * self.scene_scale,
            "log_scales": rates.log_scales,
            "quaternions": rates.quaternions,
            "opacity_logits": rates.opacity_logits,
            "harmonics_dc": rates.harmonics_dc,
            "harmonics_rest": rates.harmonics_rest,
        }
        return [
            ParameterGroup(
                name,
                {name: p},
                exponential(first[name], first[name] * last[name]),
                sparse=self.config.selective,
                rows=True,
            )
            for name, p in self.learnable.items()
        ]

    @property
    def learnable(self) -> Mapping[str, nn.Parameter]:
        """All parameters by name; the first dimension of each counts Gaussians."""
        return dict(self.named_parameters())


def _turned_to(normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 4"]:
    """Quaternions, wxyz, of rotations that take the z axis to these unit vectors."""
    upright = torch.where(normals[:, 2:] < 0, -normals, normals)  # a disc has no front: half a turn at most
    x, y, z = upright.unbind(-1)
    return torch.nn.functional.normalize(torch.stack([1 + z, -y, x, torch.zeros_like(x)], -1), dim=-1)


def _resize(module: GaussianModel, state: Mapping[str, Any], prefix: str, *_: object) -> None:
    """Make room for another count before torch copies; names and the other sizes are torch's business."""
    found = {name: state[prefix + name] for name in module.learnable if prefix + name in state}
    counts = {name: tensor.shape[0] for name, tensor in found.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"Gaussians: wanted one count for every parameter, found {counts}")
    for name, tensor in found.items():
        parameter = module.learnable[name]
        parameter.data = parameter.new_zeros(tensor.shape[0], *parameter.shape[1:])
        parameter.grad = None
