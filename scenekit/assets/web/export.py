"""Scenes become a page: what each of them is decides how it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.assets.web.chunks import Chunk, PackedChunk, pack
from scenekit.assets.web.page import FORMAT, check_page_target, write_page
from scenekit.assets.web.shapes import Shape, frustums, shape_node
from scenekit.assets.web.splats import quantise
from scenekit.assets.web.volume import volume_chunks, volume_values
from scenekit.core.cameras import Cameras
from scenekit.core.checks import BadInput
from scenekit.core.protocols import EVAL
from scenekit.core.transforms import Similarity
from scenekit.distill.bake import BakedRenderer, bake, coarser
from scenekit.renderers.paths import focus, up_direction
from scenekit.renderers.scene import Scene
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import VolumeRenderer

VERSION = 1
MOST_BOOKMARKS = 2000
FRUSTUM = 0.06  # of the cameras' mean distance from the focus

Node = tuple[dict[str, Any], list[Chunk]]


def export_web(scenes: Scene | Mapping[str, Scene], target: str | Path, *, shapes: Sequence[Shape] = ()) -> int:
    """Write a page that shows ``scenes`` (one, or several by name) without a server; returns its size in bytes.

    Args:
        scenes: Gaussians; fields as :func:`scenekit.distill.bake.bake` leaves them, or any others, which are baked
            now. The first one's frame becomes the page's; its cameras become bookmarks, its background is behind all.
        target: ``*.html`` for a single file that opens from disk, else a folder to host.
        shapes: points, lines and meshes to show beside them.

    Raises BadInput for a place that cannot be written, and for a scene of a kind that no page can show.
    """
    place = Path(target)
    check_page_target(place)
    named = {"scene": scenes} if isinstance(scenes, Scene) else dict(scenes)
    if not named:
        raise BadInput.of(place, wanted="at least one scene", found="none", remedy="name a run")
    first = next(iter(named.values()))
    nodes = [node for name, scene in named.items() for node in _scene_nodes(name, scene, first)]
    around = first.cameras
    if len(around):
        deep = FRUSTUM * float((around.centres - focus(around)).norm(dim=-1).mean())
        nodes.append(shape_node(frustums(around, deep), first.scene_from_world))
    nodes += [shape_node(shape, first.scene_from_world) for shape in shapes]
    manifest, chunks = build_manifest(place.stem, first, nodes)
    return write_page(place, manifest, chunks)


def build_manifest(title: str, scene: Scene, nodes: Sequence[Node]) -> tuple[dict[str, Any], list[PackedChunk]]:
    """The manifest of a page in ``scene``'s frame, and all its chunks."""
    cameras = scene.cameras[:MOST_BOOKMARKS].moved(scene.scene_from_world)
    if len(cameras) == 0:
        raise BadInput.of(title, wanted="at least one camera to begin with", found="none", remedy="train on a capture")
    entries, packed = [], []
    for values, chunks in nodes:
        some = [pack(chunk) for chunk in chunks]
        packed += some
        listed = [chunk.entry for chunk in some]
        entries.append({"page_from_node": Similarity.identity().to_json()} | values | {"chunks": listed})
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "title": title,
        "up": up_direction(cameras).tolist(),
        "focus": focus(cameras).tolist(),
        "background": _background(scene).tolist(),
        "world_from_page": scene.scene_from_world.inverse().to_json(),
        "initial": 0,
        "bookmarks": _bookmarks(cameras),
        "nodes": entries,
    }
    return manifest, packed


def _scene_nodes(name: str, scene: Scene, first: Scene) -> list[Node]:
    """A scene in the frame of the page, which is that of ``first``; before a field, a coarse copy that comes sooner."""
    page_from_node = first.scene_from_world.after(scene.scene_from_world.inverse())
    place = {"name": name, "visible": True, "page_from_node": page_from_node.to_json()}
    renderer = bake(scene) if isinstance(scene.renderer, VolumeRenderer) else scene.renderer
    if isinstance(renderer, BakedRenderer):
        soon = coarser(renderer)
        copy = {"kind": "volume", **place, "stands_in": True, **volume_values(soon)}
        whole = {"kind": "volume", **place, "stands_in": False, **volume_values(renderer)}
        return [(copy, volume_chunks(soon, first_picture=True)), (whole, volume_chunks(renderer))]
    if not isinstance(renderer, SplatRenderer):
        raise BadInput.of(
            f"scene '{name}'",
            wanted="Gaussians or a field",
            found="a fitted signal" if "signal" in scene.recipe else type(renderer).__name__,
            remedy="look at it with scenekit view or render",
        )
    with torch.no_grad():
        quantised = quantise(renderer.primitives.splats(scene.cameras_in_scene(scene.cameras), EVAL))
    node = {
        "kind": "splats",
        **place,
        "count": quantised.count,
        "degree": quantised.degree,
        "antialiased": renderer.antialiased,
        "near": renderer.near,
        "blocks": quantised.blocks,
    }
    return [(node, quantised.chunks)]


def _bookmarks(cameras: Cameras) -> list[dict[str, Any]]:
    rows = zip(cameras.world_from_camera, cameras.intrinsics, cameras.sizes, strict=True)
    return [
        {
            "name": f"photograph {index + 1}",
            "pose": pose.flatten().tolist(),
            "intrinsics": intrinsics.tolist(),
            "size": list(size),
        }
        for index, (pose, intrinsics, size) in enumerate(rows)
    ]


def differs_by_direction(scene: Scene) -> bool:
    """Whether the background is no single colour; a page then shows the mean of it."""
    return bool(_background_colors(scene).std(0, correction=0).max() > 1 / 255)


def _background(scene: Scene) -> Float[Tensor, "3"]:
    return _background_colors(scene).mean(0).clamp(0, 1)


def _background_colors(scene: Scene) -> Float[Tensor, "P 3"]:
    """Of all pixels of the first photograph."""
    with torch.no_grad():
        return scene.background.colors(scene.cameras_in_scene(scene.cameras[0]), None, EVAL).reshape(-1, 3)
