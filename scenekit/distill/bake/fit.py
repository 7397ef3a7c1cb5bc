"""Any field becomes a baked one: filled in from what it says, then distilled against what it shows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scenekit.core.bounds import Bounds, expand
from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.checks import BadInput
from scenekit.core.protocols import EVAL, Context, Field, ParameterGroup
from scenekit.core.rays import Samples
from scenekit.distill.bake.blocks import BLOCK, MOST_BLOCKS, Blocks, blocks_where, finest_blocks
from scenekit.distill.bake.field import DENSITY_REACH, FEATURE_REACH, BakedField
from scenekit.distill.bake.renderer import BakedRenderer, step_rule
from scenekit.kernels.march import StepRule
from scenekit.renderers.scene import Scene
from scenekit.renderers.volume import VolumeRenderer
from scenekit.training.objective import Outcome, counted
from scenekit.training.steps import Budget, Step, Training, steps

ASKED = 1 << 17  # points of the teacher at once
CPU_RAYS, GPU_RAYS = 1 << 12, 1 << 15  # of a step
TRIES = 8  # points asked in a cell, and about a vertex


@dataclass(frozen=True)
class Baking:
    """How fine a baked field is, and how long it learns.

    Attributes:
        resolution: cells along a side of the sparse grid, a multiple of 8; where not given, the finest of 512, 384, 256
            and 128 that makes a page of about 50 MB or less.
        planes: vertices along a side of each plane.
        march_steps: steps across the diagonal of the inner cube.
        steps: of distillation.
        rays: a step of it; where not given, 4,096 on a CPU and 32,768 on a GPU.
        rounded_from: progress from which the field learns with the rounding to bytes that a page will see.
        moved: how far teacher's cameras stray from the photographs', as a share of their mean distance to the middle.
        thin: optical thickness of a step below which a cell is left out.
        seed: of all randomness.
    """

    resolution: int | None = None
    planes: int = 512
    march_steps: int = 768
    steps: int = 2000
    rays: int | None = None
    rounded_from: float = 0.6
    moved: float = 0.1
    thin: float = 0.003
    seed: int = 0


def bake(scene: Scene, baking: Baking | None = None, report: Callable[[Step], None] | None = None) -> BakedRenderer:
    """A renderer whose field a page can draw, taught by ``scene``, where that is; no photograph is needed.

    Raises BadInput where the scene is no field, or too large for the resolution.
    """
    baking = baking or Baking()
    teacher = scene.renderer
    if not isinstance(teacher, VolumeRenderer):
        raise BadInput.of(
            "bake", wanted="a field", found=type(teacher).__name__, remedy="export it as what it is, or convert it"
        )
    generator = torch.Generator(scene.device).manual_seed(baking.seed)
    cameras = scene.cameras_in_scene(scene.cameras)
    renderer = begin(teacher, cameras, baking, generator)
    objective = TeacherRays(teacher, renderer, cameras, baking)
    for step in steps(Training(objective, Budget(steps=baking.steps), generator)):
        if report is not None:
            report(step)
    renderer.field.rounded = True
    return renderer


@torch.no_grad()
def begin(
    teacher: VolumeRenderer, cameras: Cameras, baking: Baking, generator: torch.Generator | None = None
) -> BakedRenderer:
    """Blocks where the teacher has something, every vertex with its mean density and colour there."""
    bounds, blocks, occupied, rule = divided(teacher, baking, generator)
    field = BakedField(bounds, blocks, baking.planes, rule.smallest, generator)
    field.grid.copy_(_vertex_values(teacher.field, bounds, blocks, cameras, rule.smallest, generator))
    return BakedRenderer(field, occupied, rule)


@torch.no_grad()
def divided(
    teacher: VolumeRenderer, baking: Baking, generator: torch.Generator | None = None
) -> tuple[Bounds, Blocks, Bool[Tensor, "K G G G"], StepRule]:
    """Where a baked field has blocks and rays are sampled; raises BadInput where these would be none, or too many."""
    extent = teacher.field.bounds.extent
    # Beyond the inner cube a contracted grid spends its cells where photographs look.
    bounds = Bounds(extent, extent > 1, teacher.field.bounds.near)
    rule = step_rule(extent, baking.march_steps, teacher.marching.grid, teacher.marching.cone)
    occupied = pruned(teacher.field, teacher.occupancy.occupied, baking.thin / rule.smallest, generator)
    asked = baking.resolution
    blocks = finest_blocks(bounds, occupied) if asked is None else blocks_where(bounds, occupied, asked)
    if not 0 < len(blocks) <= MOST_BLOCKS or blocks.resolution % BLOCK:
        found = f"{len(blocks)} blocks at resolution {blocks.resolution}"
        raise BadInput.of("bake", wanted=f"1 to {MOST_BLOCKS} blocks", found=found, remedy="change the resolution")
    return bounds, blocks, occupied, rule


@dataclass(frozen=True)
class Taught:
    """Rays, what the teacher shows of them, and colours behind them."""

    cameras: Cameras
    pixels: Pixels
    color: Float[Tensor, "R 3"]
    opacity: Float[Tensor, " R"]
    behind: Float[Tensor, "R 3"]


class TeacherRays:
    """What a baked field learns from: rays near the photographs' cameras, as the teacher renders them."""

    def __init__(self, teacher: VolumeRenderer, student: BakedRenderer, cameras: Cameras, baking: Baking) -> None:
        self.teacher = teacher
        self.student = student
        self.cameras = cameras
        self.baking = baking
        centres = cameras.centres
        self._device = centres.device
        self._sizes = torch.tensor(cameras.sizes, dtype=torch.float32, device=self._device)
        self._rays = baking.rays or (GPU_RAYS if centres.is_cuda else CPU_RAYS)
        self._stray = baking.moved * float((centres - centres.mean(0)).norm(dim=-1).mean())

    def next(self, context: Context) -> Taught:
        """Rays, and what the teacher sees along them."""
        cameras, pixels = self._drawn(context.generator)
        with torch.no_grad():
            wanted = self.teacher.render(cameras, pixels, context=EVAL)
        behind = torch.rand(len(pixels), 3, generator=context.generator, device=self._device)
        return Taught(cameras, pixels, wanted.color, wanted.opacity, behind)

    def losses(self, look: Taught, context: Context) -> Outcome:
        """Squared differences over random backgrounds, so that opacities agree too."""
        self.student.field.rounded = context.progress >= self.baking.rounded_from
        found = self.student.render(look.cameras, look.pixels, context=context)
        difference = found.color - look.color + (look.opacity - found.opacity)[:, None] * look.behind
        squared = difference.square().mean()
        return Outcome(
            {"color": squared}, squared.detach(), counted(found.trace["samples"]), "samples", rendering=found
        )

    def note(self, look: Taught, outcome: Outcome) -> None:
        """What was found does not change what is looked at."""

    def feedback(self, work: int, served: float) -> None:
        """As many rays in every step."""

    def stage(self, look: Taught, context: Context) -> Hashable:
        """Steps are as long as their rays are: none is like another."""
        return None

    def probe(self, context: Context) -> float:
        """On rays of its own."""
        own = replace(context, generator=torch.Generator(self._device).manual_seed(0))
        with torch.no_grad():
            return float(self.losses(self.next(own), own).squared)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The student's."""
        return self.student.parameter_groups()

    def state_dict(self) -> dict[str, Any]:
        """The student's tensors."""
        return dict(self.student.state_dict())

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object:
        """Into the student."""
        return self.student.load_state_dict(state_dict)

    def _drawn(self, generator: torch.Generator | None) -> tuple[Cameras, Pixels]:
        count, rays, device = len(self.cameras), self._rays, self._device
        shift = torch.randn(count, 3, generator=generator, device=device) * self._stray
        poses = self.cameras.world_from_camera.clone()
        poses[..., 3] += shift * (torch.rand(count, 1, generator=generator, device=device) < 0.5)
        owner = torch.randint(count, (rays,), generator=generator, device=device)
        places = torch.rand(rays, 2, generator=generator, device=device) * self._sizes[owner]
        return replace(self.cameras, world_from_camera=poses), Pixels(owner, places)


@torch.no_grad()
def pruned(
    field: Field, occupied: Bool[Tensor, "K G G G"], least: float, generator: torch.Generator | None
) -> Bool[Tensor, "K G G G"]:
    """The occupied cells in which the field is anywhere denser than ``least``, and their neighbours among them."""
    grid, kept = occupied.shape[1], torch.zeros_like(occupied)
    for k, cascade in enumerate(occupied):
        cells = cascade.nonzero()
        densest = torch.zeros(len(cells), device=cells.device)
        for _ in range(TRIES):
            inside = torch.rand(len(cells), 3, generator=generator, device=cells.device)
            places = ((cells + inside) * (2 / grid) - 1) * 2.0**k
            densest = torch.maximum(densest, _density(field, places))
        kept[k][cells[densest > least].unbind(-1)] = True
    wide = torch.nn.functional.max_pool3d(kept[:, None].float(), 3, 1, 1)[:, 0] > 0
    return nested(wide & occupied)


def nested(occupied: Bool[Tensor, "K G G G"]) -> Bool[Tensor, "K G G G"]:
    """With every coarse cell occupied that holds an occupied finer one: what is empty may then be leapt over."""
    filled, grid = occupied.clone(), occupied.shape[1]
    inner = slice(grid // 4, grid // 4 + grid // 2)
    for k in range(len(filled) - 1):
        filled[k + 1, inner, inner, inner] |= torch.nn.functional.max_pool3d(filled[k][None].float(), 2)[0] > 0
    return filled


def _density(field: Field, places: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
    return (
        torch.cat([field.density(_samples(some))[0] for some in places.split(ASKED)]) if len(places) else places[:, 0]
    )


def _samples(places: Tensor, directions: Tensor | None = None) -> Samples:
    if directions is None:
        directions = torch.zeros_like(places)
        directions[:, 2] = 1
    return Samples(places, directions, torch.full_like(places[:, 0], 1e-3))


def _vertex_values(
    field: Field,
    bounds: Bounds,
    blocks: Blocks,
    cameras: Cameras,
    unit: float,
    generator: torch.Generator | None,
) -> Float[Tensor, "V 8"]:
    """Logarithm of the mean density about each vertex, logit of the mean colour towards cameras, no features."""
    device = blocks.places.device
    values = torch.zeros(len(blocks.places), 8, device=device)
    for rows in torch.arange(len(values), device=device).split(ASKED):
        thickness, colors = torch.zeros(len(rows), device=device), torch.zeros(len(rows), 3, device=device)
        for _ in range(TRIES):
            off = torch.rand(len(rows), 3, generator=generator, device=device) - 0.5
            cells = ((blocks.places[rows] + off) / blocks.resolution * 2 - 1) * bounds.field_extent
            places = expand(cells) if bounds.contracted else cells
            seen_from = torch.randint(len(cameras), (len(rows),), generator=generator, device=device)
            centres = cameras.centres[seen_from]
            samples = _samples(places, torch.nn.functional.normalize(places - centres, dim=-1))
            density, features = field.density(samples)
            alpha = -torch.expm1(-density * unit) + 1e-6
            thickness += alpha / TRIES
            colors += alpha[:, None] * field.color(features, samples)
        mean = colors / (thickness * TRIES)[:, None]
        values[rows, 0] = (-torch.log1p(-thickness.clamp(max=1 - 1e-6))).log().clamp(min=-DENSITY_REACH)
        values[rows, 1:4] = mean.clamp(1e-3, 1 - 1e-3).logit().clamp(-FEATURE_REACH, FEATURE_REACH)
    return values
