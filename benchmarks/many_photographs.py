"""More photographs than memory: generate them, train on them within a cache, and report what it took.

    python -m benchmarks.many_photographs [--images 2000] [--cache 2] [--steps 300] [--folder FOLDER]

The photographs (1632x1224, JPEG) show the inside of a patterned box from random places. They are made once in the
folder given, at an eighth of the size and enlarged: what is measured is memory, not quality. What follows other flags
goes to ``scenekit train``. Figures go to ``benchmarks/results/many_photographs.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.record import call, keep

SIZE = (1632, 1224)
SMALL = 8
FOCAL = 1200.0


def main() -> None:
    parser = argparse.ArgumentParser(description="More photographs than memory.")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "scenekit-many-photographs")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--cache", type=float, default=2.0, help="GiB of decoded photographs")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--representation", default="hash_grid")
    options, more = parser.parse_known_args()
    generate(options.folder, options.images)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        arguments = [str(options.folder), "-r", options.representation, "--cache", str(options.cache)]
        figures = call("train", *arguments, "--steps", str(options.steps), "-o", str(run), "--json", *more)
        log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    report = {
        "images": options.images,
        "size": SIZE,
        "decoded_gib": round(options.images * SIZE[0] * SIZE[1] * 3 / 2**30, 2),
        "cache_gib": options.cache,
        "predicted_gib": round(figures["predicted_memory_bytes"] / 2**30, 2),
        "peak_gib": round(figures["peak_memory_bytes"] / 2**30, 2),
        "representation": options.representation,
        "steps": figures["steps"],
        "seconds": figures["seconds"],
        "cpu_seconds": figures["cpu_seconds"],
        "batch_psnr_first": log[0]["psnr"],
        "batch_psnr_last": log[-1]["psnr"],
        "scope": f"{options.images} generated photographs at {SIZE[0]}x{SIZE[1]}, full size, cpu",
    }
    keep("many_photographs", options.representation, report)


def generate(folder: Path, count: int) -> None:
    """Write what is missing of the photographs, then their poses."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    frames = []
    for index in range(count):
        pose = random_pose(index)
        name = f"images/{index:05d}.jpg"
        if not (folder / name).is_file():
            small = Image.fromarray(rendered(pose))
            small.resize(SIZE, Image.Resampling.BICUBIC).save(folder / name, quality=85)
        opengl = np.concatenate([pose[:, :3] * (1, -1, -1), pose[:, 3:]], 1)
        frames.append({"file_path": name, "transform_matrix": [*opengl.tolist(), [0, 0, 0, 1]]})
    intrinsics = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": SIZE[0] / 2, "cy": SIZE[1] / 2, "w": SIZE[0], "h": SIZE[1]}
    (folder / "transforms.json").write_text(json.dumps({**intrinsics, "frames": frames}))


def random_pose(index: int) -> NDArray[np.float64]:
    """world_from_camera [3 4], OpenCV axes: anywhere in the middle of the box, level, looking anywhere."""
    generator = np.random.default_rng(index)
    angle = generator.uniform(0, 2 * math.pi)
    forward = np.array([math.cos(angle), math.sin(angle), generator.uniform(-0.4, 0.4)])
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward, generator.uniform(-0.4, 0.4, 3)], 1)


def rendered(pose: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The walls of [-1, 1]^3, patterned by sines of the position, an eighth as large."""
    width, height = SIZE[0] // SMALL, SIZE[1] // SMALL
    u, v = np.meshgrid((np.arange(width) + 0.5) * SMALL, (np.arange(height) + 0.5) * SMALL)
    rays = np.stack([(u - SIZE[0] / 2) / FOCAL, (v - SIZE[1] / 2) / FOCAL, np.ones_like(u)], -1) @ pose[:, :3].T
    reach = ((np.sign(rays) - pose[:, 3]) / rays).min(-1, keepdims=True)
    hits = pose[:, 3] + reach * rays
    pattern = np.sin(hits @ np.array([[9, 2, 5], [4, 11, 3], [1, 6, 13.0]]) + (0, 2, 4))
    return (127.5 + 120 * pattern).astype(np.uint8)


if __name__ == "__main__":
    main()
