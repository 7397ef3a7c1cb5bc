"""From a mesh to photographs, to a scene, and back to a mesh: how much of a known surface is found again.

    python benchmarks/armadillo_mesh.py --mesh armadillo.obj -o runs/armadillo [--representation gaussians]

Photographs are rays cast at the mesh (two lights, a smooth pattern of colours, alpha, 2x2 samples a pixel), written
as a Blender capture. The scene is trained on them for a fixed number of steps, meshed watertight, and compared with
the mesh it came from. Prints one JSON object.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from PIL import Image
from torch import Tensor

import scenekit as sk
from scenekit.assets.meshes.appearance import ray_scene
from scenekit.assets.meshes.cleaning import to_open3d
from scenekit.assets.meshes.compare import compare
from scenekit.assets.meshes.files import read_mesh, write_mesh
from scenekit.assets.meshes.surface import Mesh, library, vertex_normals
from scenekit.assets.meshes.views import FIELD_OF_VIEW, cameras_around
from scenekit.core.cameras import Cameras, every_pixel
from scenekit.core.cloud import PointCloud
from scenekit.kernels.rays import rays_of
from scenekit.recipes import SplatFitting, VolumeFitting, prepare
from scenekit.recipes.configs import Fitting
from scenekit.renderers.volume import Marching
from scenekit.representations.networks import Networks
from scenekit.training.steps import steps

LIGHTS = torch.nn.functional.normalize(torch.tensor([[1.0, 0.6, 0.8], [-0.7, 0.5, -0.9]]), dim=-1)
STRENGTHS = (0.6, 0.4)
AMBIENT = 0.35


@dataclass(frozen=True)
class Options:
    """What to run.

    Attributes:
        mesh: the surface to find again.
        output: folder for the capture and the meshes.
        representation: what to train.
        steps: of training.
        gaussians: at most, and at the start.
        photographs: to train on, spread over a sphere.
        size: of a photograph, in pixels.
        meshing: how the trained scene is meshed; always watertight.
    """

    mesh: Path
    output: Path
    representation: Literal["gaussians", "hash_grid"] = "gaussians"
    steps: int = 1500
    gaussians: int = 20_000
    photographs: int = 80
    size: int = 256
    meshing: sk.Meshing = field(default_factory=lambda: sk.Meshing(resolution=192, views=80))


def main(options: Options) -> None:
    truth = patterned(read_mesh(options.mesh))
    capture = options.output / "capture"
    if not (capture / "transforms_train.json").exists():
        write_capture(truth, capture, options.photographs, options.size)
    started = time.process_time()
    scene = train(capture, options)
    trained = time.process_time()
    made = sk.mesh(scene, replace(options.meshing, watertight=True))
    meshed = time.process_time()
    write_mesh(options.output / f"{options.representation}.glb", made)
    write_mesh(options.output / f"{options.representation}.ply", made)
    figures = {
        "representation": options.representation,
        "photographs": options.photographs,
        "size": options.size,
        "steps": options.steps,
        "method": options.meshing.method,
        "resolution": options.meshing.resolution,
        "faces": len(made),
        "open3d_watertight": to_open3d(made).is_watertight(),
        "cpu_seconds": {"training": round(trained - started, 1), "meshing": round(meshed - trained, 1)},
        **asdict(compare(made, truth)),
    }
    print(json.dumps(figures, indent=1))


def patterned(mesh: Mesh) -> Mesh:
    """The mesh as it looks, matt and lit: colours that vary smoothly over it, so that there is something to see."""
    middle = mesh.vertices.mean(0)
    side = (mesh.vertices - middle).abs().max()
    waves = torch.sin(9 * (mesh.vertices - middle) / side + torch.tensor([0.0, 1.0, 2.0]))
    light = AMBIENT + (vertex_normals(mesh).float() @ LIGHTS.T).clamp(min=0) @ torch.tensor(STRENGTHS)
    return replace(mesh, colors=((0.62 + 0.3 * waves).float() * light[:, None]).clamp(0, 1))


def picture(mesh: Mesh, camera: Cameras) -> Tensor:
    """What a camera sees of the mesh: RGBA in [0, 1], straight alpha."""
    open3d = library("open3d")
    width, height = camera.sizes[0]
    fine = camera.resized([(2 * width, 2 * height)])
    rays = rays_of(fine, every_pixel(fine))
    hits = ray_scene(mesh).cast_rays(open3d.core.Tensor(torch.cat([rays.origins, rays.directions], -1).float().numpy()))
    alpha = torch.from_numpy(hits["t_hit"].numpy()).isfinite().float()
    triangle = torch.from_numpy(hits["primitive_ids"].numpy().astype("int64")).clamp(max=len(mesh) - 1)
    b, c = torch.from_numpy(hits["primitive_uvs"].numpy()).unbind(-1)
    shares, corners = torch.stack([1 - b - c, b, c], -1)[..., None], mesh.faces[triangle]
    assert mesh.colors is not None
    color = (shares * mesh.colors[corners]).sum(1)
    layers = torch.cat([color * alpha[:, None], alpha[:, None]], -1).reshape(2 * height, 2 * width, 4)
    small = torch.nn.functional.avg_pool2d(layers.permute(2, 0, 1), 2).permute(1, 2, 0)
    return torch.cat([small[..., :3] / small[..., 3:].clamp(min=1e-6), small[..., 3:]], -1)


def write_capture(mesh: Mesh, folder: Path, count: int, size: int) -> None:
    """A Blender capture: ``count`` photographs to train on and a tenth as many held out."""
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    radius = float((high - low).norm()) / 2
    for split, number in (("train", count), ("test", max(1, count // 10))):
        cameras = cameras_around((low + high) / 2, radius, number, size)
        frames = []
        (folder / split).mkdir(parents=True, exist_ok=True)
        for index in range(number):
            pixels = (picture(mesh, cameras[index]) * 255).round().to(torch.uint8)
            Image.fromarray(pixels.numpy(), "RGBA").save(folder / split / f"r_{index:03d}.png")
            pose = torch.eye(4, dtype=torch.float64)
            pose[:3] = cameras.world_from_camera[index]
            pose[:, 1:3] *= -1  # Blender's cameras look along -z with y up
            frames.append({"file_path": f"./{split}/r_{index:03d}", "transform_matrix": pose.tolist()})
        values = {"camera_angle_x": FIELD_OF_VIEW, "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(values, indent=1))


def train(capture: Path, options: Options) -> sk.Scene:
    """A short training with settings for two cores."""
    fitting = Fitting(steps=options.steps)
    if options.representation == "gaussians":
        config = sk.Gaussians(max_count=options.gaussians, random_count=options.gaussians, harmonics_degree=1)
        family = SplatFitting(coarse_until=0.4)
    else:
        config = sk.HashGrid(log2_table=17, finest=512, networks=Networks(width=32))
        family = VolumeFitting(2**17, Marching(steps=256, coarse_until=0.1, grid=64), 2**17)
    # Smooth surfaces give few features to triangulate: Gaussians begin at random.
    nothing = PointCloud(torch.zeros(0, 3), torch.zeros(0, 3))
    session = prepare(replace(sk.open_capture(capture), points=nothing), config, fitting, family)
    for step in steps(session.training):
        if step.index % 100 == 0:
            print(f"step {step.index}: {step.psnr:.2f} dB", flush=True)
    return session.scene


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
