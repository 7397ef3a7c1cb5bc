"""How a scene is seen. Every representation and every kind of signal names its renderer by a key of ``RENDERERS``."""

from scenekit.renderers.flat import FlatRenderer, PanoramaRenderer
from scenekit.renderers.sphere_tracing import SphereTracer
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import VolumeRenderer

RENDERERS = {
    "volume": VolumeRenderer,
    "splats": SplatRenderer,
    "flat": FlatRenderer,
    "panorama": PanoramaRenderer,
    "sphere_tracing": SphereTracer,
}

__all__ = ["RENDERERS", "FlatRenderer", "PanoramaRenderer", "SphereTracer", "SplatRenderer", "VolumeRenderer"]
