import pytest
import torch

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, Pixels, every_pixel, look_at
from scenekit.core.capabilities import Tracer
from scenekit.core.protocols import EVAL, Context, ParameterGroup, Renderer, Rendering, over_background
from scenekit.core.rays import Samples
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations.hash_grid import HashGrid
from scenekit.representations.networks import Networks
from scenekit.representations.rbf import RBF
from scenekit.representations.simplex_grid import SimplexGrid
from scenekit.representations.tracing import OnGrid

TRACED = [HashGrid, SimplexGrid, RBF]


class Fog(torch.nn.Module):
    """Uniform fog of one density and colour in the inner cube."""

    def __init__(self, density: float) -> None:
        super().__init__()
        self.bounds = Bounds()
        self.value = torch.nn.Parameter(torch.tensor(density))

    def density(self, samples: Samples) -> tuple[torch.Tensor, torch.Tensor]:
        return self.value.expand(len(samples)), samples.positions

    def color(self, features: torch.Tensor, samples: Samples) -> torch.Tensor:
        return torch.tensor([0.2, 0.4, 0.8]).expand(len(samples), 3)

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


def camera(width: int = 12, height: int = 9) -> Cameras:
    pose = look_at(torch.tensor([0.0, 0.0, -3.0]), torch.zeros(3), torch.tensor([0.0, -1.0, 0.0]))
    return Cameras(pose[None], torch.tensor([[60.0, 60.0, width / 2, height / 2]]), ((width, height),))


def test_fog_has_the_opacity_of_beer_and_lambert() -> None:
    renderer = VolumeRenderer(Fog(0.7), Marching(steps=512, grid=8))
    middle = Pixels(torch.tensor([0]), torch.tensor([[6.0, 4.5]]))
    rendering = renderer.render(camera(), middle)
    expected = 1 - torch.exp(torch.tensor(-0.7 * 2))
    torch.testing.assert_close(rendering.opacity[0], expected, rtol=0, atol=5e-3)
    torch.testing.assert_close(rendering.color[0], expected * torch.tensor([0.2, 0.4, 0.8]), rtol=0, atol=5e-3)


def test_finer_steps_outside_training_are_truer() -> None:
    middle = Pixels(torch.tensor([0]), torch.tensor([[6.0, 4.5]]))
    coarse, fine = (VolumeRenderer(Fog(40.0), Marching(steps=64, grid=8, finer=f)) for f in (1.0, 8.0))
    depths = [renderer.render(camera(), middle).depth for renderer in (coarse, fine)]
    errors = [abs(float(depth) - (2 + 1 / 40)) for depth in depths if depth is not None]
    assert errors[1] < errors[0] / 2
    training = Context(True, torch.Generator().manual_seed(0))
    assert coarse.rule(training) == fine.rule(training)
    assert fine.rule(EVAL).smallest == pytest.approx(coarse.rule(EVAL).smallest / 8)


def test_an_opaque_face_has_the_depth_of_its_plane_in_every_pixel() -> None:
    renderer = VolumeRenderer(Fog(5000.0), Marching(steps=512, grid=8))
    depth = renderer.render(camera()).depth
    assert depth is not None
    assert depth.shape == (1, 9, 12)
    torch.testing.assert_close(depth, torch.full_like(depth, 2.0), rtol=0, atol=0.01)


def test_whole_images_equal_their_pixels_and_chunks_change_nothing() -> None:
    whole = VolumeRenderer(Fog(1.0), Marching(steps=64, grid=8))
    chunked = VolumeRenderer(Fog(1.0), Marching(steps=64, grid=8, chunk=7))
    pixels = every_pixel(camera())
    image = whole.render(camera()).color
    assert torch.equal(image.reshape(-1, 3), whole.render(camera(), pixels).color)
    torch.testing.assert_close(chunked.render(camera()).color, image)


def test_training_and_evaluation_agree_without_jitter() -> None:
    renderer = VolumeRenderer(Fog(1.0), Marching(steps=256, grid=8))
    context = Context(training=True, generator=torch.Generator().manual_seed(0))
    trained = renderer.render(camera(), every_pixel(camera()), context=context)
    torch.testing.assert_close(trained.color, renderer.render(camera(), every_pixel(camera())).color, rtol=0, atol=0.01)
    trained.color.sum().backward()
    gradient = renderer.get_parameter("field.value").grad
    assert gradient is not None
    assert gradient > 0


def test_rays_that_miss_the_scene_see_nothing() -> None:
    away = camera().world_from_camera.clone()
    away[..., :3] = away[..., :3] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    looking_away = Cameras(away, camera().intrinsics, camera().sizes)
    rendering = VolumeRenderer(Fog(5.0), Marching(steps=64, grid=8)).render(looking_away)
    assert not rendering.opacity.any()
    assert rendering.depth is not None
    assert not rendering.depth.any()
    seen = over_background(rendering, torch.ones(3))
    assert (seen.color == 1).all()


def test_no_pixels_give_an_empty_rendering() -> None:
    none = every_pixel(camera())[0:0]
    rendering = VolumeRenderer(Fog(1.0), Marching(steps=64, grid=8)).render(camera(), none, context=EVAL)
    assert rendering.color.shape == (0, 3)


def test_it_is_a_renderer() -> None:
    assert isinstance(VolumeRenderer(Fog(1.0), Marching(steps=64, grid=8)), Renderer)


class Heavy(Fog):
    """Fog that dislikes being dense."""

    def terms(self, context: Context) -> dict[str, torch.Tensor]:
        return {"weight": 0.1 * self.value}


def test_a_field_s_own_losses_appear_in_training_alone() -> None:
    renderer = VolumeRenderer(Heavy(2.0), Marching(steps=64, grid=8, distortion=0.01))
    context = Context(training=True, generator=torch.Generator().manual_seed(0))
    terms = renderer.render(camera(), every_pixel(camera()), context=context).terms
    assert set(terms) == {"weight", "distortion"}
    assert terms["weight"].item() == pytest.approx(0.2)
    assert not renderer.render(camera()).terms
    assert not VolumeRenderer(Fog(2.0), Marching(steps=64, grid=8)).render(camera()).terms


@pytest.mark.bad_input
def test_whole_images_of_several_sizes_are_refused() -> None:
    one, other = camera(), camera(6, 6)
    both = Cameras(
        torch.cat([one.world_from_camera, other.world_from_camera]),
        torch.cat([one.intrinsics, other.intrinsics]),
        one.sizes + other.sizes,
    )
    with pytest.raises(ValueError, match="wanted one size"):
        VolumeRenderer(Fog(1.0), Marching(steps=64, grid=8)).render(both)


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(8.0, contracted=True, near=0.1)], ids=str)
@pytest.mark.parametrize("kind", TRACED)
def test_a_field_that_traces_shows_what_it_shows_sample_by_sample(
    bounds: Bounds, kind: type[HashGrid] | type[SimplexGrid] | type[RBF]
) -> None:
    config = kind(levels=3, log2_table=10, finest=64, networks=Networks(width=16, initial_density=2.0))
    field = config.build(bounds, torch.Generator().manual_seed(0))
    assert isinstance(field, Tracer)
    assert isinstance(field.encoding, OnGrid)
    with torch.no_grad():
        field.encoding.grid_parts.table.normal_(generator=torch.Generator().manual_seed(1))
    renderer = VolumeRenderer(field, Marching(steps=128, grid=16, chunk=5))
    with torch.no_grad():
        traced = renderer.render(camera())
    plain = renderer.render(camera())  # gradients are recorded: sample by sample
    assert plain.color.requires_grad
    assert not traced.color.requires_grad
    torch.testing.assert_close(traced.color, plain.color, rtol=0, atol=2e-4)
    torch.testing.assert_close(traced.opacity, plain.opacity, rtol=0, atol=2e-4)
    torch.testing.assert_close(traced.depth, plain.depth, rtol=1e-3, atol=2e-3)
    assert traced.trace["samples"] == plain.trace["samples"]


@pytest.mark.parametrize("kind", TRACED)
def test_training_asks_for_the_samples_that_are_reached_either_way(
    kind: type[HashGrid] | type[SimplexGrid] | type[RBF], monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = Networks(width=16, initial_density=8.0)
    field = kind(levels=3, log2_table=10, finest=64, networks=networks).build(Bounds())
    renderer = VolumeRenderer(field, Marching(steps=128, grid=16))

    def trained() -> Rendering:
        context = Context(training=True, generator=torch.Generator().manual_seed(0))
        return renderer.render(camera(), every_pixel(camera()), context=context)

    fused = trained()
    asked: list[None] = []
    monkeypatch.setattr(type(field), "reach", lambda *_: asked.append(None))
    plain = trained()
    assert asked
    assert fused.color.requires_grad
    for name in ("distances", "deltas", "offsets"):
        assert torch.equal(fused.trace[name], plain.trace[name])
    assert torch.equal(fused.color, plain.color)
