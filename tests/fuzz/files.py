"""Files that are no captures, small and good: scenes of runs, meshes, points, and signals; and what reads each.

``captures.py`` damages them as it does captures. A scene is written without its checksum, as a file of another
program is: with it, whatever is damaged is refused before anything is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from scenekit.assets.distances import write_distances
from scenekit.assets.meshes.files import write_mesh
from scenekit.assets.meshes.surface import Mesh, library
from scenekit.assets.run import SCENE, write_recipe, write_scene
from scenekit.assets.tensors import read_tensors
from scenekit.assets.web.beside import shape_of_file
from scenekit.cli.info import describe
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.data import synthetic
from scenekit.data.ply import points_file
from scenekit.data.signals import open_signal
from scenekit.data.signals.distances import Frame, SampledSurface
from scenekit.data.signals.radiance import write_radiance
from scenekit.data.signals.signal import Points
from scenekit.data.signals.surface import SurfaceSignal
from scenekit.recipes import load
from tests.conformance.small import small_session
from tests.data.signals.volumes import nrrd

HEIGHT, WIDTH = 4, 8


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        write: a good one in a folder that is there.
        read: what a command does with it; raises BadInput, or AssertionError for what should have been refused.
        needs: packages of an extra.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    needs: tuple[str, ...] = ()


def _run(representation: str) -> Kind:
    def write(folder: Path) -> Path:
        scene = small_session(representation, synthetic.make(4, (8, 8)), 1).scene
        write_recipe(folder, scene.recipe)
        write_scene(folder, scene)
        save_file(read_tensors(folder / SCENE), folder / SCENE)
        return folder / SCENE

    def read(file: Path) -> None:
        scene = load(file.parent)
        assert scene.cameras.world_from_camera.isfinite().all(), "poses"
        assert scene.cameras.intrinsics.isfinite().all(), "intrinsics"

    return Kind(write, read)


def _ball() -> Mesh:
    """A closed octahedron with a colour at each vertex."""
    vertices = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    faces = torch.tensor([[0, 1, 2], [0, 2, 4], [0, 4, 5], [0, 5, 1], [3, 2, 1], [3, 4, 2], [3, 5, 4], [3, 1, 5]])
    return Mesh(vertices, faces, vertices.float().abs())


def _textured() -> Mesh:
    ball = _ball()
    texture = torch.linspace(0, 1, 8 * 8 * 3).reshape(8, 8, 3)
    return Mesh(ball.vertices, ball.faces, coordinates=ball.vertices[:, :2].abs(), texture=texture)


def _mesh(suffix: str, mesh: Callable[[], Mesh]) -> Kind:
    def write(folder: Path) -> Path:
        write_mesh(folder / f"mesh{suffix}", mesh())
        return folder / f"mesh{suffix}"

    return Kind(write, _read_shape, ("trimesh",))


def _read_shape(file: Path) -> None:
    shape = shape_of_file(file)
    if shape is None:
        raise BadInput.of(file, wanted="a mesh or points", found="neither", remedy="give another")
    assert shape.positions.isfinite().all(), "positions"
    assert shape.colors.isfinite().all(), "colours"
    if len(shape.triangles):
        assert 0 <= int(shape.triangles.min()) <= int(shape.triangles.max()) < len(shape.positions), "triangles"
    describe(str(file))


def _points(folder: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    cloud = PointCloud(torch.randn(20, 3, generator=generator).double(), torch.rand(20, 3, generator=generator))
    (folder / "points.ply").write_bytes(points_file(cloud))
    return folder / "points.ply"


def _signal(name: str, write: Callable[[Path], object], *needs: str) -> Kind:
    def written(folder: Path) -> Path:
        write(folder / name)
        return folder / name

    return Kind(written, _read_signal, needs)


def _read_signal(file: Path) -> None:
    signal = open_signal(file)
    if isinstance(signal, SurfaceSignal):  # of which training draws half a million points
        found = signal.on_surface(64, torch.Generator().manual_seed(0))
        signal.distances(found)
    else:
        found = signal.sample(64, torch.Generator().manual_seed(0)).values
    assert found.isfinite().all(), "values"


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _picture(file: Path) -> None:
    Image.fromarray(_pixels(HEIGHT, WIDTH, 3)).save(file)


def _linear(file: Path) -> None:
    light = torch.from_numpy(_pixels(HEIGHT, WIDTH, 3)).float() / 64
    if file.suffix == ".hdr":
        file.write_bytes(write_radiance(light))
        return
    openexr = library("OpenEXR")
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, {"RGB": light.numpy()}).write(str(file))


def _distances(file: Path) -> None:
    positions = torch.from_numpy(_pixels(40, 3)).float() / 255
    around = Points(positions, positions.norm(dim=-1, keepdim=True) - 0.5)
    write_distances(file, SampledSurface("mesh.ply", Frame(1.0, (0.0, 0.0, 0.0)), around, around))


def _stl(file: Path) -> None:
    library("trimesh").Trimesh(_ball().vertices.numpy(), _ball().faces.numpy()).export(file)


FILES: dict[str, Kind] = {
    "scene_of_splats": _run("gaussians"),
    "scene_of_a_field": _run("hash_grid"),
    "mesh_ply": _mesh(".ply", _ball),
    "mesh_glb": _mesh(".glb", _textured),
    "mesh_obj": _mesh(".obj", _ball),
    "points": Kind(_points, _read_shape),
    "picture_png": _signal("a.png", _picture),
    "picture_jpg": _signal("a.jpg", _picture),
    "panorama_hdr": _signal("a.hdr", _linear),
    "panorama_exr": _signal("a.exr", _linear, "OpenEXR"),
    "volume_npy": _signal("a.npy", lambda file: np.save(file, _pixels(3, 4, 5, 4))),
    "volume_nrrd": _signal("a.nrrd", lambda file: nrrd(file, _pixels(3, 4, 5).astype(np.float32))),
    "volume_packed": _signal("a.nrrd", lambda file: nrrd(file, _pixels(3, 4, 5).astype(np.float32), encoding="gzip")),
    "surface_stl": _signal("a.stl", _stl, "trimesh", "open3d"),
    "distances": _signal("a.npz", _distances),
}
