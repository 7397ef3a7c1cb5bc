"""Scenes as web pages: the ``scenekit-web`` format (a manifest and chunks named after their content)."""

from scenekit.assets.web.export import export_web
from scenekit.assets.web.shapes import Shape

__all__ = ["Shape", "export_web"]
