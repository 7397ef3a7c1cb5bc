"""Points for a capture that has none: training photographs matched, tracks triangulated by pycolmap.

Intrinsics stay as the capture gives them, and poses unless they are in doubt. Held-out photographs are never looked at.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenekit.core.cameras import Cameras
from scenekit.core.cloud import PointCloud
from scenekit.core.transforms import invert_rigid
from scenekit.data.adjust import adjust, back, turned
from scenekit.data.capture import Capture
from scenekit.data.colmap import quiet
from scenekit.data.features import EPIPOLAR_PIXELS, Features, detect, match_pairs, neighbours
from scenekit.data.images import cameras_of, load_images
from scenekit.data.memory import give_back
from scenekit.data.store import Images, StoredImages

if TYPE_CHECKING:
    import pycolmap

VERSION = 6  # of the method: part of the cache's key
LONGEST_SIDE = 880
NEIGHBOURS = 7
FEWEST_MATCHES = 12
LARGEST_ERROR = 2.0  # mean reprojection error of a kept point, in pixels of the photographs as matched
SMALLEST_ANGLE = 1.5  # degrees between the rays of a kept point
DOUBTED_PIXELS = 40.0  # how far from its epipolar line, and from its point, a match may lie where poses are in doubt
DOUBTED_ANGLE = 4.0  # and how many degrees its rays may be off
WORTHWHILE = 1.05  # times as many observations of points: only then adjusted poses are taken


@dataclass(frozen=True)
class Triangulation:
    """Points and what they cost; seconds are 0 for points that came from the cache.

    Attributes:
        points: in ``world``, with the mean colour of the pixels that see them.
        images, pairs: photographs used and pairs matched.
        poses: of the training photographs, in the order of the split, as the points have them.
        turned: degrees by which an adjustment turned them, in the mean; 0 where they were kept.
        wall_seconds, cpu_seconds: of this process.
    """

    points: PointCloud
    images: int
    pairs: int
    poses: Float[Tensor, "T 3 4"]
    turned: float
    wall_seconds: float
    cpu_seconds: float


def triangulate(capture: Capture, cache: Path | None = None, *, doubted: bool = False) -> Triangulation:
    """Triangulate a capture from its training photographs, or take what the folder ``cache`` holds.

    The cache is keyed by the photographs (path, size, time), poses, lenses and the version of the method. The
    result may be empty where nothing matches. Where poses are ``doubted``, they are adjusted together with the points;
    as a whole, cameras stay where they were.
    """
    file = None if cache is None else cache / f"points-{_key(capture, doubted)}.npz"
    if file is not None and file.is_file():
        return _stored(file)
    result = _found(capture, doubted=doubted)
    give_back()  # small blocks would stay with the process through the training
    if file is not None:
        _store(file, result)
    return result


def _found(capture: Capture, *, doubted: bool) -> Triangulation:
    """From the photographs, whatever a cache holds."""
    wall, cpu = time.perf_counter(), time.process_time()
    images, cameras = _photographs(capture)
    pairs = neighbours(cameras, NEIGHBOURS)
    with quiet():
        features = detect(images)
        model = _triangulated(cameras, features, _matches(cameras, features, pairs))
        better = _better(model, cameras, features, pairs) if doubted else None
    if better is None:
        points, posed = _colored(model, images), cameras
    else:
        frame = back(cameras, better[1])
        points, posed = _colored(better[0], images).moved(frame), better[1].moved(frame)
    angle = 0.0 if better is None else turned(cameras, posed)
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return Triangulation(points, len(images), len(pairs), posed.world_from_camera, angle, *seconds)


def _photographs(capture: Capture) -> tuple[Images, Cameras]:
    """The training photographs, undistorted, at a size that suits feature detection; in memory if the capture's are."""
    if capture.source is None:
        return tuple(capture.images[i] for i in capture.train), capture.cameras[capture.train]
    chosen = [capture.source.photographs[i] for i in capture.train]
    shrink = max(1.0, max(max(photograph.lens.size) for photograph in chosen) / LONGEST_SIDE)
    if isinstance(capture.images, StoredImages):
        stored = StoredImages(chosen, shrink, capture.images.cache_bytes)
        return stored, cameras_of(chosen, shrink)
    return load_images(chosen, shrink)


def _matches(
    cameras: Cameras, features: list[Features], pairs: list[tuple[int, int]], width: float = EPIPOLAR_PIXELS
) -> dict[tuple[int, int], Tensor]:
    """Of the pairs that have enough of them."""
    found = zip(pairs, match_pairs(cameras, features, pairs, width), strict=True)
    return {pair: matches for pair, matches in found if len(matches) >= FEWEST_MATCHES}


def _better(
    model: pycolmap.Reconstruction, cameras: Cameras, features: list[Features], pairs: list[tuple[int, int]]
) -> tuple[pycolmap.Reconstruction, Cameras] | None:
    """Adjusted poses with their points, if more observations agree with these than with what was given.

    Where few things match, or match badly, an adjustment can make good poses worse: then no more fits them.
    """
    wide = _matches(cameras, features, pairs, DOUBTED_PIXELS)
    moved = adjust(_triangulated(cameras, features, wide, doubted=True), cameras)
    found = _triangulated(moved, features, _matches(moved, features, pairs))
    if found.compute_num_observations() <= WORTHWHILE * model.compute_num_observations():
        return None
    return found, adjust(found, moved)


def _triangulated(
    cameras: Cameras, features: list[Features], matches: Mapping[tuple[int, int], Tensor], *, doubted: bool = False
) -> pycolmap.Reconstruction:
    """Let pycolmap build tracks and points from matches; with ``doubted`` poses, from what hardly fits them too."""
    from scenekit.data.colmap_library import pycolmap

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "database.db")
        model = _posed_model(cameras, features)
        _write_database(path, model, features, matches)
        options = pycolmap.IncrementalPipelineOptions()
        options.min_num_matches = FEWEST_MATCHES
        options.extract_colors = False
        options.num_threads = 2
        options.ba_global_max_num_iterations = 10
        options.ba_global_max_refinements = 1
        options.triangulation.min_angle = SMALLEST_ANGLE
        options.mapper.filter_max_reproj_error = DOUBTED_PIXELS if doubted else LARGEST_ERROR
        options.mapper.filter_min_tri_angle = SMALLEST_ANGLE
        if doubted:
            options.triangulation.complete_max_reproj_error = DOUBTED_PIXELS
            options.triangulation.merge_max_reproj_error = DOUBTED_PIXELS
            options.triangulation.create_max_angle_error = DOUBTED_ANGLE
            options.triangulation.continue_max_angle_error = DOUBTED_ANGLE
        return pycolmap.triangulate_points(model, path, folder, folder, options=options)


def _posed_model(cameras: Cameras, features: list[Features]) -> pycolmap.Reconstruction:
    """Cameras and images numbered from 1, each camera a rig of its own, at the capture's poses."""
    from scenekit.data.colmap_library import pycolmap

    model = pycolmap.Reconstruction()
    poses = invert_rigid(cameras.world_from_camera).numpy()
    for index, (width, height) in enumerate(cameras.sizes):
        camera = pycolmap.Camera(model="PINHOLE", width=width, height=height, params=cameras.intrinsics[index].tolist())
        camera.camera_id = index + 1
        model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(
            name=f"{index:06d}",
            camera_id=index + 1,
            image_id=index + 1,
            keypoints=features[index].positions.double().numpy(),
        )
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(poses[index]))
    return model


def _write_database(
    path: str,
    model: pycolmap.Reconstruction,
    features: list[Features],
    matches: Mapping[tuple[int, int], Tensor],
) -> None:
    from scenekit.data.colmap_library import pycolmap

    with pycolmap.Database.open(path) as database:
        for camera in model.cameras.values():
            database.write_camera(camera, use_camera_id=True)
        for rig in model.rigs.values():
            database.write_rig(rig, use_rig_id=True)
        for frame in model.frames.values():
            database.write_frame(frame, use_frame_id=True)
        for image_id, image in sorted(model.images.items()):
            database.write_image(image, use_image_id=True)
            database.write_keypoints(image_id, features[image_id - 1].positions.numpy())
        for (first, second), found in matches.items():
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = found.to(torch.int32).numpy().astype(np.uint32)
            database.write_two_view_geometry(first + 1, second + 1, geometry)


def _colored(model: pycolmap.Reconstruction, images: Images) -> PointCloud:
    """Good points with the mean colour of the pixels they were seen in; each image is looked at once."""
    points = [point for point in model.points3D.values() if point.error <= LARGEST_ERROR]
    if not points:
        return PointCloud(torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.float64))
    seen: dict[int, list[tuple[int, float, float]]] = {}
    for number, point in enumerate(points):
        for element in point.track.elements:
            u, v = model.images[element.image_id].points2D[element.point2D_idx].xy
            seen.setdefault(element.image_id - 1, []).append((number, u, v))
    sums, counts = torch.zeros(len(points), 3, dtype=torch.float64), torch.zeros(len(points), 1, dtype=torch.float64)
    for index, rows in sorted(seen.items()):
        image = images[index]
        numbers, u, v = (torch.tensor(column) for column in zip(*rows, strict=True))
        column, row = u.long().clamp(max=image.shape[1] - 1), v.long().clamp(max=image.shape[0] - 1)
        sums.index_add_(0, numbers, image[row, column, :3].double())
        counts.index_add_(0, numbers, torch.ones(len(rows), 1, dtype=torch.float64))
    positions = torch.from_numpy(np.stack([np.asarray(point.xyz) for point in points]))
    return PointCloud(positions, sums / counts / 255)


def _key(capture: Capture, doubted: bool) -> str:
    digest = hashlib.sha256(f"{VERSION} {LONGEST_SIDE} {NEIGHBOURS} {doubted}".encode())
    for index in capture.train:
        digest.update(capture.names[index].encode())
        if capture.source is None:
            digest.update(capture.images[index].numpy().tobytes())
        else:
            photograph = capture.source.photographs[index]
            status = photograph.path.stat()
            made_from = photograph.path.resolve(), status.st_size, status.st_mtime_ns, photograph.lens
            digest.update(str(made_from).encode())
    rows = list(capture.train)
    digest.update(capture.cameras.world_from_camera[rows].numpy().tobytes())
    digest.update(capture.cameras.intrinsics[rows].numpy().tobytes() if capture.source is None else b"")
    return digest.hexdigest()[:16]


def _stored(file: Path) -> Triangulation:
    with np.load(file, allow_pickle=False) as arrays:
        points = PointCloud(torch.from_numpy(arrays["positions"]), torch.from_numpy(arrays["colors"]))
        images, pairs = (int(count) for count in arrays["counts"])
        poses, angle = torch.from_numpy(arrays["poses"]), float(arrays["turned"])
    return Triangulation(points, images, pairs, poses, angle, 0.0, 0.0)


def _store(file: Path, result: Triangulation) -> None:
    """Written whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.stem}-{os.getpid()}.npz")
    np.savez_compressed(
        partial,
        positions=result.points.positions.numpy(),
        colors=result.points.colors.numpy(),
        counts=np.array([result.images, result.pairs]),
        poses=result.poses.numpy(),
        turned=np.array(result.turned),
    )
    partial.replace(file)
