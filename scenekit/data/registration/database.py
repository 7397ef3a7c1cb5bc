"""Features and matches in a COLMAP database: what a killed process found stays found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenekit.core.checks import BadInput
from scenekit.data.registration.appearing import appearing
from scenekit.data.registration.photographs import Prepared
from scenekit.data.registration.settings import OPENCV_IMAGES, Settings, Try

if TYPE_CHECKING:
    import pycolmap

Report = Callable[[int, int], None]
GUESSED_FOCAL = 1.2  # of the longest side: COLMAP's guess where the camera does not say
IMAGES_AT_ONCE = 8  # between two reports
PAIRS_AT_ONCE = 60


@dataclass(frozen=True)
class Found:
    """What is in a database: features of each image, and verified matches of each pair, by image number from 1."""

    features: dict[int, int]
    matches: dict[tuple[int, int], int]


def check_pycolmap() -> None:
    """Raise BadInput where pycolmap is too old for features and matches through it."""
    from scenekit.data.colmap_library import pycolmap

    if "match_image_pairs" not in dir(pycolmap):
        raise BadInput.of(
            "pycolmap",
            wanted="a version that matches chosen pairs, to estimate poses",
            found=str(pycolmap.__version__),
            remedy='run `pip install -U "pycolmap>=4.2"`',
        )


def create(
    path: Path, photographs: Sequence[Prepared], settings: Settings, per_image: bool, like: Path | None = None
) -> None:
    """Write cameras and images, numbered from 1 in order, unless the file is there; it appears whole.

    Features that another database ``like`` it holds are taken over.
    """
    from scenekit.data.colmap_library import pycolmap

    if path.is_file():
        return
    groups = _shared(photographs, "per-image" if per_image else settings.intrinsics)
    with appearing(path) as partial, pycolmap.Database.open(str(partial)) as database:
        for number, members in enumerate(groups, 1):
            camera = _camera(photographs[members[0]], len(members), settings)
            camera.camera_id = number
            database.write_camera(camera, use_camera_id=True)
            rig = pycolmap.Rig()
            rig.rig_id = number
            rig.add_ref_sensor(camera.sensor_id)
            database.write_rig(rig, use_rig_id=True)
            for index in members:
                image = pycolmap.Image(name=photographs[index].name, camera_id=number, image_id=index + 1)
                database.write_image(image, use_image_id=True)
                frame = pycolmap.Frame()
                frame.frame_id = index + 1
                frame.rig_id = number
                frame.add_data_id(image.data_id)
                database.write_frame(frame, use_frame_id=True)
        if like is not None and like.is_file():
            _take_features(like, database, len(photographs))


def _take_features(source: Path, database: pycolmap.Database, count: int) -> None:
    from scenekit.data.colmap_library import pycolmap

    with pycolmap.Database.open(str(source)) as other:
        for number in range(1, count + 1):
            if other.exists_keypoints(number) and other.exists_descriptors(number):
                database.write_keypoints(number, other.read_keypoints(number))
                database.write_descriptors(number, other.read_descriptors(number))


def extract(path: Path, images: Path, names: Sequence[str], how: Try, report: Report, masks: Path | None) -> None:
    """Look for features in every image that has none yet."""
    from scenekit.data.colmap_library import pycolmap

    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu = False
    options.max_image_size = how.side
    options.sift.max_num_features = how.features
    options.sift.peak_threshold = how.peak
    reader = pycolmap.ImageReaderOptions()
    if masks is not None:
        reader.mask_path = str(masks)
    for start in range(0, len(names), IMAGES_AT_ONCE):
        report(start, len(names))
        pycolmap.extract_features(
            database_path=str(path),
            image_path=str(images),
            image_names=list(names[start : start + IMAGES_AT_ONCE]),
            camera_mode=pycolmap.CameraMode.PER_IMAGE,  # cameras are in the database already
            reader_options=reader,
            extraction_options=options,
        )
    report(len(names), len(names))


def match(
    path: Path, names: Sequence[str], pairs: Sequence[tuple[int, int]], how: Try, settings: Settings, report: Report
) -> None:
    """Match and verify pairs (indices of ``names``) that were not yet."""
    from scenekit.data.colmap_library import pycolmap

    options = pycolmap.FeatureMatchingOptions()
    options.use_gpu = False
    options.guided_matching = how.guided
    geometry = pycolmap.TwoViewGeometryOptions()
    if "random_seed" in dir(geometry.ransac):
        geometry.ransac.random_seed = settings.seed
    imported = pycolmap.ImportedPairingOptions()
    listed = path.with_suffix(".pairs.txt")
    imported.match_list_path = str(listed)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        report(start, len(pairs))
        some = pairs[start : start + PAIRS_AT_ONCE]
        listed.write_text("".join(f"{names[i]} {names[j]}\n" for i, j in some))
        pycolmap.match_image_pairs(
            str(path), matching_options=options, pairing_options=imported, verification_options=geometry
        )
    listed.unlink(missing_ok=True)
    report(len(pairs), len(pairs))


def found(path: Path, count: int) -> Found:
    """How much there is of each image and of each pair."""
    from scenekit.data.colmap_library import pycolmap

    with pycolmap.Database.open(str(path)) as database:
        features = {number: database.num_keypoints_for_image(number) for number in range(1, count + 1)}
        pairs, matches = database.read_two_view_geometry_num_inliers()
    return Found(
        features, {_numbers(int(pair)): int(number) for pair, number in zip(pairs, matches, strict=True) if number > 0}
    )


def descriptors(path: Path, number: int, most: int) -> NDArray[np.float32]:
    """The first ``most`` descriptors [N 128] of an image, which are those of the largest features."""
    from scenekit.data.colmap_library import pycolmap

    with pycolmap.Database.open(str(path)) as database:
        stored = database.read_descriptors(number)
    rows = np.asarray(stored if isinstance(stored, np.ndarray) else stored.data)
    return rows.reshape(-1, 128)[:most].astype(np.float32)


def _numbers(pair: int) -> tuple[int, int]:
    from scenekit.data.colmap_library import pycolmap

    first, second = pycolmap.pair_id_to_image_pair(pair)
    return int(first), int(second)


def _shared(photographs: Sequence[Prepared], sharing: str) -> list[list[int]]:
    """Which photographs share intrinsics; a size of its own always means intrinsics of its own."""
    groups: dict[object, list[int]] = {}
    for index, photograph in enumerate(photographs):
        key: object = index
        if sharing == "shared":
            key = photograph.size
        elif sharing == "auto":
            focal = photograph.exif.focal
            key = (photograph.size, photograph.exif.camera, None if focal is None else round(focal))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _camera(photograph: Prepared, members: int, settings: Settings) -> pycolmap.Camera:
    """With the focal length that the camera wrote, else a guess."""
    from scenekit.data.colmap_library import pycolmap

    width, height = photograph.size
    known = photograph.exif.focal
    model = settings.lens if settings.lens != "auto" else "opencv" if members >= OPENCV_IMAGES else "simple-radial"
    model = model.upper().replace("-", "_")
    focal = known or GUESSED_FOCAL * max(width, height)
    camera = pycolmap.Camera.create_from_model_id(0, getattr(pycolmap.CameraModelId, model), focal, width, height)
    camera.has_prior_focal_length = known is not None
    return camera
