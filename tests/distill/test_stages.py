"""Each stage on a teacher that is known exactly."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, Pixels
from scenekit.core.checks import BadInput
from scenekit.core.protocols import Context
from scenekit.core.rays import Samples
from scenekit.distill.active import PosePool, RaySource
from scenekit.distill.examine import occupied_cells, require_capacity
from scenekit.distill.inherit import carve, inherit, inherit_occupancy, seen_through, widened
from scenekit.distill.objective import Distillation, Looking
from scenekit.distill.pictures import Gallery, SinglePixels, WholePictures
from scenekit.distill.plan import Distilling, Stage, plan
from scenekit.distill.poses import Clearance, PoseSampler
from scenekit.distill.rendering import Rendered
from scenekit.distill.shared import SharedSamples, clamped_difference, heaviest
from scenekit.distill.surfaces import surface_points
from scenekit.kernels.march import Marched
from scenekit.renderers.background import GivenBackground
from scenekit.renderers.occupancy import OccupancyGrid
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations import DenseGrid, Gaussians, HashGrid
from scenekit.representations.networks import Networks
from scenekit.training.losses import huber, l1_dssim
from scenekit.training.objective import Outcome
from tests.distill.teachers import MARCHING, RADIUS, ball_renderer, grid, ring

TINY = HashGrid(levels=3, log2_table=10, finest=64, networks=Networks(width=16))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def student(config: HashGrid | DenseGrid = TINY, seed: int = 0) -> VolumeRenderer:
    return VolumeRenderer(config.build(Bounds(), generator(seed)), MARCHING)


def splats() -> SplatRenderer:
    cameras = ring().to(dtype=torch.float32)
    cloud = surface_points(ball_renderer(), cameras, 500, generator())
    return SplatRenderer(Gaussians(harmonics_degree=0).build(cloud, Bounds(), cameras, generator()))


def test_stages_follow_from_what_both_can_do() -> None:
    one, other = student(), student(seed=1)
    inherit(one, other)
    assert [stage.name for stage in plan(one, other, Distilling()).stages] == ["features", "points", "rendering"]
    names = {
        (a, b): [stage.name for stage in plan(teacher, learner, Distilling()).stages]
        for a, teacher in (("field", student()), ("splats", splats()))
        for b, learner in (("field", student(seed=1)), ("other field", student(grid(16))), ("splats", splats()))
    }
    # Networks of equal shape that were not inherited make other colours of the same features.
    assert names["field", "field"] == ["points", "rendering"]
    assert names["field", "other field"] == ["points", "rendering"]
    assert names["splats", "field"] == names["field", "splats"] == names["splats", "splats"] == ["rendering"]
    assert plan(student(), student(grid(16)), Distilling()).shared
    assert not plan(splats(), student(), Distilling()).shared


class Counted(Looking):
    """Looks at nothing, and says which stage asked."""

    def next(self, stage: str, context: Context) -> str:
        return stage

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


def test_a_stage_ends_with_its_share_or_its_steps_and_goes_on_where_it_was() -> None:
    def distillation() -> Distillation:
        own = ring().to(dtype=torch.float32)
        sampler = PoseSampler(own, "hemisphere", lambda found: torch.ones(len(found), dtype=torch.bool))
        pool = PosePool(own, sampler, 0, False, generator())
        stages = (Stage("features", 0.15, 3), Stage("points", 0.25, 3), Stage("rendering", 1.0))
        return Distillation(student(), [(stage, Counted()) for stage in stages], pool)

    def names(of: Distillation, *progress: float) -> list[str]:
        return [of.next(Context(progress=at)).look for at in progress]

    assert names(distillation(), 0, 0.2, 0.24, 0.3) == ["features", "points", "points", "rendering"]
    slow = distillation()
    assert names(slow, 0, 0.01, 0.02, 0.03, 0.04) == ["features"] * 3 + ["points"] * 2
    resumed = distillation()
    resumed.load_state_dict(slow.state_dict())
    assert names(resumed, 0.05, 0.06) == ["points", "rendering"]


def test_networks_of_equal_shape_are_inherited_and_encodings_only_within_one_config() -> None:
    teacher, learner = student(), student(HashGrid(levels=3, log2_table=9, finest=64, networks=Networks(width=16)))
    teacher.field.networks.color_weights[0].data.fill_(0.25)
    copied = inherit(teacher, learner)
    assert copied
    assert all(name.startswith("networks.") for name in copied)
    assert bool((learner.field.networks.color_weights[0] == 0.25).all())
    wider = student(HashGrid(levels=3, log2_table=10, finest=64, networks=Networks(width=32)))
    assert inherit(teacher, wider) == ()
    twin = student()
    assert "encoding.table" in inherit(teacher, twin, everything=True)
    assert torch.equal(twin.field.encoding.table, teacher.field.encoding.table)


@pytest.mark.parametrize("cells", [16, 32, 64])
def test_occupancy_is_inherited_in_any_resolution(cells: int) -> None:
    teacher, learner = ball_renderer().occupancy, OccupancyGrid(1, cells)
    inherit_occupancy(teacher, learner)
    middle = (torch.arange(cells) + 0.5) * 2 / cells - 1
    radius = torch.stack(torch.meshgrid(middle, middle, middle, indexing="ij")).norm(dim=0)
    assert bool(learner.occupied[0][radius < RADIUS - 0.15].all())
    assert not learner.occupied[0][radius > RADIUS + 0.25].any()


@pytest.mark.parametrize("cascades", [1, 2])
def test_cells_that_are_looked_through_are_empty_for_good(cascades: int) -> None:
    cells, around = OccupancyGrid(cascades, 32), ring().to(dtype=torch.float32).resized([(128, 128)] * 12)
    carve(cells, ball_renderer(), around)
    radius = torch.stack(torch.meshgrid(*[(torch.arange(32) - 15.5) / 16] * 3, indexing="ij")).norm(dim=0)
    assert bool(cells.occupied[0][radius < RADIUS + 0.03].all())
    beside = (radius > RADIUS + 0.2) & (radius < 0.85)
    assert float(cells.occupied[0][beside].float().mean()) < 0.05
    for _ in range(3):
        cells.update(student().field, cells.cells, generator())  # dense anywhere
    assert not cells.occupied[0][cells.thickness[0] < 0].any()
    assert float((cells.thickness[0][beside] < 0).float().mean()) > 0.95


def test_no_splat_stands_in_a_cell_that_is_carved() -> None:
    renderer, cells = splats(), OccupancyGrid(1, 32)
    carve(cells, renderer, ring().to(dtype=torch.float32))
    places = ((renderer.primitives.means.detach() + 1) * 16).long().unbind(-1)
    assert bool(cells.occupied[0][places].all())
    assert float(cells.occupied.float().mean()) < 0.6


def test_a_ball_is_looked_through_only_where_all_of_its_picture_is_clear() -> None:
    """A single opaque pixel; balls of growing size at its edge, and one that the picture shows a half of."""
    camera = ring().to(dtype=torch.float32)[0]
    eye, forward = camera.centres[0], camera.forward[0]
    right = camera.world_from_camera[0, :, 0]
    opacity = torch.zeros(32, 32)
    opacity[16, 16] = 1.0
    looks = [(camera, widened(opacity))]
    pixel = 2.5 / 40  # at the distance of the origin
    beside = eye + 2.5 * forward + 8.5 * pixel * right

    def clear(centre: Tensor, radius: float) -> bool:
        return bool(seen_through(centre[None], radius, looks)[0])

    assert [clear(beside, radius * pixel) for radius in (0.5, 2.0, 9.0)] == [True, True, False]
    assert not clear(eye + 2.5 * forward, 0.5 * pixel)
    assert not clear(eye + 2.5 * forward + 15.5 * pixel * right, 2 * pixel)  # leaves the picture
    assert not clear(eye - 2.5 * forward, 0.5 * pixel)  # behind the camera


def test_surface_points_lie_on_the_surface_with_its_normals_and_colours() -> None:
    cloud = surface_points(ball_renderer(), ring().to(dtype=torch.float32), 800, generator())
    assert 300 < len(cloud) <= 800
    radius = cloud.positions.norm(dim=-1)
    assert float((radius - RADIUS).abs().median()) < 0.03
    outward = cloud.positions / radius[:, None]
    assert cloud.normals is not None
    assert float((cloud.normals * outward).sum(-1).abs().median()) > 0.9
    red = cloud.positions[:, 0] > 0.05
    assert float(cloud.colors[red, 0].mean()) > 0.8
    assert float(cloud.colors[~red & (cloud.positions[:, 0] < -0.05), 2].mean()) > 0.8


def test_differences_of_clamped_densities_keep_a_way_back_in() -> None:
    found = torch.tensor([-5.0, -5.0, 9.0, 9.0, 1.0], requires_grad=True)
    wanted = torch.tensor([-8.0, 3.0, 12.0, 2.0, 2.0])
    difference = clamped_difference(found, wanted, -2.0, 7.0)
    assert difference.tolist() == [0.0, -8.0, 0.0, 7.0, -1.0]
    difference.square().sum().backward()
    assert (found.grad != 0).tolist() == [False, True, False, True, True]


def test_the_points_that_matter_are_the_heaviest_of_solid_rays() -> None:
    alphas = torch.tensor([0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.02])
    offsets = torch.tensor([0, 10, 12])
    marched = Marched(torch.arange(12.0), torch.ones(12), offsets)
    chosen = heaviest(alphas, marched)
    assert chosen.tolist() == [True, True, True] + [False] * 9


def looking(learner: VolumeRenderer) -> SharedSamples:
    teacher = ball_renderer()
    own = ring().to(dtype=torch.float32)
    sampler = PoseSampler(own, "hemisphere", Clearance(teacher, own))
    pool = PosePool(own, sampler, 16, True, generator())
    inherit_occupancy(teacher.occupancy, learner.occupancy)
    return SharedSamples(teacher.field, learner, RaySource(pool, 4096, True), Distilling(), features=False)


def looked(stage: SharedSamples, name: str, context: Context) -> Outcome:
    outcome = stage.losses(name, stage.next(name, context), context)
    stage.feedback(int(outcome.work), 1.0)
    return outcome


def test_a_field_learns_densities_and_colours_at_points_alone() -> None:
    learner = student()
    stage = looking(learner)
    groups = {name: p for group in learner.parameter_groups() for name, p in group.parameters.items()}
    optimizer = torch.optim.Adam(groups.values(), lr=1e-2)
    squared = []
    for step in range(60):
        outcome = looked(stage, "points", Context(True, generator(step), step / 60))
        optimizer.zero_grad()
        outcome.loss().backward()
        optimizer.step()
        squared.append(float(outcome.squared))
    assert squared[-1] < 0.5 * squared[0]
    # Log-densities are matched up to the ceiling of a hundred and of emptiness behind the edge.
    inside = Samples(torch.tensor([[0.45, 0.0, 0.0]]), torch.tensor([[-1.0, 0.0, 0.0]]), torch.ones(1))
    assert float(learner.field.density(inside)[0]) > 10


def test_stages_compare_more_and_more() -> None:
    stage = looking(student())
    named = {name: set(looked(stage, name, Context(True, generator(), 0.5)).terms) for name in ("points", "rendering")}
    assert named["points"] == {"density", "color"}
    assert named["rendering"] == {"density", "color", "rendering", "depth"}


@dataclass(frozen=True)
class Told(GivenBackground):
    """A background that notes who asks it."""

    asked: list[Context] = field(default_factory=list)

    def colors(self, cameras: Cameras, pixels: Pixels | None, context: Context) -> Tensor:
        self.asked.append(context)
        return super().colors(cameras, pixels, context)


@pytest.mark.parametrize("kind", ["field", "splats"])
def test_pictures_lie_over_random_colours_and_then_over_the_scenes_own(kind: str) -> None:
    learner: VolumeRenderer | SplatRenderer = splats() if kind == "splats" else student()
    own = ring().to(dtype=torch.float32)
    sampler = PoseSampler(own, "hemisphere", lambda found: torch.ones(len(found), dtype=torch.bool))
    gallery = Gallery(ball_renderer(), PosePool(own, sampler, 12, False, generator()))
    looks = SinglePixels(gallery, RaySource(gallery.pool, 4096, False)) if kind == "field" else WholePictures(gallery)
    background = Told()
    loss = huber if kind == "field" else l1_dssim(0.2)
    rendered = Rendered(learner, background, looks, loss, 0.0)
    times = []
    for progress in (0.0, 0.49, 0.5, 0.99):
        context = Context(True, generator(), progress)
        rendered.losses("rendering", rendered.next("rendering", context), context)
        times.append(len(background.asked))
    assert times == [0, 0, 1, 2]


def test_a_recorded_step_stands_for_one_kind_of_background() -> None:
    learner = student()
    learner.room = 4096
    own = ring().to(dtype=torch.float32)
    sampler = PoseSampler(own, "hemisphere", lambda found: torch.ones(len(found), dtype=torch.bool))
    gallery = Gallery(ball_renderer(), PosePool(own, sampler, 12, False, generator()))
    rendered = Rendered(learner, GivenBackground(), WholePictures(gallery), l1_dssim(0.2), 0.0)
    look = rendered.next("rendering", Context(True, generator(), 0.0))
    early, late = (rendered.stage("rendering", look, Context(True, generator(), at)) for at in (0.4, 0.6))
    assert early is not None
    assert early != late


def test_hard_rays_come_again_once_enough_are_remembered() -> None:
    own = ring().to(dtype=torch.float32)
    sampler = PoseSampler(own, "hemisphere", lambda found: torch.ones(len(found), dtype=torch.bool))
    pool = PosePool(own, sampler, 12, True, generator())
    source = RaySource(pool, 2**18, True, renew_every=10_000)
    random = generator()
    for _ in range(240):
        numbers = source.next(random)
        slots = source.pixels(numbers).cameras
        wrong = (slots == 3).float() + 0.01 * torch.rand(len(numbers), generator=random)
        source.note(numbers, slots, wrong)
        source.feedback(2**18, 1.0)
    numbers = source.next(random)
    assert len(numbers) > source.rays
    share = float((source.pixels(numbers[source.rays :]).cameras == 3).float().mean())
    assert share > 0.6
    assert pool.errors[3] > 0.9
    lazy = RaySource(pool, 2**18, False)
    for _ in range(3):
        numbers = lazy.next(random)
        lazy.note(numbers, lazy.pixels(numbers).cameras, torch.ones(len(numbers)))
        lazy.feedback(2**18, 1.0)
    assert len(lazy.next(random)) == lazy.rays


def test_cells_are_counted_and_capacity_is_asked_for() -> None:
    cells = occupied_cells(ball_renderer(), ring().to(dtype=torch.float32), Bounds(), "ball")
    assert 100 < cells < 500
    require_capacity(student(grid(16)), cells, "dense_grid")


@pytest.mark.bad_input
def test_what_cannot_be_converted_is_refused_in_one_sentence() -> None:
    cameras = ring().to(dtype=torch.float32)
    with pytest.raises(BadInput, match="ball: wanted a run with the cameras of its photographs, found none"):
        occupied_cells(ball_renderer(), cameras[[]], Bounds(), "ball")
    with pytest.raises(BadInput, match="ball: wanted a scene with something in it, found nothing"):
        occupied_cells(ball_renderer(density=1e-6), cameras, Bounds(), "ball")
    with pytest.raises(BadInput, match="--to dense_grid: wanted at least 1200 learnt numbers"):
        require_capacity(student(grid(3)), 300, "dense_grid")


def test_marching_that_differs_still_shares_the_teachers_samples() -> None:
    learner = VolumeRenderer(TINY.build(Bounds(), generator()), Marching(steps=64, grid=16))
    outcome = looked(looking(learner), "rendering", Context(True, generator(), 0.5))
    assert outcome.work > 0
    assert all(bool(term.isfinite()) for term in outcome.terms.values())
