"""The families that training knows how to fit, by the renderer that a representation names."""

from scenekit.recipes import splats, volume
from scenekit.recipes.family import AnyFamily

FAMILIES: dict[str, AnyFamily] = {"volume": volume.FAMILY, "splats": splats.FAMILY}
