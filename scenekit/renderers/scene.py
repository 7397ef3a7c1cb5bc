"""A scene as its users hold it: a renderer with its background, its frame and its cameras, in ``world``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.precision import quick_products
from scenekit.core.protocols import EVAL, Background, Renderer, Rendering, over_background
from scenekit.core.transforms import Similarity


@dataclass
class Scene:
    """What training leaves, and what a run folder holds.

    Attributes:
        renderer: speaks ``scene``.
        background: composited by :meth:`render`.
        scene_from_world: the frame training chose.
        cameras: of the photographs, float64 in ``world``.
        bounds: where the scene is, in ``scene``.
        recipe: everything needed to build the renderer again, as plain values.
    """

    renderer: Renderer
    background: Background
    scene_from_world: Similarity
    cameras: Cameras
    bounds: Bounds
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def render(self, cameras: Cameras, pixels: Pixels | None = None) -> Rendering:
        """Photograph the scene from ``cameras`` in ``world``, background included, without gradients.

        Returns, on the scene's device, colours in [0, 1] of shape [C H W 3] (or [R 3] for ``pixels``), opacity, and
        depth along z in world units where the renderer has it; normals are turned into ``world``. All sizes must
        agree when whole images are asked for.
        """
        inside = self.cameras_in_scene(cameras)
        pixels = None if pixels is None else pixels.to(self.device)
        with torch.no_grad(), quick_products(self.device):
            rendering = self.renderer.render(inside, pixels, context=EVAL)
            rendering = over_background(rendering, self.background.colors(inside, pixels, EVAL))
        turn = self.scene_from_world.rotation.to(rendering.color)
        return replace(
            rendering,
            color=rendering.color.clamp(0, 1),
            depth=None if rendering.depth is None else rendering.depth / self.scene_from_world.scale,
            normals=None if rendering.normals is None else rendering.normals @ turn,
        )

    def cameras_in_scene(self, cameras: Cameras) -> Cameras:
        """World cameras as the renderer takes them: float32, in ``scene``, on its device."""
        return cameras.moved(self.scene_from_world).to(self.device, torch.float32)

    @property
    def device(self) -> torch.device:
        """Where it is rendered."""
        return home_of(self.renderer)

    def to(self, device: torch.device | str) -> Scene:
        """Move renderer and background, as ``torch.nn.Module.to`` does; the same scene is returned.

        Cameras stay in main memory: those of ``world`` are float64, and moved when they are looked from.
        """
        for part in (self.renderer, self.background):
            if isinstance(part, torch.nn.Module):
                part.to(device)
        return self


def home_of(renderer: Renderer) -> torch.device:
    """Where a renderer is."""
    return next((tensor.device for tensor in renderer.state_dict().values()), torch.device("cpu"))
