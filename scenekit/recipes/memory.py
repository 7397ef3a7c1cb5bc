"""What a training will take of memory, said before it begins, and what would make it fit.

Where it runs on a GPU there are two plans: of the GPU's memory, and of the main memory beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras
from scenekit.core.capabilities import Growing
from scenekit.core.checks import BadInput
from scenekit.core.cloud import PointCloud
from scenekit.core.protocols import Encoding, Renderer
from scenekit.data import Capture
from scenekit.data.images import stays
from scenekit.data.memory import memory_in_reach
from scenekit.data.store import StoredImages, bytes_of
from scenekit.recipes.configs import SplatFitting, VolumeFitting
from scenekit.recipes.families import FAMILIES
from scenekit.recipes.family import Surroundings
from scenekit.recipes.load import configs_of
from scenekit.recipes.point_plans import MATCHER, triangulation_bytes
from scenekit.recipes.train import Session, wants_points
from scenekit.renderers.background import SphereBackground
from scenekit.renderers.occupancy import JUDGED
from scenekit.renderers.scene import Scene, home_of
from scenekit.renderers.volume import VolumeRenderer
from scenekit.representations.factors import Factors
from scenekit.representations.gaussians import Gaussians
from scenekit.representations.grid_encoding import GridEncoding
from scenekit.representations.mlp import FrequencyNetwork
from scenekit.representations.networks import ColorLayers, RadianceNetworks
from scenekit.training.corrections import BilateralGrids, DepthPrior, Exposures, NormalPrior
from scenekit.training.hosted import Hosted
from scenekit.training.photographs import Photographs

GIB = 2**30
PROCESS = 0.27 * GIB  # python, torch, and their libraries
PROCESS_WITH_GPU = 1.25 * GIB  # the same with the driver's, and buffers that a GPU copies from
# Of the GPU's own memory: the driver's context and kernels (757 to 840 MiB of an H200), what the allocator rounds up.
ON_GPU = 0.8 * GIB
RECORDED = 2  # steps of which a GPU holds the memory: one as it is first run, and one as it is recorded
CELL_BYTES = 250  # of a cell of the occupancy grid that is looked at, while it is found out where nothing can be
CELL_COPIES = 3  # of the grid of all cascades: itself, its update, and what a checkpoint copies
# Of each parameter: itself, its gradient, two moments, its average or a transient of the step, and what a checkpoint
# copies of these while it is written.
COPIES = 8
# Of each parameter on a GPU: itself, two moments, its average or what densification makes anew; the first three as they
# were at two earlier steps, to which training goes back when it diverges; and gradients, of a step as it is first run
# and of recorded ones.
COPIES_ON_GPU = 4 + 2 * 3 + 2
AVERAGED = 2  # more of these where an average is kept: it is in those earlier states as well
MERGED = (
    6  # of each parameter of a divided training, in the first process's main memory: gathered, and a checkpoint's copy
)
COPIES_BESIDE = 5  # of each parameter in main memory, when it is on a GPU: as built, and what a checkpoint copies
AT_A_TIME = 2  # photographs that are decoded
DECODED, UNDISTORTED = 14, 44  # bytes of a pixel of a file meanwhile; where it is also resampled without its lens
BLOCK_BYTES = 12  # of a pixel, the largest block of these
RETURNED = 32 * 2**20  # bytes from which on a freed block goes back to the system; smaller ones stay with the process
PICTURE_BYTES = 10  # of a pixel of a teacher's picture: colour, opacity and depth in half precision
TAUGHT = 2  # of a teacher's parameters: as they were read, and in the modules that they went into
SAMPLE_FLOATS = 600  # of a volume's sample on its way forward and back: features, two networks, their gradients
GRID_FLOATS = 250  # the same of a grid on a CPU, whose fused ops keep what goes into them alone
BARE_FLOATS = 150  # the same of a field without networks
PRODUCT_FLOATS = 3  # of a component of factors: of a plane, of a line, and their product
USUAL_FEATURES, FEATURE_FLOATS = 32, 20  # features within that; of each more: planes keep what they are multiplied from
# Floats of a pixel when splats are compared with a photograph: it, with alpha and over its background, 7; colours,
# opacity, what is let through and how many splats were open, 6; what is over the background, 4; three maps of SSIM, 9;
# squared differences, 6. `tests/recipes/test_step_memory.py` counts these, and what corrections and a sky add to them.
COMPARED_FLOATS = 32
ADDED_FLOATS: dict[type, int] = {
    Exposures: 21,
    BilateralGrids: 51,
    DepthPrior: 14,
    NormalPrior: 34,
    SphereBackground: 448,
}
BLENDED_FLOATS = 16  # later, on the way back through blending: the photograph, what was blended, as much of gradients
PAIR_BYTES = 72  # of a splat in a tile then: sixteen sums over its pixels, where they go, and its place in the list
# Of Gaussians of fox, lego and bonsai, some 1.3 to 1.5 a splat, as each is somewhere, and 0.2 to 1.2 a pixel on top.
PAIRS_A_SPLAT, PAIRS_A_PIXEL = 1.5, 0.6
SPLAT_FLOATS = 50  # what a camera sees of a splat, twelve, as it is packed for the tiles, and the gradients of both


@dataclass(frozen=True)
class Plan:
    """Predicted bytes by what they are for, and the bytes that may be had; ``of`` says of which memory."""

    parts: Mapping[str, float]
    available: float
    of: str = "memory"

    @property
    def total(self) -> float:
        """All parts together."""
        return sum(self.parts.values())

    def sentence(self) -> str:
        """For the person at the terminal."""
        parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in self.parts.items())
        return f"{self.of}: predicted {self.total / GIB:.1f} GiB of {self.available / GIB:.1f} ({parts})"

    def check(self) -> None:
        """Raise BadInput, with what would make the run fit, where it will not."""
        if self.total <= self.available:
            return
        largest = max(self.parts, key=lambda name: self.parts[name])
        raise BadInput(
            f"{self.of}: wanted a run within {self.available / GIB:.1f} GiB, found a prediction of "
            f"{self.total / GIB:.1f} GiB, {self.parts[largest] / GIB:.1f} of it for {largest}; "
            f"{(REMEDIES | REMEDIES_OF_CONVERSIONS)[largest]}"
        )


REMEDIES = {
    "photographs": "decode them when they are needed with --cache 1, or shrink them with --downscale 2",
    "masks, depth and normals": "shrink them with the photographs, --downscale 2",
    "the beginning": "shrink the files of the photographs, or bring the points of a COLMAP model",
    "parameters": "choose a smaller table or fewer splats (--log2-table, --max-count)",
    "empty space": "tell it apart in coarser cells (--marching.grid 64)",
    "a step": "look at less in a step (--batch-samples, --batch-photographs, --downscale 2)",
    "the process": "close other programs",
}
REMEDIES_OF_CONVERSIONS = {
    "pictures": "look from fewer poses (--views 64), or leave photographs out (--no-photographs)",
    "the teacher": "close other programs",
    "opening them": "shrink the files of the photographs",
}


def plans_of(session: Session, limit: float | None = None) -> list[Plan]:
    """Predict the peaks of a training that is about to begin: of main memory, and of the GPU's where it is on one.

    ``limit`` of main memory in bytes, None for the memory in reach.
    """
    renderer, capture, processes = session.scene.renderer, session.capture, session.training.share.of
    representation, family_fitting = configs_of(session.scene.recipe, "recipe")
    images, companions = _photographs(capture, renderer), _companions(capture)
    copy = bytes_learnt(renderer, representation, processes)
    pixels = largest(capture.cameras)
    cells = cells_of(renderer, family_fitting)
    step = session.training.photographs * step_of(renderer, representation, family_fitting, pixels, _added(session))
    limit = memory_in_reach() if limit is None else limit
    device = session.scene.device
    triangulated = session.triangulation is not None and session.triangulation.wall_seconds > 0  # now, not before
    matcher = _matcher(capture, triangulated=triangulated)
    if device.type == "cpu":
        kept = COPIES * copy + _bytes_merged(session, copy)
        before = _beginning(capture, kept + cells + step, triangulated=triangulated)
        return [plan_of("memory", limit, images, companions, before, kept, cells, step, PROCESS + matcher)]
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    hosted = _is_hosted(session)
    main = images if hosted else bytes_of_photographs(capture)
    there = 0.0 if hosted else len(capture.train) / len(capture.images)  # those learnt from, beside all in the capture
    beside = COPIES_BESIDE * copy + _bytes_merged(session, copy)
    before = _beginning(capture, beside, triangulated=triangulated)
    on_gpu = (COPIES_ON_GPU + (0 if session.training.averages is None else AVERAGED)) * copy
    return [
        plan_of("memory", limit, main, companions, before, beside, 0, 0, PROCESS_WITH_GPU + matcher),
        plan_of("GPU memory", free, there * images, there * companions, 0, on_gpu, cells, RECORDED * step, ON_GPU),
    ]


def training_plan(capture: Capture, representation: Any, family_fitting: Any, limit: float) -> Plan:
    """The same of a training on a CPU that nobody has prepared."""
    inside = capture.cameras.moved(capture.scene_from_world).to(dtype=torch.float32)
    renderer = blank(representation, family_fitting, capture.bounds, inside)
    images, companions = _photographs(capture, renderer), _companions(capture)
    kept, cells, step = bytes_of_learning(renderer, representation, family_fitting, largest(capture.cameras))
    photographs = family_fitting.batch_photographs if isinstance(family_fitting, SplatFitting) else 1
    learning = (kept, cells, photographs * step)
    triangulated = FAMILIES[representation.renderer].needs_points and wants_points(capture)
    before = _beginning(capture, sum(learning), triangulated=triangulated)
    process = PROCESS + _matcher(capture, triangulated=triangulated)
    return plan_of("memory", limit, images, companions, before, *learning, process)


def conversion_plan(
    teacher: Scene, student: Renderer, configs: tuple[Any, Any], capture: Capture | None, looks: int, limit: float
) -> Plan:
    """Of a conversion on a CPU into a representation and a fitting, ``configs``.

    ``capture`` holds the photographs that it opens, ``looks`` is from how many poses pictures of the teacher are kept.
    """
    pixels = largest(teacher.cameras)
    kept, cells, step = bytes_of_learning(student, *configs, pixels)
    parts = {
        "photographs": 0.0 if capture is None else bytes_of_photographs(capture),
        "pictures": float(PICTURE_BYTES * looks * pixels),
        "opening them": 0.0 if capture is None else left_of_opening(capture, cells + step),
        "the teacher": TAUGHT * bytes_learnt(teacher.renderer) + cells_kept(teacher.renderer),
        "parameters": kept,
        "empty space": cells,
        "a step": step,
        "the process": PROCESS,
    }
    return Plan({name: size for name, size in parts.items() if size}, limit)


def blank(representation: Any, family_fitting: Any, bounds: Bounds, inside: Cameras) -> Renderer:
    """What a training would begin with, but for the points that splats start from."""
    around = Surroundings(bounds, inside, PointCloud(torch.zeros(1, 3), torch.zeros(1, 3)))
    return FAMILIES[representation.renderer].build(representation, family_fitting, around)


def bytes_of_learning(
    renderer: Renderer, representation: Any, family_fitting: Any, pixels: int
) -> tuple[float, float, float]:
    """Of all copies of parameters, of empty space, and of one step over pictures of so many pixels, on a CPU."""
    kept = COPIES * bytes_learnt(renderer, representation)
    return kept, cells_of(renderer, family_fitting), step_of(renderer, representation, family_fitting, pixels)


def plan_of(of: str, limit: float, *sizes: float) -> Plan:
    """Sizes in the order of REMEDIES."""
    return Plan({name: size for name, size in zip(REMEDIES, sizes, strict=True) if size}, limit, of)


def _beginning(capture: Capture, later: float, *, triangulated: bool) -> float:
    """What opening photographs takes beyond ``later`` bytes for other things, and triangulating points, which opens
    them once more: all of that is given back before training."""
    opening = 0.0 if isinstance(capture.images, StoredImages) else bytes_of_opening(capture)
    return max(0.0, opening + (triangulation_bytes(capture) if triangulated else 0.0) - later)


def _is_hosted(session: Session) -> bool:
    """Whether batches are drawn in main memory and brought to a GPU."""
    objective = session.training.objective
    return isinstance(objective, Photographs) and isinstance(objective.batches, Hosted)


def _photographs(capture: Capture, renderer: Renderer) -> float:
    """Where batches are drawn: all of them and, for fields, a second copy in one row; or those that are decoded."""
    in_a_row = renderer.batching == "pixels" and not isinstance(capture.images, StoredImages)
    return (2 if in_a_row else 1) * bytes_of_photographs(capture)


def bytes_of_photographs(capture: Capture) -> float:
    """All of them, or the cache and a photograph on its way in."""
    images = capture.images
    if isinstance(images, StoredImages):
        return float(images.cache_bytes + 3 * max(images.bytes_of(index) for index in range(len(images))))
    return float(bytes_of(images))


def bytes_of_opening(capture: Capture) -> float:
    """What it takes to decode its photographs, some at a time, besides what is kept of them."""
    if capture.source is None:
        return 0.0
    return float(AT_A_TIME * _pixels_of_files(capture) * (UNDISTORTED if _undistorts(capture) else DECODED))


def _undistorts(capture: Capture) -> bool:
    """Whether photographs are resampled without their lens."""
    photographs = [] if capture.source is None else capture.source.photographs
    return any(not stays(photograph.lens, capture.cameras.lenses is not None) for photograph in photographs)


def _matcher(capture: Capture, *, triangulated: bool) -> float:
    """Of pycolmap, where something asks for it: it stays with the process."""
    return MATCHER if triangulated or _undistorts(capture) else 0.0


def left_of_opening(capture: Capture, later: float) -> float:
    """What of that is had beyond ``later`` bytes for other things: large blocks are free for these, small ones stay."""
    opening = bytes_of_opening(capture)
    returned = capture.source is None or BLOCK_BYTES * _pixels_of_files(capture) >= RETURNED
    return max(0.0, opening - later) if returned else opening


def _pixels_of_files(capture: Capture) -> int:
    """Of the largest."""
    assert capture.source is not None
    return max(width * height for width, height in (photograph.lens.size for photograph in capture.source.photographs))


def largest(cameras: Cameras) -> int:
    """Pixels of the largest picture; 0 of no cameras."""
    return max((width * height for width, height in cameras.sizes), default=0)


def _companions(capture: Capture) -> float:
    kinds: list[tuple[Tensor, ...] | None] = [capture.masks, capture.depths, capture.normals]
    return float(sum(each.numel() * each.element_size() for kind in kinds if kind is not None for each in kind))


def bytes_learnt(renderer: Renderer, representation: Any = None, processes: int = 1) -> float:
    """Bytes of one copy of all parameters of a field that has grown; of as many splats as a representation allows."""
    tensors = [tensor for group in renderer.parameter_groups() for tensor in group.parameters.values()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if isinstance(renderer, VolumeRenderer) and isinstance(renderer.field, Growing):
        size *= renderer.field.most_parameters() / sum(tensor.numel() for tensor in tensors)
    if renderer.batching == "images" and representation is not None:
        count = max((len(tensor) for tensor in tensors), default=1) * processes
        size *= max(1.0, _most_splats(representation) / max(1, count))
    return float(size)


def _bytes_merged(session: Session, copy: float) -> float:
    """What the first of several processes takes to see all rows that they hold, beyond the copy of its own."""
    training = session.training
    whole = copy * training.share.of
    return MERGED * whole - MERGED / 2 * copy if training.division is not None and training.division.first else 0.0


def cells_of(renderer: Renderer, family_fitting: Any) -> float:
    """Bytes of the occupancy grid of a field: of all cascades, and of one while it is found out what no camera sees.

    That is over before the first step, which takes the same memory: only what is more than a step of it counts.
    """
    if not isinstance(renderer, VolumeRenderer):
        return 0.0
    once = CELL_BYTES * min(JUDGED, family_fitting.marching.grid**3) - step_of(renderer, None, family_fitting, 0)
    return CELL_COPIES * cells_kept(renderer) + max(0.0, once)


def cells_kept(renderer: Renderer) -> float:
    """Bytes of the occupancy grid of a field itself; 0 of another scene."""
    if not isinstance(renderer, VolumeRenderer):
        return 0.0
    return float(sum(tensor.numel() * tensor.element_size() for tensor in renderer.occupancy.state_dict().values()))


def _added(session: Session) -> int:
    """Floats of a pixel that corrections and a background add where whole photographs are compared."""
    parts = (*session.corrections, session.scene.background)
    return sum(floats for kind, floats in ADDED_FLOATS.items() for part in parts if isinstance(part, kind))


def step_of(renderer: Renderer, representation: Any, family_fitting: Any, pixels: int, added: int = 0) -> float:
    """Bytes of one step forward and back, over a photograph of so many pixels; ``added`` floats a pixel of it."""
    if renderer.batching == "pixels":
        asked = family_fitting.batch_samples if isinstance(family_fitting, VolumeFitting) else 0
        modules = list(renderer.modules()) if isinstance(renderer, nn.Module) else []
        # Fused networks keep what goes in alone; of others autograd keeps every layer's outputs.
        kept = sum(x.out_features for x in modules if isinstance(x, nn.Linear))
        kept += sum(x.weights[0].shape[1] for x in modules if isinstance(x, FrequencyNetwork))
        wide = 2 * kept + FEATURE_FLOATS * _more_features(renderer)
        wide += PRODUCT_FLOATS * sum(x.components for x in modules if isinstance(x, Factors))
        return float(4 * (_usual_floats(renderer, modules) + wide) * asked)
    splats = _most_splats(representation)
    compared = 4 * (COMPARED_FLOATS + added) * pixels
    pairs = PAIRS_A_SPLAT * splats + PAIRS_A_PIXEL * pixels
    return max(compared, 4 * (BLENDED_FLOATS * pixels + SPLAT_FLOATS * splats) + PAIR_BYTES * pairs)


def _usual_floats(renderer: Renderer, modules: Sequence[nn.Module]) -> int:
    """Of a sample, whatever layers and features there are."""
    if not any(isinstance(x, (ColorLayers, RadianceNetworks)) for x in modules):
        return BARE_FLOATS
    of_grid = any(isinstance(x, GridEncoding) for x in modules)
    return GRID_FLOATS if of_grid and home_of(renderer).type == "cpu" else SAMPLE_FLOATS


def _more_features(renderer: Renderer) -> int:
    """How many features a sample has of its field's encoding beyond those of a hash grid."""
    field = renderer.field if isinstance(renderer, VolumeRenderer) else None
    encoding = getattr(field, "encoding", None)
    return max(0, encoding.features - USUAL_FEATURES) if isinstance(encoding, Encoding) else 0


def _most_splats(representation: Any) -> int:
    return representation.max_count if isinstance(representation, Gaussians) else 0
