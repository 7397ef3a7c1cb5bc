"""Metashape's cameras as XML (File > Export > Export Cameras > Agisoft XML): OpenCV axes, cameras in a component.

``world`` is the component's (else the chunk's) own frame: metric and georeferenced where the project was.
Metashape's tangential terms are OpenCV's in the other order.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import torch

from scenekit.core.checks import BadInput
from scenekit.core.transforms import Similarity
from scenekit.data.image_files import file_of, image_files, marked_file
from scenekit.data.lens import Lens
from scenekit.data.listing import Listing, Photograph, present, rigid_pose

LOOKS_FOR = "one .xml with cameras of Metashape beside images/"
MARK = b"<document"  # near the beginning: a folder of photographs may hold another .xml
LARGEST_SKEW = 1e-3  # of the focal length


def sniff(path: Path) -> bool:
    """An .xml, or a folder with a single one that Metashape wrote."""
    return marked_file(path, ".xml", MARK) is not None


def read(path: Path) -> Listing:
    """List the aligned cameras; those without a transform were not."""
    source = marked_file(path, ".xml", MARK)
    assert source is not None  # what sniff found
    try:
        chunk = _root(source).find("chunk")
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise BadInput.of(
            source, wanted="an XML file", found=f"one that cannot be read ({error})", remedy="export it again"
        ) from None
    if chunk is None:
        raise BadInput.of(
            source, wanted="a document with a chunk", found="none", remedy="export the cameras as Agisoft XML"
        )
    files = image_files(source.parent)
    frames = {node.get("id", ""): _similarity(source, node.find("transform")) for node in chunk.iter("component")}
    world = frames | {"": _similarity(source, chunk.find("transform"))}
    lenses = {node.get("id", ""): node for node in chunk.iter("sensor")}
    cameras = [node for node in chunk.iter("camera") if node.get("label")]
    aligned = [node for node in cameras if node.find("transform") is not None]
    listed: list[Photograph] = []
    for node in aligned:
        name = node.get("label", "")
        lens = _lens(source, name, lenses.get(node.get("sensor_id", "")))
        pose = rigid_pose(source, name, _numbers(source, node.find("transform"), 16, (4, 4)).tolist())
        world_from_component = world.get(node.get("component_id", ""), world[""])
        file = file_of(name, files, source.parent)
        listed.append(Photograph(file.name, file, lens, world_from_component.poses(pose)))
    photographs, notes = present(source, listed)
    if len(aligned) < len(cameras):
        notes = (*notes, f"{len(cameras) - len(aligned)} of {len(cameras)} cameras in {source} are not aligned")
    return Listing("metashape", source.parent, photographs, len(cameras), notes=notes)


def _root(source: Path) -> ElementTree.Element:
    """The document. Entities, which may grow without bound or name other files, are nothing that Metashape writes."""
    data = source.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("it declares entities")
    return ElementTree.fromstring(data)


def _numbers(source: Path, node: ElementTree.Element | None, count: int, shape: tuple[int, ...]) -> torch.Tensor:
    text = "" if node is None or node.text is None else node.text
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count:
        raise BadInput.of(
            source,
            wanted=f"{count} numbers in <{'' if node is None else node.tag}>",
            found=repr(text[:40]),
            remedy="export the cameras again",
        )
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def _side(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _similarity(source: Path, node: ElementTree.Element | None) -> Similarity:
    """A <transform> of rotation, translation and scale, each of which may be absent."""
    parts = {child.tag: child for child in node} if node is not None else {}
    identity = Similarity.identity()
    scale = float(_numbers(source, parts["scale"], 1, ())) if "scale" in parts else 1.0
    rotation = _numbers(source, parts["rotation"], 9, (3, 3)) if "rotation" in parts else identity.rotation
    translation = _numbers(source, parts["translation"], 3, (3,)) if "translation" in parts else identity.translation
    if not scale > 0:
        raise BadInput.of(source, wanted="a positive scale", found=str(scale), remedy="export the cameras again")
    return Similarity(scale, rotation, translation)


def _lens(source: Path, name: str, sensor: ElementTree.Element | None) -> Lens:
    calibration = None if sensor is None else sensor.find("calibration")
    if sensor is None or calibration is None:
        raise BadInput.of(
            source, wanted=f"the calibration of camera {name}", found="none", remedy="align before exporting"
        )
    resolution = calibration.find("resolution")
    resolution = sensor.find("resolution") if resolution is None else resolution
    sides = [0, 0] if resolution is None else [_side(resolution.get(side, "0")) for side in ("width", "height")]
    value = {node.tag: float(_numbers(source, node, 1, ())) for node in calibration if node.tag != "resolution"}
    size, focal = (sides[0], sides[1]), value.get("f", 0.0)
    if min(*size, focal) <= 0:
        raise BadInput.of(
            source, wanted=f"a size and focal length of camera {name}", found=f"{size} and {focal:g}",
            remedy="align before exporting",
        )  # fmt: skip
    b1, b2, cx, cy = (value.get(key, 0.0) for key in ("b1", "b2", "cx", "cy"))
    k1, k2, k3, k4, p1, p2 = (value.get(key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    pinhole = (focal + b1, focal, size[0] / 2 + cx, size[1] / 2 + cy)
    kind = sensor.get("type", "frame")
    fisheye = kind in ("fisheye", "equidistant_fisheye")
    if kind != "frame" and not fisheye:
        raise BadInput.of(
            source, wanted="frame or fisheye cameras", found=kind, remedy="cut perspective views from it first"
        )
    if abs(b2) > LARGEST_SKEW * focal or (fisheye and (p1 or p2)) or (not fisheye and k4):
        unknown = "b2" if abs(b2) > LARGEST_SKEW * focal else "p1, p2" if fisheye else "k4"
        raise BadInput.of(
            source, wanted=f"a {kind} calibration without {unknown}", found=f"camera {name} with it",
            remedy=f"optimise the cameras without {unknown}, or export undistorted images",
        )  # fmt: skip
    if fisheye:
        return Lens("OPENCV_FISHEYE", size, (*pinhole, k1, k2, k3, k4))
    if k3:
        return Lens("FULL_OPENCV", size, (*pinhole, k1, k2, p2, p1, k3, 0.0, 0.0, 0.0))
    if k1 or k2 or p1 or p2:
        return Lens("OPENCV", size, (*pinhole, k1, k2, p2, p1))
    return Lens.pinhole(size, *pinhole)
