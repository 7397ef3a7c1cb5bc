"""Meshes as GLB, PLY and OBJ, through trimesh."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scenekit.assets.atomic import replacing
from scenekit.assets.meshes.cleaning import is_closed, welded
from scenekit.assets.meshes.surface import Mesh, library
from scenekit.core.checks import BadInput
from scenekit.core.signals import put_off
from scenekit.core.tone import linear_from_srgb, srgb_from_linear
from scenekit.data.ply import read_header

SUFFIXES = (".glb", ".ply", ".obj")
DIGEST = 12  # letters of the name of a texture
GLB_HEAD = struct.Struct("<4s4I")  # magic, version, size; size and kind of the first chunk, JSON


def check_mesh_target(target: Path, *, texture: bool) -> None:
    """Raises BadInput where a mesh cannot be written to ``target``, before anything is computed."""
    if target.suffix.lower() not in SUFFIXES:
        raise BadInput.of(target, wanted=f"a file ending in {', '.join(SUFFIXES)}", found=f"'{target.suffix}'",
                          remedy="choose one")  # fmt: skip
    if texture and target.suffix.lower() == ".ply":
        raise BadInput.of(target, wanted="a file that holds a texture", found=".ply",
                          remedy="write .glb or .obj, or leave --texture out for colours at the vertices")  # fmt: skip


def write_mesh(target: Path, mesh: Mesh) -> None:
    """Write the mesh, its colours or its texture; an OBJ gets its material and picture beside it.

    These are named after what is in the picture and written first, so that an OBJ never shows another's: neither one
    beside it in the folder, nor the one that it replaces.
    """
    check_mesh_target(target, texture=mesh.texture is not None)
    suffix = target.suffix.lower()
    name = _material_name(target, mesh)
    beside: dict[str, bytes] = {}
    with put_off():
        made = _to_trimesh(mesh, name, linear=suffix == ".glb")
        if suffix == ".obj":
            data, beside = library("trimesh.exchange.obj").export_obj(
                made, return_texture=True, mtl_name=f"{name}.mtl", include_normals=False
            )
        else:
            data = made.export(file_type=suffix[1:])
    for file, content in {**beside, target.name: data}.items():
        with replacing(target.with_name(file)) as temporary:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    if suffix == ".obj":
        earlier = re.compile(re.escape(name[:-DIGEST]) + rf"[0-9a-f]{{{DIGEST}}}\.(mtl|png)")
        for file in target.parent.iterdir():
            if earlier.fullmatch(file.name) and file.name not in beside:
                file.unlink()


def _material_name(target: Path, mesh: Mesh) -> str:
    """Of letters that every program takes in an OBJ, the texture's digest last."""
    pixels = b"" if mesh.texture is None else mesh.texture.numpy().tobytes()
    return f"{re.sub(r'[^0-9A-Za-z_.-]', '_', target.stem)}-{hashlib.sha256(pixels).hexdigest()[:DIGEST]}"


def is_mesh(source: Path) -> bool:
    """Whether a file has the name of a mesh's and, where Gaussians or points have such names too, triangles in it."""
    suffix = source.suffix.lower()
    with source.open("rb") as stream:
        if suffix == ".ply":
            try:
                header = read_header(stream)
            except ValueError:
                return False
            return any(element.name == "face" and element.count for element in header.elements)
        head = stream.read(GLB_HEAD.size)
        if suffix == ".glb" and len(head) == GLB_HEAD.size:
            *_, length, _ = GLB_HEAD.unpack(head)
            return b"KHR_gaussian_splatting" not in stream.read(min(length, source.stat().st_size))
    return suffix in SUFFIXES


def describe_mesh(source: Path) -> dict[str, Any]:
    """Plain facts about a file with a mesh; raises BadInput where there is none."""
    found = read_mesh(source)
    shown = "none"
    if found.texture is not None:
        shown = "a texture of {1}x{0}".format(*found.texture.shape)
    elif found.colors is not None:
        shown = "at vertices"
    return {
        "file": str(source),
        "format": f"mesh, {source.suffix[1:].upper()}",
        "vertices": len(found.vertices),
        "triangles": len(found),
        "watertight": is_closed(found if found.coordinates is None else welded(found)),
        "colours": shown,
        "lowest": found.vertices.amin(0).tolist(),
        "highest": found.vertices.amax(0).tolist(),
        "bytes": source.stat().st_size,
    }


def read_mesh(source: Path) -> Mesh:
    """Triangles of a file that trimesh reads, with colours where they stand at vertices or in a texture.

    Raises BadInput where there are none.
    """
    trimesh = library("trimesh")
    try:
        with put_off():
            found = trimesh.load(source, force="mesh", process=False)
        faces = torch.from_numpy(np.array(found.faces, dtype=np.int64))
        vertices = torch.from_numpy(np.array(found.vertices, dtype=np.float64))
    except Exception as error:  # trimesh has no errors of its own for damaged files
        found = " ".join(str(error).split()) or type(error).__name__
        raise BadInput.of(source, wanted="a mesh", found=found, remedy="give a GLB, PLY or OBJ file") from error
    if len(faces) == 0 or not bool(torch.isfinite(vertices).all()):
        raise BadInput.of(source, wanted="a mesh", found="no triangles", remedy="give a GLB, PLY or OBJ file")
    if not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        raise BadInput.of(source, wanted="triangles of its own vertices", found="others",
                          remedy="give a GLB, PLY or OBJ file")  # fmt: skip
    linear = source.suffix.lower() in (".glb", ".gltf")
    shown = Mesh(vertices, faces, *_appearance(found.visual, linear))
    if any(values is not None and not bool(values.isfinite().all()) for values in (shown.colors, shown.coordinates)):
        raise BadInput.of(source, wanted="colours and coordinates that are numbers", found="others",
                          remedy="write the file again")  # fmt: skip
    return shown


def _appearance(visual: Any, linear: bool) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    if visual.kind == "texture" and visual.uv is not None:
        material = visual.material
        image = material.baseColorTexture if "PBR" in type(material).__name__ else material.image
        if image is not None:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).float() / 255
            return None, torch.from_numpy(np.array(visual.uv, dtype=np.float64)), pixels
    if visual.kind == "vertex":
        colors = torch.from_numpy(np.array(visual.vertex_colors[:, :3])).float() / 255
        return (srgb_from_linear(colors) if linear else colors), None, None
    return None, None, None


def _to_trimesh(mesh: Mesh, name: str, *, linear: bool) -> Any:
    trimesh = library("trimesh")
    visual = None
    if mesh.texture is not None and mesh.coordinates is not None:
        image = Image.fromarray((mesh.texture * 255).round().to(torch.uint8).numpy())
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=image, metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True
        ) if linear else trimesh.visual.material.SimpleMaterial(image=image, name=name)  # fmt: skip
        visual = trimesh.visual.TextureVisuals(uv=mesh.coordinates.numpy(), material=material)
    elif mesh.colors is not None:
        # glTF keeps linear light at vertices; textures stay sRGB.
        colors = linear_from_srgb(mesh.colors) if linear else mesh.colors
        bytes_ = (colors * 255).round().to(torch.uint8).numpy()
        visual = trimesh.visual.ColorVisuals(vertex_colors=bytes_)
    return trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), visual=visual, process=False)
