"""Surfaces of any scene: extraction, cleaning, texture, comparison and files; all in ``world``."""

from scenekit.assets.meshes.extract import METHODS, Meshing, mesh
from scenekit.assets.meshes.surface import Mesh

__all__ = ["METHODS", "Mesh", "Meshing", "mesh"]
