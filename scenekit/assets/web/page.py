"""A page that anyone can open: one file for a disk or an attachment, or a folder for any web server.

The script, the style sheet and the page are the built viewer's; the single file holds them and the data. It is
allowed to run exactly that script, by its hash, and to reach nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scenekit import resources
from scenekit.assets.atomic import replacing
from scenekit.assets.web.chunks import PackedChunk
from scenekit.core.checks import BadInput

MANIFEST = "scene.json"
SCRIPT, STYLE, PAGE = "viewer.js", "viewer.css", "index.html"
LIBRARY = '<script defer src="./viewer.js"></script>'
SHEET = '<link rel="stylesheet" href="./viewer.css">'
ELEMENT = f'<script type="application/json" id="{MANIFEST}">'  # of a single file, with the manifest in it
FORMAT = "scenekit-web"
BEGINNING = f'{{"format":"{FORMAT}"'.encode()  # of a manifest
AHEAD = '<link rel="preload" href="scene.json" as="fetch" crossorigin />'


def check_page_target(target: Path) -> None:
    """Raise BadInput, before anything is computed, for a place where :func:`write_page` fails."""
    if target.suffix.lower() not in ("", ".html"):
        raise BadInput.of(target, wanted="a name ending in .html, or a folder", found=target.suffix, remedy="rename it")
    if target.suffix and target.is_dir():
        raise BadInput.of(target, wanted="a file", found="a folder", remedy="choose another name")
    if not target.suffix and target.exists() and not _is_page_or_empty(target):
        found = "a folder with other files in it" if target.is_dir() else "a file"
        raise BadInput.of(target, wanted="a new folder, or an earlier page", found=found, remedy="choose another name")


def write_page(target: Path, manifest: Mapping[str, Any], chunks: Iterable[PackedChunk]) -> int:
    """Write ``*.html`` as a single file, anything else as a folder; returns how many bytes that took.

    Raises BadInput where the place cannot be written; what stood there is then untouched.
    """
    check_page_target(target)
    text = json.dumps(manifest, allow_nan=False, separators=(",", ":"))
    unique = {chunk.file: chunk.packed for chunk in chunks}
    with replacing(target) as temporary:
        if target.suffix:
            temporary.write_text(_single_file(text, unique))
            return temporary.stat().st_size
        temporary.mkdir()
        for name in (PAGE, SCRIPT, STYLE):
            (temporary / name).write_bytes((resources.path("viewer") / name).read_bytes())
        (temporary / MANIFEST).write_text(text)
        for file, packed in unique.items():
            (temporary / file).write_bytes(packed)
        return sum(file.stat().st_size for file in temporary.iterdir())


def refuse_page(path: Path) -> None:
    """Raise BadInput for a page, in which nothing is left that could be worked on: it was made to be looked at."""
    folder = path.parent if path.name == PAGE else path
    if _has_manifest(folder / MANIFEST):
        found = "a page for browsers"
        remedy = f"look at it with python -m http.server -d {folder}, or give the run that it was exported from"
    elif path.suffix.lower() == ".html" and path.is_file() and ELEMENT.encode() in path.read_bytes():
        found, remedy = "a page for browsers", "open it in one, or give the run that it was exported from"
    else:
        return
    raise BadInput.of(path, wanted="a run, a splat file or a capture", found=found, remedy=remedy)


def _has_manifest(file: Path) -> bool:
    """Whether a file begins as :func:`write_page` begins a manifest."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(BEGINNING)) == BEGINNING


def _is_page_or_empty(folder: Path) -> bool:
    return folder.is_dir() and (_has_manifest(folder / MANIFEST) or not any(folder.iterdir()))


def _single_file(manifest: str, chunks: Mapping[str, bytes]) -> str:
    viewer = resources.path("viewer")
    script, style, page = ((viewer / name).read_text() for name in (SCRIPT, STYLE, PAGE))
    if "</script" in script or any(page.count(part) != 1 for part in (LIBRARY, SHEET, AHEAD)):
        raise ValueError("viewer: the built bundle cannot be put into one page; build it again with npm run build")
    # "<" would let a name in the manifest end the element that holds it.
    harmless = manifest.replace("<", "\\u003c")
    data = [f"{ELEMENT}{harmless}</script>"]
    data += [
        f'<script type="text/plain" id="{file}">{base64.b64encode(packed).decode()}</script>'
        for file, packed in chunks.items()
    ]
    rules = page.replace("script-src 'self'", f"script-src {_hash(script)}")
    rules = rules.replace("style-src 'self'", f"style-src {_hash(style)}").replace("connect-src 'self'; ", "")
    rules = rules.replace(LIBRARY, "").replace(AHEAD, "").replace(SHEET, f"<style>{style}</style>")
    return rules.replace("</body>", "\n".join([*data, f"<script>{script}</script>", "</body>"]))


def _hash(text: str) -> str:
    """As a content security policy names an inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
