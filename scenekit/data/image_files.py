"""Files by what other programs call them: photographs with or without folders and extensions, and the exports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

from scenekit.data.decode import find_photographs

FOLDERS = ("images", "")


def image_files(root: Path, folders: tuple[str, ...] = FOLDERS) -> dict[str, Path]:
    """Files in the first of ``folders`` that holds any, by path, by name and by name without extension.

    A short name that several files share stands for none of them.
    """
    for folder in folders:
        files = find_photographs(root / folder) if (root / folder).is_dir() else []
        if files:
            return _by_name(root / folder, files)
    return {}


def _by_name(folder: Path, files: list[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    ambiguous: set[str] = set()
    for file in files:
        for name in {file.name, file.stem}:
            if name in named:
                ambiguous.add(name)
            named[name] = file
    for name in ambiguous:
        del named[name]
    return named | {file.relative_to(folder).as_posix(): file for file in files}


def file_of(name: str, files: Mapping[str, Path], root: Path) -> Path:
    """The file meant by ``name``, which may be a path on another machine; where it would be if it is not there."""
    last = PureWindowsPath(name).name  # splits at both kinds of slashes
    for form in (name.removeprefix("./"), last, last.rpartition(".")[0] or last):
        if form in files:
            return files[form]
    return root / name


def marked_file(path: Path, extension: str, mark: bytes) -> Path | None:
    """``path`` itself if it has this extension; or a folder's only such file, if ``mark`` stands near its beginning."""
    if path.is_file():
        return path if path.suffix.lower() == extension else None
    found = sorted(path.glob(f"*{extension}")) if path.is_dir() else []
    if len(found) != 1:
        return None
    with found[0].open("rb") as stream:
        return found[0] if mark in stream.read(400) else None
