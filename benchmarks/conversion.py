"""The matrix of conversions: rows are teachers, columns students; every cell says what distillation lost and won.

    python benchmarks/conversion.py CAPTURE [--downscale D] [--preset P] [--seconds 20 | --steps N]
        [--teacher-seconds 30 | --teacher-steps N] [--representations a,b] [--cells N] [-o RESULTS]

A teacher of each kind is trained (``--teacher-...``), and each kind is trained from scratch for as long as a cell may
take (``--seconds``, or ``--steps``); then every ordered pair is converted without photographs for the same time. A
cell's figures are the PSNR on held-out photographs that was lost, its seconds, and its PSNR above training the student
from scratch for the same time. What stands in RESULTS is not done again, so that several calls fill one matrix;
``--cells`` bounds a call. Teachers are kept beside it, in half precision, in files of at most 16 MiB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from scenekit.representations import REPRESENTATIONS

PIECE = 16 * 2**20 - 2**16  # bytes of tensors in a file; its header needs the rest
SCENE = "scene.safetensors"


def main(arguments: list[str]) -> None:
    options = parsed(arguments)
    results = Path(options.output)
    done: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {"cells": {}, "alone": {}}
    names = options.representations.split(",")
    left = options.cells
    for source, target in itertools.permutations(names, 2):
        key = f"{source} -> {target}"
        if key in done["cells"] or left == 0:
            continue
        teacher = kept_teacher(options, source, done)
        if target not in done["alone"]:
            done["alone"][target] = trained(options, target, limit(options.seconds, options.steps))
        done["cells"][key] = cell(options, teacher, target, done["alone"][target]["psnr"])
        done["scope"] = vars(options) | {"device": "cpu", "torch": torch.__version__}
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps(done, indent=2) + "\n")
        left -= 1
    print(table(names, done["cells"]))


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture")
    parser.add_argument("--downscale", type=float, default=1.0)
    parser.add_argument("--preset")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--teacher-seconds", type=float, default=30.0)
    parser.add_argument("--teacher-steps", type=int)
    parser.add_argument("--representations", default=",".join(REPRESENTATIONS))
    parser.add_argument("--cells", type=int, default=-1)
    parser.add_argument("-o", "--output", default="benchmarks/results/conversion.json")
    return parser.parse_args(arguments)


def limit(seconds: float, steps: int | None) -> list[str]:
    return ["--minutes", str(seconds / 60)] if steps is None else ["--steps", str(steps)]


def preset(options: argparse.Namespace) -> list[str]:
    return [] if options.preset is None else ["--preset", options.preset]


def kept_teacher(options: argparse.Namespace, name: str, done: dict[str, Any]) -> Path:
    """A run folder whose weights went through half precision, so that every call sees the same teacher."""
    folder = Path(options.output).with_suffix("") / name
    if not (folder / "recipe.toml").exists():
        trained(options, name, limit(options.teacher_seconds, options.teacher_steps), folder)
        split(folder)
    joined(folder)
    return folder


def trained(options: argparse.Namespace, name: str, limits: list[str], folder: Path | None = None) -> dict[str, Any]:
    """Train from scratch and judge."""
    run = folder or Path(options.output).with_suffix("") / f".{name}-{time.time_ns()}"
    arguments = ["train", options.capture, "-r", name, "--downscale", str(options.downscale), "-o", str(run), "--json"]
    figures = call(*arguments, *preset(options), *limits)
    judged = call("evaluate", str(run), "--json")
    if folder is None:
        remove(run)
    return {"psnr": judged["psnr"], "ssim": judged["ssim"], "seconds": figures["seconds"], "steps": figures["steps"]}


def cell(options: argparse.Namespace, teacher: Path, target: str, alone: float) -> dict[str, Any]:
    """Convert without photographs and judge teacher and student alike."""
    run = teacher.with_name(f".{teacher.name}-to-{target}-{time.time_ns()}")
    limits = limit(options.seconds, options.steps)
    arguments = ["convert", str(teacher), "--to", target, "-o", str(run), "--no-photographs", "--json"]
    figures = call(*arguments, *preset(options), *limits)
    before, after = call("evaluate", str(teacher), "--json"), call("evaluate", str(run), "--json")
    remove(run)
    return {
        "teacher": before["psnr"],
        "student": after["psnr"],
        "lost": before["psnr"] - after["psnr"],
        "above_scratch": after["psnr"] - alone,
        "seconds": sum(figures["stages"].values()),
        "steps": figures["training"]["steps"],
    }


def split(folder: Path) -> None:
    """Cut the weights into half-precision pieces; cameras keep their digits."""
    pieces: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in load_file(folder / SCENE).items():
        halved = tensor.half() if tensor.dtype == torch.float32 else tensor
        flat, item = halved.reshape(-1), max(1, halved.element_size())
        for part, begin in enumerate(range(0, max(1, flat.numel()), PIECE // item)):
            chunk = flat[begin : begin + PIECE // item].clone()
            if size + chunk.numel() * item > PIECE:
                pieces.append({})
                size = 0
            shape = "x".join(map(str, halved.shape))
            pieces[-1][f"{name}|{part}|{shape}|{tensor.dtype == torch.float32}"] = chunk
            size += chunk.numel() * item
    for index, piece in enumerate(pieces):
        save_file(piece, folder / f"half-{index:03d}.safetensors")
    (folder / SCENE).unlink()


def joined(folder: Path) -> None:
    """The scene file again, from its pieces."""
    if (folder / SCENE).exists():
        return
    parts: dict[str, list[tuple[int, str, str, torch.Tensor]]] = {}
    for file in sorted(folder.glob("half-*.safetensors")):
        for key, tensor in load_file(file).items():
            name, part, shape, single = key.split("|")
            parts.setdefault(name, []).append((int(part), shape, single, tensor))
    whole = {}
    for name, found in parts.items():
        found.sort(key=lambda item: item[0])
        shape = [int(size) for size in found[0][1].split("x") if size]
        tensor = torch.cat([item[3] for item in found]).reshape(shape)
        whole[name] = tensor.float() if found[0][2] == "True" else tensor
    save_file(whole, folder / SCENE)


def table(names: list[str], cells: dict[str, Any]) -> str:
    """dB lost / seconds / dB above training from scratch."""
    width = max(map(len, names)) + 2
    lines = ["teacher \\ student; dB lost / seconds / dB above from scratch for the same time"]
    lines.append(" " * width + "".join(f"{name:>22}" for name in names))
    for source in names:
        row = [cells.get(f"{source} -> {target}") for target in names]
        text = [f"{c['lost']:+.2f} / {c['seconds']:.0f} / {c['above_scratch']:+.2f}" if c else "-" for c in row]
        lines.append(f"{source:{width}}" + "".join(f"{value:>22}" for value in text))
    return "\n".join(lines)


def call(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "scenekit", *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
