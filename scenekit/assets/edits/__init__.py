"""Changes to Gaussians between reading and writing: chained, in the order in which they are given."""

from scenekit.assets.edits.apply import edited, stream_edits, streams
from scenekit.assets.edits.verbs import VERBS, read_edits

__all__ = ["VERBS", "edited", "read_edits", "stream_edits", "streams"]
