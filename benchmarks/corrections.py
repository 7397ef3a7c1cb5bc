"""What learning poses and exposures wins back on photographs where they are wrong.

    SCENEKIT_DATA=/folder/of/captures python -m benchmarks.corrections [poses|exposure ...] [--downscale 4]
        [--representations gaussians,hash_grid] [--gaussians-steps 1500] [--hash-grid-steps 1200]

``poses``: fox, every training pose turned by 1 degree about a random axis and shifted by 1 % of the mean distance of
the cameras from their middle, in a random direction. ``exposure``: room, every photograph (held-out ones too) given
-1 to +1 stop in linear light. Each is trained three times with the same steps and seed: on clean data, on spoilt data,
and on spoilt data with the correction. All three are scored alike, as ``evaluate --fit-poses`` or ``--fit-exposure``
say; ``recovered`` is the share of the lost decibels that the correction wins back. Figures go to
``benchmarks/results/corrections.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.record import call, data, keep
from scenekit.core.transforms import matrix_from_quaternion
from scenekit.data import open_capture
from scenekit.training.corrections.appearance import exposed

DEGREES, SHARE = 1.0, 0.01
EXPERIMENTS = {
    "poses": ("fox", "fox-cpu", ["--refine-poses"], "--fit-poses"),
    "exposure": ("room", "forward-facing", ["--appearance", "exposure"], "--fit-exposure"),
}


def perturbed_fox(source: Path, target: Path) -> None:
    """The same photographs with other training poses."""
    capture = open_capture(source, downscale=8)
    learnt = {capture.names[i] for i in capture.train}
    values = json.loads((source / "transforms.json").read_text())
    centres = torch.tensor([frame["transform_matrix"] for frame in values["frames"]])[:, :3, 3]
    length = SHARE * float((centres - centres.mean(0)).norm(dim=-1).mean())
    generator = torch.Generator().manual_seed(0)
    for frame in values["frames"]:
        axis, shift = torch.nn.functional.normalize(torch.randn(2, 3, generator=generator), dim=-1)
        if frame["file_path"] in learnt:
            half = math.radians(DEGREES) / 2
            turn = matrix_from_quaternion(torch.cat([torch.tensor([math.cos(half)]), math.sin(half) * axis]))
            pose = torch.tensor(frame["transform_matrix"])
            pose[:3, :3] = pose[:3, :3] @ turn
            pose[:3, 3] += length * shift
            frame["transform_matrix"] = pose.tolist()
    target.mkdir()
    (target / "images").symlink_to((source / "images").resolve())
    (target / "transforms.json").write_text(json.dumps(values))


def exposed_room(source: Path, target: Path) -> None:
    """The same poses with other exposures."""
    (target / "images").mkdir(parents=True)
    (target / "poses_bounds.npy").write_bytes((source / "poses_bounds.npy").read_bytes())
    generator = torch.Generator().manual_seed(0)
    for file in sorted((source / "images").iterdir()):
        stops = 2 * torch.rand(1, generator=generator).expand(3) - 1
        pixels = torch.from_numpy(np.array(Image.open(file).convert("RGB")))
        colors = exposed(pixels.float() / 255, stops).clamp(0, 1)
        Image.fromarray((colors * 255).round().byte().numpy()).save(target / "images" / f"{file.stem}.png")


SPOILT = {"poses": perturbed_fox, "exposure": exposed_room}


def measure(name: str, representation: str, steps: int, downscale: float) -> dict[str, Any]:
    """Clean, spoilt and corrected, trained and scored alike."""
    capture, preset, correction, scoring = EXPERIMENTS[name]
    clean = data() / capture
    with tempfile.TemporaryDirectory() as folder:
        spoilt = Path(folder) / capture
        SPOILT[name](clean, spoilt)
        # Perturbed poses are judged against the true ones; exposures against photographs that vary as well.
        truth = clean if name == "poses" else spoilt
        # The presets' minutes would end a training early on a busy machine: steps alone make the three comparable.
        options = ["-r", representation, "--preset", preset, "--steps", str(steps), "--minutes", "600"]
        options += ["--downscale", str(downscale)]
        cases: Mapping[str, tuple[Path, list[str], Path]] = {
            "clean": (clean, [], clean),
            "spoilt": (spoilt, [], truth),
            "corrected": (spoilt, correction, truth),
        }
        result: dict[str, Any] = {"steps": steps}
        for case, (photographs, extra, judge) in cases.items():
            run = str(Path(folder) / case)
            trained = call("train", str(photographs), *options, *extra, "-o", run, "--json")
            judged = call("evaluate", run, "--capture", str(judge), scoring, "--json")
            result |= {
                f"{case}_psnr": round(judged["psnr"], 2),
                f"{case}_psnr_uncorrected": round(judged["uncorrected"]["psnr"], 2),
                f"{case}_cpu_seconds": trained["cpu_seconds"],
            }
            result["scope"] = judged["scope"]
    lost = result["clean_psnr"] - result["spoilt_psnr"]
    won = result["corrected_psnr"] - result["spoilt_psnr"]
    return result | {"lost_db": round(lost, 2), "recovered": round(won / lost, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description="What learning poses and exposures wins back.")
    parser.add_argument("experiments", nargs="*", choices=[[], *EXPERIMENTS], default=[])
    parser.add_argument("--representations", default="gaussians,hash_grid")
    parser.add_argument("--downscale", type=float, default=4)
    parser.add_argument("--gaussians-steps", type=int, default=1500)
    parser.add_argument("--hash-grid-steps", type=int, default=1200)
    options = parser.parse_args()
    counts = {"gaussians": options.gaussians_steps, "hash_grid": options.hash_grid_steps}
    for name in options.experiments or EXPERIMENTS:
        for representation in options.representations.split(","):
            found = measure(name, representation, counts[representation], options.downscale)
            keep("corrections", f"{name}-{representation}", found)


if __name__ == "__main__":
    main()
