"""Any field as one that a web page can draw."""

from scenekit.distill.bake.coarse import coarser
from scenekit.distill.bake.fit import Baking, bake
from scenekit.distill.bake.renderer import BakedRenderer

__all__ = ["BakedRenderer", "Baking", "bake", "coarser"]
