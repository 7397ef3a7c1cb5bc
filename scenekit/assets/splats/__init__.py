"""Splat formats by name; each is one file with a ``CODEC``. ``files`` reads and writes by path."""

from scenekit.assets.splats import checkpoint, compressed_ply, glb, ksplat, ply, sog, sorted_grid, splat, spz
from scenekit.assets.splats.codec import Codec

# The first whose bytes fit reads a file.
CODECS: dict[str, Codec] = {
    "ply": ply.CODEC,
    "compressed_ply": compressed_ply.CODEC,
    "spz": spz.CODEC,
    "sogc": sorted_grid.CODEC,
    "sog": sog.CODEC,
    "glb": glb.CODEC,
    "splat": splat.CODEC,
    "ksplat": ksplat.CODEC,
    "checkpoint": checkpoint.CODEC,
}

__all__ = ["CODECS", "Codec"]
