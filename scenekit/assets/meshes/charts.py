"""Charts: a mesh cut into pieces that lie flat in a texture."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import torch
from torch import Tensor

from scenekit.assets.meshes import unwrap
from scenekit.assets.meshes.surface import Mesh, library

# xatlas takes time quadratic in the triangles of one mesh: 56 s for 50,000 of a noisy surface, 1 s in such blocks. With
# smaller ones there are more seams: these have one chart in ten more than that surface has without blocks.
BLOCK = 2000


def charted(mesh: Mesh, block: int = BLOCK) -> tuple[Mesh, Tensor]:
    """The mesh with coordinates in a texture, and the old vertex of each of its vertices: seams double them."""
    library("xatlas")
    given = io.BytesIO()
    np.savez(given, vertices=mesh.vertices.float().numpy(), faces=mesh.faces.numpy(), block=block)
    program = [sys.executable, "-P", unwrap.__file__]  # without its folder among those that are imported from
    made = subprocess.run(program, input=given.getvalue(), stdout=subprocess.PIPE, check=True)
    found = np.load(io.BytesIO(made.stdout))
    rows, faces = (torch.from_numpy(found[name].astype(np.int64)) for name in ("rows", "faces"))
    return Mesh(mesh.vertices[rows], faces, coordinates=torch.from_numpy(found["coordinates"]).double()), rows
