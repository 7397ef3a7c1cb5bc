"""Teachers between calls: run folders in half precision, in files small enough to be handed on."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scenekit.assets.run import RECIPE, SCENE, write_recipe, write_scene
from scenekit.recipes import load
from scenekit.renderers.scene import Scene

PIECE = 16 * 2**20 - 2**16  # bytes of tensors in a file; its header needs the rest
LARGEST = torch.finfo(torch.half).max
FIGURES = "figures.json"
EXACT = ".means"  # where splats are: half precision has eleven bits for the whole scene


def keep(folder: Path, scene: Scene) -> None:
    """Write a scene; it is read back rounded."""
    if folder.exists():  # what a call that was ended left
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write_recipe(folder, scene.recipe)
    write_scene(folder, scene)
    split(folder)


def kept(folder: Path) -> Scene:
    """The scene of a folder, in main memory."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(folder / RECIPE, name)
        save_file(joined(folder), Path(name) / SCENE)
        return load(Path(name))


def note(folder: Path, figures: dict[str, Any]) -> None:
    """Say that the folder is whole, and what was measured of it."""
    (folder / FIGURES).write_text(json.dumps(figures))


def noted(folder: Path) -> dict[str, Any] | None:
    """What :func:`note` said, or None."""
    file = folder / FIGURES
    return json.loads(file.read_text()) if file.exists() else None


def split(folder: Path) -> None:
    """Cut the weights into half-precision pieces; cameras keep their digits."""
    pieces: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in load_file(folder / SCENE).items():
        rounded = tensor.dtype == torch.float32 and not name.endswith(EXACT)
        halved = tensor.clamp(-LARGEST, LARGEST).half() if rounded else tensor
        flat, item = halved.reshape(-1), max(1, halved.element_size())
        for part, begin in enumerate(range(0, max(1, flat.numel()), PIECE // item)):
            chunk = flat[begin : begin + PIECE // item].clone()
            if size + chunk.numel() * item > PIECE:
                pieces.append({})
                size = 0
            shape = "x".join(map(str, halved.shape))
            pieces[-1][f"{name}|{part}|{shape}|{rounded}"] = chunk
            size += chunk.numel() * item
    for index, piece in enumerate(pieces):
        save_file(piece, folder / f"half-{index:03d}.safetensors")
    (folder / SCENE).unlink()


def joined(folder: Path) -> dict[str, Tensor]:
    """The tensors again, from their pieces."""
    parts: dict[str, list[tuple[int, str, str, Tensor]]] = {}
    for file in sorted(folder.glob("half-*.safetensors")):
        for key, tensor in load_file(file).items():
            name, part, shape, rounded = key.split("|")
            parts.setdefault(name, []).append((int(part), shape, rounded, tensor))
    whole = {}
    for name, found in parts.items():
        found.sort(key=lambda item: item[0])
        shape = [int(size) for size in found[0][1].split("x") if size]
        tensor = torch.cat([item[3] for item in found]).reshape(shape)
        whole[name] = tensor.float() if found[0][2] == "True" else tensor
    return whole
