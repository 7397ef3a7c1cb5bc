"""How a scene is seen. Every representation names its renderer by a key of ``RENDERERS``."""

from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import VolumeRenderer

RENDERERS = {"volume": VolumeRenderer, "splats": SplatRenderer}

__all__ = ["RENDERERS", "SplatRenderer", "VolumeRenderer"]
