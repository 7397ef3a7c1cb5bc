"""A scene as its users hold it: a renderer with its background, its frame and its cameras, in ``world``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, Pixels
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

        Returns colours in [0, 1] of shape [C H W 3] (or [R 3] for ``pixels``), opacity, and depth along z in
        world units where the renderer has it; normals are turned into ``world``. All sizes must agree when
        whole images are asked for.
        """
        inside = self.cameras_in_scene(cameras)
        with torch.no_grad():
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
        """World cameras as the renderer takes them: float32, in ``scene``."""
        return cameras.moved(self.scene_from_world).to(dtype=torch.float32)
