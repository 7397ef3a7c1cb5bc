"""Splat formats by name; each is one file with a ``CODEC``. ``files`` reads and writes by path."""

from scenekit.assets.splats import ply
from scenekit.assets.splats.codec import Codec

# The first whose bytes fit reads a file.
CODECS: dict[str, Codec] = {
    "ply": ply.CODEC,
}

__all__ = ["CODECS", "Codec"]
