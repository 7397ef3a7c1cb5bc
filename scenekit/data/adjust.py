"""Poses that are only about right, set right by the photographs: bundle adjustment of triangulated matches.

Matching along epipolar lines takes poses at their word. Where they are in doubt it is done twice: in a wide band about
the given lines, then in a narrow one about those of the poses that the first matches gave.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.transforms import Similarity, invert_rigid

if TYPE_CHECKING:
    import pycolmap

FEWEST_OBSERVATIONS = 30  # of points, of a photograph whose pose they may change
FEWEST_CAMERAS = 3
ROBUST_PIXELS = 1.0  # an error well beyond it pulls no harder than its logarithm
ITERATIONS = 40
TOLERANCE = 1e-6  # of the cost, from one iteration to the next


def adjust(model: pycolmap.Reconstruction, cameras: Cameras) -> Cameras:
    """Move the model's points and poses to where its observations agree best; returns the cameras there.

    Intrinsics stay. A camera that sees too little keeps the pose it has. The model's frame is free to drift:
    :func:`back` says how it has.
    """
    from scenekit.data.colmap_library import pycolmap

    images = [model.images[index + 1] for index in range(len(cameras))]
    known = torch.tensor([image.num_points3D >= FEWEST_OBSERVATIONS for image in images])
    if int(known.sum()) < FEWEST_CAMERAS:
        return cameras
    config = pycolmap.BundleAdjustmentConfig()
    for index in known.nonzero().squeeze(-1).tolist():
        config.add_image(index + 1)
        config.set_constant_cam_intrinsics(index + 1)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    solver: Any = getattr(options, "ceres", options)  # of its own since pycolmap 4.0
    solver.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    solver.loss_function_scale = ROBUST_PIXELS
    solver.solver_options.max_num_iterations = ITERATIONS
    solver.solver_options.function_tolerance = TOLERANCE
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    model.update_point_3d_errors()
    found = torch.from_numpy(np.stack([image.cam_from_world().matrix() for image in images]))
    poses = torch.where(known[:, None, None], invert_rigid(found), cameras.world_from_camera)
    return replace(cameras, world_from_camera=poses)


def back(given: Cameras, found: Cameras) -> Similarity:
    """What takes the frame of ``found`` to that of ``given``, by where the cameras stand and where they look."""
    return Similarity.between(_marks(found), _marks(given))


def turned(given: Cameras, found: Cameras) -> float:
    """The mean angle, in degrees, between what cameras were and what they are now."""
    turns = given.world_from_camera[..., :3].transpose(-1, -2) @ found.world_from_camera[..., :3]
    cosines = (turns.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return float(cosines.clamp(-1, 1).acos().rad2deg().mean())


def _marks(cameras: Cameras) -> Float[Tensor, "M 3"]:
    """Each camera's centre and, so that centres on a line leave no turn open, a point along each of its axes."""
    centres = cameras.centres
    reach = (centres - centres.mean(0)).norm(dim=-1).mean()
    axes = cameras.world_from_camera[..., :3].transpose(-1, -2)
    return torch.cat([centres, (centres[:, None] + reach * axes).flatten(0, 1)])
