"""From photographs or a video to camera poses, in steps that each keep what they did in a folder."""
