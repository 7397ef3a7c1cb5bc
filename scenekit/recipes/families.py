"""The families that training knows how to fit, by the renderer that a representation names."""

from scenekit.recipes import splats, volume
from scenekit.recipes.family import Family

FAMILIES: dict[str, Family] = {"volume": volume.FAMILY, "splats": splats.FAMILY}
