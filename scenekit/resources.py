"""Finds the files that ship beside the code: inside an installed wheel, or in the repository's root."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_IN_REPOSITORY = {"viewer": "viewer/dist"}  # where a folder's name there is another one


def path(kind: str) -> Path:
    """Folder of ``cuda`` sources, ``configs`` or the ``viewer`` bundle; raises FileNotFoundError."""
    places = (_PACKAGE / f"_{kind}", _PACKAGE.parent / _IN_REPOSITORY.get(kind, kind))
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"{kind}: looked in {places[0]} and {places[1]}; reinstall scenekit")


def native(name: str) -> Path:
    """Where the compiled CPU library ``name`` is, or would be."""
    return _PACKAGE / "_native" / name
