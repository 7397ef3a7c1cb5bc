"""glTF's Gaussians: a .glb with the extension KHR_gaussian_splatting. Axes: left, up, forward.

The extension is a release candidate. It has no word for antialiased Gaussians, wants unit quaternions, scales and
opacities as they are seen (not their logarithms and logits), and no harmonics beyond degree 3. Colours stand in
``COLOR_0`` once more, for viewers that see points alone.
"""

from __future__ import annotations

import json
import struct
from io import BufferedIOBase
from typing import Any

import numpy as np
import torch

from scenekit.assets.splats.codec import Codec, Damaged
from scenekit.assets.splats.containers import json_object, member, numbers, whole
from scenekit.assets.splats.packing import color_bytes, half_turned, opacity_bytes
from scenekit.core.transforms import Similarity, matrix_from_quaternion
from scenekit.representations.gaussian_cloud import GaussianCloud, joined

MAGIC, VERSION = b"glTF", 2
JSON, BINARY = b"JSON", b"BIN\0"
EXTENSION = "KHR_gaussian_splatting"
COLOR_SPACE = "srgb_rec709_display"
FLOAT, BYTES = 5126, 5121
# How glTF calls numbers, and what a whole one stands for at its greatest.
KINDS = {FLOAT: ("<f4", 1), 5120: ("<i1", 127), BYTES: ("<u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535)}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
VERTICES = 34962
LARGEST_LOGIT = 20.0
MOST_NODES = 1 << 16
ROTATION_ERROR = 1e-4
COEFFICIENTS = ("ROTATION", "SCALE", "OPACITY")


def decode(stream: BufferedIOBase) -> GaussianCloud:
    """Read all Gaussians of the file's scene, each where its node puts it."""
    stream.seek(0)
    document, binary = _chunks(stream.read())
    clouds = [
        _primitive(document, binary, primitive).moved(placed)
        for mesh, placed in _placed_meshes(document)
        for primitive in member(document, "meshes", mesh, "primitives")
        if isinstance(primitive, dict) and EXTENSION in primitive.get("extensions", {})
    ]
    if not clouds:
        raise Damaged(f"no mesh with {EXTENSION}")
    return half_turned(joined(clouds), "z")


def encode(cloud: GaussianCloud, stream: BufferedIOBase) -> None:
    """Write one mesh of points."""
    cloud = half_turned(cloud, "z")
    attributes = _attributes(cloud)
    views, accessors, start = [], [], 0
    for values in attributes.values():
        views.append({"buffer": 0, "byteOffset": start, "byteLength": values.nbytes, "target": VERTICES})
        width = 1 if values.ndim == 1 else values.shape[1]
        kind = FLOAT if values.dtype == np.float32 else BYTES
        accessor = {"bufferView": len(accessors), "componentType": kind, "count": len(cloud),
                    "type": next(name for name, count in WIDTHS.items() if count == width)}  # fmt: skip
        accessors.append(accessor | ({"normalized": True} if kind == BYTES else {}))
        start += values.nbytes
    accessors[0] |= {"min": cloud.means.amin(0).tolist(), "max": cloud.means.amax(0).tolist()}
    primitive = {
        "attributes": {name: index for index, name in enumerate(attributes)},
        "mode": 0,
        "extensions": {EXTENSION: {"kernel": "ellipse", "colorSpace": COLOR_SPACE}},
    }
    document = {
        "asset": {"version": "2.0", "generator": "scenekit"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": start}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    stream.write(struct.pack("<4sII", MAGIC, VERSION, 12 + 8 + len(text) + 8 + start))
    stream.write(struct.pack("<I4s", len(text), JSON) + text)
    stream.write(struct.pack("<I4s", start, BINARY))
    stream.writelines(np.ascontiguousarray(values).tobytes() for values in attributes.values())


def _attributes(cloud: GaussianCloud) -> dict[str, np.ndarray]:
    unit = torch.nn.functional.normalize(cloud.quaternions.double(), dim=-1).float()
    colors = np.concatenate([color_bytes(cloud.harmonics[:, 0]), opacity_bytes(cloud.opacity_logits)[:, None]], 1)
    attributes = {
        "POSITION": cloud.means.numpy(),
        "COLOR_0": colors,
        f"{EXTENSION}:ROTATION": unit[:, [1, 2, 3, 0]].numpy(),
        f"{EXTENSION}:SCALE": cloud.log_scales.double().exp().float().numpy(),
        f"{EXTENSION}:OPACITY": cloud.opacity_logits.double().sigmoid().float().numpy(),
    }
    for index in range(cloud.harmonics.shape[1]):
        attributes[_coefficient(index)] = cloud.harmonics[:, index].numpy()
    return attributes


def _coefficient(index: int) -> str:
    degree = int(index**0.5)
    return f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{index - degree * degree}"


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    if len(data) < 20 or data[:4] != MAGIC or struct.unpack_from("<I", data, 4)[0] != VERSION:
        raise Damaged("no glTF 2.0 in binary")
    length, kind = struct.unpack_from("<I4s", data, 12)
    if kind != JSON or 20 + length > len(data):
        raise Damaged("a first part that is no JSON")
    document, rest = json_object(data[20 : 20 + length], "JSON"), data[20 + length :]
    if len(rest) < 8:
        return document, b""
    size, kind = struct.unpack_from("<I4s", rest, 0)
    if kind != BINARY or size > len(rest) - 8:
        raise Damaged("a second part that is not binary, or ends early")
    return document, rest[8 : 8 + size]


def _placed_meshes(document: dict[str, Any]) -> list[tuple[int, Similarity]]:
    """Meshes of the scene with where their nodes put them."""
    roots = member(document, "scenes", document.get("scene", 0), "nodes") if "scenes" in document else []
    waiting = [(node, Similarity.identity()) for node in (roots if isinstance(roots, list) else [])]
    found: list[tuple[int, Similarity]] = []
    seen: set[int] = set()
    while waiting:
        index, above = waiting.pop()
        if not isinstance(index, int) or index in seen or len(seen) > MOST_NODES:
            raise Damaged(f"node {str(index)[:40]}, which is none or stands in two places")
        seen.add(index)
        node = member(document, "nodes", index)
        if not isinstance(node, dict):
            raise Damaged(f"node {index}")
        here = above.after(_placement(node)) if {"matrix", "translation", "rotation", "scale"} & set(node) else above
        if "mesh" in node:
            found.append((whole(node["mesh"], "mesh", MOST_NODES), here))
        children = node.get("children", [])
        waiting += [(child, here) for child in (children if isinstance(children, list) else [])]
    return found


def _placement(node: dict[str, Any]) -> Similarity:
    """A node's own transform; raises Damaged where it stretches or mirrors, which Gaussians cannot follow."""
    if "matrix" in node:
        matrix = torch.from_numpy(numbers(node["matrix"], 16, "matrix").reshape(4, 4).T.copy())
        linear, translation = matrix[:3, :3], matrix[:3, 3]
    else:
        x, y, z, w = numbers(node.get("rotation", [0, 0, 0, 1]), 4, "rotation")
        turn = matrix_from_quaternion(torch.tensor([w, x, y, z], dtype=torch.float64))
        linear = turn * torch.from_numpy(numbers(node.get("scale", [1, 1, 1]), 3, "scale"))
        translation = torch.from_numpy(numbers(node.get("translation", [0, 0, 0]), 3, "translation"))
    scale = float(linear.norm(dim=0).mean())
    turn = linear / scale if scale > 0 else linear
    error = (turn @ turn.T - torch.eye(3, dtype=torch.float64)).abs().max()
    if not (float(error) < ROTATION_ERROR and float(torch.linalg.det(turn)) > 0):
        raise Damaged("a node that stretches or mirrors")
    return Similarity(scale, turn, translation)


def _primitive(document: dict[str, Any], binary: bytes, primitive: dict[str, Any]) -> GaussianCloud:
    space = member(primitive, "extensions", EXTENSION).get("colorSpace", COLOR_SPACE)
    if space != COLOR_SPACE:
        raise Damaged(f"colours in {str(space)[:40]}")
    attributes = member(primitive, "attributes")

    def values(name: str, width: int) -> np.ndarray:
        return _accessor(document, binary, member(attributes, name), width, name)

    means = values("POSITION", 3)
    coefficients = [values(_coefficient(0), 3)]
    for degree in (1, 2, 3):
        if f"{EXTENSION}:SH_DEGREE_{degree}_COEF_0" not in attributes:
            break
        coefficients += [values(_coefficient(index), 3) for index in range(degree * degree, (degree + 1) ** 2)]
    rotation, scale, opacity = (
        values(f"{EXTENSION}:{name}", w) for name, w in zip(COEFFICIENTS, (4, 3, 1), strict=True)
    )
    if any(len(part) != len(means) for part in (rotation, scale, opacity, *coefficients)):
        raise Damaged("attributes of different lengths")
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(scale.astype(np.float64)).astype(np.float32)
        share = opacity[:, 0].astype(np.float64)
        logits = np.clip(np.log(share / (1 - share)), -LARGEST_LOGIT, LARGEST_LOGIT).astype(np.float32)
    return GaussianCloud(
        torch.from_numpy(means),
        torch.from_numpy(log_scales),
        torch.from_numpy(np.ascontiguousarray(rotation[:, [3, 0, 1, 2]])),
        torch.from_numpy(logits),
        torch.from_numpy(np.stack(coefficients, 1)),
    )


def _accessor(document: dict[str, Any], binary: bytes, index: Any, width: int, name: str) -> np.ndarray:
    """An attribute as float32 [N width]; raises Damaged for one that lies outside the file's own binary part."""
    accessor = member(document, "accessors", whole(index, name, MOST_NODES))
    kind, most = KINDS.get(whole(member(accessor, "componentType"), name, 1 << 16), ("", 0))
    if not kind or WIDTHS.get(str(member(accessor, "type"))) != width or "sparse" in accessor:
        raise Damaged(f"{name} of a type that it cannot have")
    view = member(document, "bufferViews", whole(member(accessor, "bufferView"), name, MOST_NODES))
    if not isinstance(view, dict) or view.get("buffer") != 0 or "uri" in member(document, "buffers", 0):
        raise Damaged(f"{name} outside the file")
    size, row = len(binary), width * np.dtype(kind).itemsize
    count = whole(member(accessor, "count"), name, size)
    start = whole(view.get("byteOffset", 0), name, size) + whole(accessor.get("byteOffset", 0), name, size)
    stride = whole(view.get("byteStride", row), name, size)
    if stride < row or start + max(0, count - 1) * stride + (row if count else 0) > size:
        raise Damaged(f"{name} past the end of the file")
    cells = np.ndarray((count, width), kind, binary, start, (stride, np.dtype(kind).itemsize))
    scaled = accessor.get("normalized") is True
    return (cells / most if scaled else cells).astype(np.float32)


CODEC = Codec(
    name="glTF",
    extensions=(".glb",),
    sniff=lambda head: head.startswith(MAGIC),
    decode=decode,
    encode=encode,
    half_turn="z",
    degree=3,
)
