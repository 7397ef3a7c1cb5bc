"""Charts of a mesh by xatlas, as a program of its own: nothing interrupts xatlas, but a process can be ended.

It reads ``vertices`` [V 3], ``faces`` [F 3] and ``block`` from standard input and writes ``rows``, ``faces`` and
``coordinates``, each way as numpy's .npz. It imports nothing of the toolkit: that would take longer than most meshes.
"""

from __future__ import annotations

import io
import signal
import sys

import numpy as np


def unwrapped(vertices: np.ndarray, faces: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For vertices that are doubled at seams: the old one of each, the triangles in the old order, coordinates."""
    import xatlas

    atlas, owners = xatlas.Atlas(), []
    for rows in blocks(vertices[faces].mean(1), np.arange(len(faces)), block):
        own, local = np.unique(faces[rows], return_inverse=True)
        atlas.add_mesh(vertices[own], local.reshape(-1, 3).astype(np.uint32))
        owners.append((rows, own))
    atlas.generate(xatlas.ChartOptions(), xatlas.PackOptions())
    cut, kept, coordinates = np.empty_like(faces), [], []
    count = 0
    for index, (rows, own) in enumerate(owners):
        source, triangles, places = atlas.get_mesh(index)
        cut[rows] = triangles.astype(np.int64) + count
        kept.append(own[source])
        coordinates.append(places)
        count += len(source)
    return np.concatenate(kept), cut, np.concatenate(coordinates)


def blocks(centres: np.ndarray, rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows of triangles that lie together, halved along the longest side until they are at most ``size``."""
    if len(rows) <= size:
        return [np.sort(rows)]
    inside = centres[rows]
    axis = int(np.argmax(inside.max(0) - inside.min(0)))
    order = rows[np.argsort(inside[:, axis], kind="stable")]
    half = len(order) // 2
    return [*blocks(centres, order[:half], size), *blocks(centres, order[half:], size)]


def main() -> None:
    """From standard input to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # who called says that it was ended
    given = np.load(io.BytesIO(sys.stdin.buffer.read()))
    rows, faces, coordinates = unwrapped(given["vertices"], given["faces"], int(given["block"]))
    made = io.BytesIO()
    np.savez(made, rows=rows, faces=faces, coordinates=coordinates)
    sys.stdout.buffer.write(made.getvalue())


if __name__ == "__main__":
    main()
