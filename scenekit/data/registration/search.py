"""One try after another until most photographs have found their place; every step is kept and not done again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenekit.data.colmap import quiet
from scenekit.data.registration import pairs
from scenekit.data.registration.appearing import appearing
from scenekit.data.registration.database import Found, check_pycolmap, create, descriptors, extract, found, match
from scenekit.data.registration.mapping import map_images
from scenekit.data.registration.photographs import Prepared
from scenekit.data.registration.settings import Settings, Try, tries

if TYPE_CHECKING:
    import pycolmap

GOOD_SHARE = 0.9  # of the photographs: no further try is made

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Place:
    """Where photographs lie and where work is kept.

    Attributes:
        images: folder of the prepared photographs.
        work: folder for databases and models.
        masks: folder with ``NAME.png`` for photographs of which black parts count for nothing.
    """

    images: Path
    work: Path
    masks: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """The best try: its models, the one with the most photographs first (none where nothing was found)."""

    models: list[pycolmap.Reconstruction]
    how: Try
    found: Found
    tries: int

    @property
    def placed(self) -> int:
        """How many photographs have a pose in the first model."""
        return self.models[0].num_reg_images() if self.models else 0


def search(
    photographs: Sequence[Prepared], place: Place, settings: Settings, *, in_time: bool, report: Report
) -> Outcome:
    """Try the settings of :func:`scenekit.data.registration.settings.tries` in turn; the best outcome counts.

    Raises BadInput where pycolmap is too old.
    """
    check_pycolmap()
    kept = place.work / _key(photographs, place, settings)
    kept.mkdir(parents=True, exist_ok=True)
    best: Outcome | None = None
    with quiet(about_errors=True):  # a try that finds no model is said by the next
        for number, how in enumerate(tries(settings, len(photographs), in_time=in_time), 1):
            if number > 1:
                report(f"trying again: {how.label}", 0, 0)
            outcome = _attempt(photographs, replace(place, work=kept), how, settings, report)
            if best is None or outcome.placed > best.placed:
                best = outcome
            best = replace(best, tries=number)
            if best.placed >= GOOD_SHARE * len(photographs):
                break
    assert best is not None  # there is at least one try
    return best


def _key(photographs: Sequence[Prepared], place: Place, settings: Settings) -> str:
    """Work for other photographs or other choices is not ours; more tries are."""
    choices = replace(settings, tries=0)
    content = [(photograph.name, photograph.size, photograph.exif.focal) for photograph in photographs]
    return hashlib.sha256(repr((choices, content, place.masks)).encode()).hexdigest()[:12]


def _attempt(photographs: Sequence[Prepared], place: Place, how: Try, settings: Settings, report: Report) -> Outcome:
    from scenekit.data.colmap_library import pycolmap

    names = [photograph.name for photograph in photographs]
    database = place.work / _database(how)
    like = place.work / _database(replace(how, per_image=False))
    create(database, photographs, settings, how.per_image, like)
    stage = f"features of up to {how.features} in each photograph"
    extract(database, place.images, names, how, lambda done, total: report(stage, done, total), place.masks)
    chosen = _pairs(database, len(names), how)
    match(database, names, chosen, how, settings, lambda done, total: report("matching pairs", done, total))
    models = place.work / f"models-{_digest(how)}"
    if not models.is_dir():
        count = len(names)
        with appearing(models) as partial:
            map_images(
                database, place.images, partial, how, settings, lambda done, _: report("placing cameras", done, count)
            )
    # Read back though they may just have been made: reading rounds, and a resumed search must not differ.
    made = [pycolmap.Reconstruction(str(folder)) for folder in sorted(models.iterdir()) if folder.is_dir()]
    made.sort(key=lambda model: (-model.num_reg_images(), -len(model.points3D)))
    return Outcome(made, how, found(database, len(names)), 1)


def _database(how: Try) -> str:
    """Tries that look for the same features and share intrinsics alike share a file."""
    own = "-own" if how.per_image else ""
    return f"features-{how.side}-{how.features}-{how.peak:g}{own}.db"


def _digest(how: Try) -> str:
    return hashlib.sha256(repr(how).encode()).hexdigest()[:12]


def _pairs(database: Path, count: int, how: Try) -> list[tuple[int, int]]:
    if how.pairs == "exhaustive":
        return pairs.all_pairs(count)
    features = [descriptors(database, number, pairs.DESCRIBED) for number in range(1, count + 1)]
    described = pairs.describe(features)
    if how.pairs == "sequential":
        beside = pairs.in_sequence(count, pairs.WINDOW)
        return sorted(beside | pairs.alike(described, pairs.LOOPS, apart=2 * pairs.WINDOW))
    return sorted(pairs.in_sequence(count, pairs.BESIDE) | pairs.alike(described, pairs.ALIKE))
