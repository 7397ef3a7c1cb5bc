"""From verified matches to poses: incremental mapping, and why a photograph found no place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scenekit.data.registration.database import Found
from scenekit.data.registration.settings import Settings, Try

if TYPE_CHECKING:
    import pycolmap

SMALLEST_MODEL = 3
FEW_FEATURES = 100
FEW_MATCHES = 15  # COLMAP's least for a verified pair
ENOUGH_POINTS = 30  # and for placing a photograph
LOOSE_POINTS, LOOSE_RATIO, LOOSE_MATCHES = 15, 0.15, 10


def map_images(
    database: Path, images: Path, models: Path, how: Try, settings: Settings, report: Callable[[int, int], None]
) -> None:
    """Write all models that can be made into ``models``, a folder each."""
    from scenekit.data.colmap_library import pycolmap

    models.mkdir(parents=True, exist_ok=True)
    placed = 0

    def begun() -> None:
        nonlocal placed
        placed = 2
        report(placed, 0)

    def another() -> None:
        nonlocal placed
        placed += 1
        report(placed, 0)

    options = _options(how, settings)
    pycolmap.incremental_mapping(
        database_path=str(database),
        image_path=str(images),
        output_path=str(models),
        options=options,
        initial_image_pair_callback=begun,
        next_image_callback=another,
    )


def _options(how: Try, settings: Settings) -> pycolmap.IncrementalPipelineOptions:
    from scenekit.data.colmap_library import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = SMALLEST_MODEL
    if "random_seed" in dir(options):
        options.random_seed = settings.seed
    if how.loose:
        options.min_num_matches = LOOSE_MATCHES
        options.mapper.abs_pose_min_num_inliers = LOOSE_POINTS
        options.mapper.abs_pose_min_inlier_ratio = LOOSE_RATIO
        options.mapper.init_min_tri_angle /= 2
    return options


def reasons(names: Sequence[str], found: Found, models: Sequence[pycolmap.Reconstruction]) -> dict[str, str]:
    """Why each photograph is not in the first model, by name, in plain words."""
    groups = [{image.name for image in model.images.values() if image.has_pose} for model in models]
    kept = groups[0] if groups else set()
    return {
        name: _reason(name, number, names, found, groups) for number, name in enumerate(names, 1) if name not in kept
    }


def _reason(name: str, number: int, names: Sequence[str], found: Found, groups: Sequence[set[str]]) -> str:
    if found.features[number] < FEW_FEATURES:
        return f"only {found.features[number]} features: blurred, dark or without texture"
    other = next((group for group in groups[1:] if name in group), None)
    if other is not None:
        return f"in another group of {len(other)} photographs that shares too few points with the kept one"
    partners = _partners(number, found.matches)
    if not partners:
        return "it matches no other photograph: nothing in it is seen elsewhere"
    best = max(partners, key=lambda partner: partners[partner])
    most = f"{partners[best]} points in common with {names[best - 1]}"
    if not groups:
        return f"at best {most}, from nearly the same place or too few to begin with"
    with_kept = {partner: count for partner, count in partners.items() if names[partner - 1] in groups[0]}
    if not with_kept:
        return f"at best {most}, which found no place either"
    if max(with_kept.values()) < ENOUGH_POINTS:
        return f"at best {most}, too few"
    return f"at best {most}, but no pose explains them together with the others"


def _partners(number: int, matches: Mapping[tuple[int, int], int]) -> dict[int, int]:
    """Verified matches with each other photograph."""
    return {
        first if second == number else second: count
        for (first, second), count in matches.items()
        if number in (first, second)
    }
