"""3D Gaussians at rest: what files hold and editing changes, raw as they are trained, without a model around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenekit.core.transforms import Similarity, multiply_quaternions, quaternion_from_matrix
from scenekit.kernels.harmonic_rotation import rotate_harmonics
from scenekit.representations.gaussians import GaussianModel, Gaussians

MAX_DEGREE = 4


def floats_of(count: int, degree: int) -> int:
    """How many numbers so many Gaussians hold: centre, scales, quaternion, opacity and harmonics."""
    return count * (3 + 3 + 4 + 1 + 3 * (degree + 1) ** 2)


@dataclass(frozen=True)
class GaussianCloud:
    """N Gaussians as 3D Gaussian Splatting stores them, float32 on a CPU; nothing is activated.

    Files and edits hold them in ``world``, whose axes are those of inria's .ply files (COLMAP's world; upright
    scenes have y down). Every codec turns its own axes into these.

    Attributes:
        means: centres.
        log_scales: natural logarithms of the standard deviations along the axes.
        quaternions: wxyz, any length but zero.
        opacity_logits: logit of the opacity.
        harmonics: colour coefficients, the constant one first, in the order and with the signs of
            ``kernels.spherical_harmonics``; K is (degree + 1)^2 for a degree from 0 to 4. The colour seen is
            ``max(0, 1/2 + sum_k c_k Y_k)``.
        antialiased: trained with opacities that make up for the screen-space blur (Mip-Splatting's 2D filter).
    """

    means: Float[Tensor, "N 3"]
    log_scales: Float[Tensor, "N 3"]
    quaternions: Float[Tensor, "N 4"]
    opacity_logits: Float[Tensor, " N"]
    harmonics: Float[Tensor, "N K 3"]
    antialiased: bool = False

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, rows: slice | Int[Tensor, " M"] | Bool[Tensor, " N"]) -> GaussianCloud:
        """Some of them, in the order asked for."""
        return replace(
            self,
            means=self.means[rows],
            log_scales=self.log_scales[rows],
            quaternions=self.quaternions[rows],
            opacity_logits=self.opacity_logits[rows],
            harmonics=self.harmonics[rows],
        )

    def floats(self) -> int:
        """How many numbers it holds."""
        return floats_of(len(self), self.degree)

    @property
    def degree(self) -> int:
        """Of the spherical harmonics."""
        return math.isqrt(self.harmonics.shape[1]) - 1

    def of_degree(self, degree: int) -> GaussianCloud:
        """With the harmonics cut to ``degree``, or filled up with zeros."""
        wanted, there = (degree + 1) ** 2, self.harmonics.shape[1]
        if wanted <= there:
            return replace(self, harmonics=self.harmonics[:, :wanted])
        more = self.harmonics.new_zeros(len(self), wanted - there, 3)
        return replace(self, harmonics=torch.cat([self.harmonics, more], 1))

    def moved(self, b_from_a: Similarity) -> GaussianCloud:
        """After a change of frame: positions, sizes, rotations and colours move together.

        Values that the change leaves alone keep their bits: the identity changes nothing, a shift the means only.
        """
        turn, identity = b_from_a.rotation, Similarity.identity()
        turned = not torch.equal(turn, identity.rotation)
        shifted = turned or b_from_a.scale != 1 or not torch.equal(b_from_a.translation, identity.translation)
        quaternion = quaternion_from_matrix(turn).float().expand(len(self), 4)
        return replace(
            self,
            means=b_from_a.points(self.means) if shifted else self.means,
            log_scales=self.log_scales + math.log(b_from_a.scale) if b_from_a.scale != 1 else self.log_scales,
            quaternions=multiply_quaternions(quaternion, self.quaternions) if turned else self.quaternions,
            harmonics=rotate_harmonics(self.harmonics, turn) if turned else self.harmonics,
        )


def empty_cloud(count: int, degree: int, *, antialiased: bool = False) -> GaussianCloud:
    """Room for ``count`` Gaussians, not filled in."""
    return GaussianCloud(
        torch.empty(count, 3),
        torch.empty(count, 3),
        torch.empty(count, 4),
        torch.empty(count),
        torch.empty(count, (degree + 1) ** 2, 3),
        antialiased,
    )


def joined(clouds: Sequence[GaussianCloud]) -> GaussianCloud:
    """All of ``clouds`` (at least one) in one, at the highest of their degrees.

    Raises ValueError where antialiased ones meet others: their opacities do not mean the same.
    """
    if len({cloud.antialiased for cloud in clouds}) > 1:
        raise ValueError("clouds: wanted all antialiased or none, found both")
    degree = max(cloud.degree for cloud in clouds)
    alike = [cloud.of_degree(degree) for cloud in clouds]
    return GaussianCloud(
        torch.cat([cloud.means for cloud in alike]),
        torch.cat([cloud.log_scales for cloud in alike]),
        torch.cat([cloud.quaternions for cloud in alike]),
        torch.cat([cloud.opacity_logits for cloud in alike]),
        torch.cat([cloud.harmonics for cloud in alike]),
        clouds[0].antialiased,
    )


def cloud_of(model: GaussianModel) -> GaussianCloud:
    """The Gaussians of a model, in the frame it is in; shares its memory where it can."""
    return GaussianCloud(
        model.means.detach().cpu(),
        model.log_scales.detach().cpu(),
        model.quaternions.detach().cpu(),
        model.opacity_logits.detach().cpu(),
        torch.cat([model.harmonics_dc, model.harmonics_rest], 1).detach().cpu(),
        model.config.antialiased,
    )


def model_of(cloud: GaussianCloud, config: Gaussians | None = None, scale: float = 1.0) -> GaussianModel:
    """A model that holds ``cloud``; ``config`` gives what is not in it, ``scale`` the unit in which means learn."""
    given = config or Gaussians(max_count=max(len(cloud), Gaussians.max_count))
    config = replace(given, harmonics_degree=cloud.degree, antialiased=cloud.antialiased)
    model = GaussianModel(config, 0, scale)
    model.load_state_dict(
        {
            "means": cloud.means,
            "log_scales": cloud.log_scales,
            "quaternions": cloud.quaternions,
            "opacity_logits": cloud.opacity_logits,
            "harmonics_dc": cloud.harmonics[:, :1],
            "harmonics_rest": cloud.harmonics[:, 1:],
        }
    )
    return model
