"""What makes photographs imperfect, one file each; every one serves fields and splats alike."""

from scenekit.training.corrections.appearance import BilateralGrids, Exposures
from scenekit.training.corrections.cameras import Intrinsics, Poses
from scenekit.training.corrections.geometry import DepthPrior, NormalPrior

__all__ = ["BilateralGrids", "DepthPrior", "Exposures", "Intrinsics", "NormalPrior", "Poses"]
