"""Gradients of whole renderings against central differences, for every renderer and each kind of parameter.

Scenes are small and away from discontinuities: nothing ends early, no splat overtakes another or ends within the
frame. Gradients are float32, as in training, so that the native operators are what is tested; differences of a weighted
sum of pixels along a random direction agree to two hundredths. Where differences are taken of the references in
float64, which do not round them away, they agree to a ten-thousandth.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from scenekit.core.bounds import Bounds
from scenekit.core.cameras import Cameras, Pixels, look_at
from scenekit.core.lenses import Lens
from scenekit.core.point_fields import PointField
from scenekit.core.protocols import Background, Context, ParameterGroup, Renderer, Rendering, Splats, over_background
from scenekit.recipes.background import BackgroundChoice
from scenekit.recipes.configs import from_plain
from scenekit.renderers.flat import FlatRenderer, PanoramaRenderer
from scenekit.renderers.sphere_tracing import SphereTracer
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.volume import Marching, VolumeRenderer
from scenekit.representations import REPRESENTATIONS
from scenekit.training.corrections.cameras import moved
from tests.conformance.small import SMALL

DEPTH = 0.25  # of a unit of length, beside one of colour: depths are some units
FIELDS = sorted(name for name, kind in REPRESENTATIONS.items() if kind.renderer == "volume")


def camera(lens: Lens | None = None, size: tuple[int, int] = (20, 16)) -> Cameras:
    pose = look_at(torch.tensor([0.3, -0.2, -4.0]), torch.zeros(3), torch.tensor([0.0, -1, 0]))
    intrinsics = torch.tensor([[25.0, 24.0, size[0] / 2, size[1] / 2]])
    return Cameras(pose[None], intrinsics, (size,), lenses=None if lens is None else (lens,))


class Five:
    """Five hand-placed splats, apart in depth, so large that none ends (at an alpha of 1/255) within the frame.

    Coefficients of each degree of their harmonics are a parameter of their own: small gradients of the high ones would
    pass unseen beside those of the low ones.
    """

    def __init__(self, degree: int = 1, dtype: torch.dtype = torch.float32) -> None:
        self.degree = degree
        generator = torch.Generator().manual_seed(0)
        self.parameters = {
            "means": torch.tensor(
                [[0.0, 0, 0], [0.4, 0.2, 0.6], [-0.4, 0.1, 1.1], [0.1, -0.3, -0.5], [-0.2, 0.3, 1.7]]
            ),
            "quaternions": torch.randn(5, 4, generator=generator),
            "log_scales": torch.randn(5, 3, generator=generator) * 0.1 + 0.3,
            "opacity_logits": torch.randn(5, generator=generator) * 0.5,
        }
        harmonics = torch.randn(5, (degree + 1) ** 2, 3, generator=generator) * 0.2
        harmonics[:, 0] += 1
        for each, coefficients in enumerate(harmonics.split([2 * n + 1 for n in range(degree + 1)], 1)):
            self.parameters[f"harmonics of degree {each}"] = coefficients
        for name, value in self.parameters.items():
            self.parameters[name] = value.to(dtype, copy=True).requires_grad_()

    def splats(self, cameras: Cameras, context: Context) -> Splats:
        given = self.parameters
        first, *rest = (given[f"harmonics of degree {n}"] for n in range(self.degree + 1))
        return Splats(given["means"], torch.nn.functional.normalize(given["quaternions"], dim=-1),
                      given["log_scales"].exp(), given["opacity_logits"].sigmoid(),
                      first, torch.cat(rest, 1), self.degree)  # fmt: skip

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


class Shown(NamedTuple):
    """A renderer, the cameras it shows, and the parameters that its pictures depend on."""

    renderer: Renderer
    cameras: Cameras
    parameters: dict[str, Tensor]


def agrees(
    renderer: Renderer, cameras: Cameras, parameters: dict[str, Tensor], step: Callable[[Tensor], float]
) -> None:
    shown = Shown(renderer, cameras, parameters)
    compare(shown, shown, step, within=0.02)


def agrees_with_float64(shown: Callable[[torch.dtype], Shown]) -> None:
    """Gradients of float32 and differences of float64."""
    compare(shown(torch.float32), shown(torch.float64), lambda _: 1e-5, within=1e-4, near_zero=1e-6)


def compare(
    tested: Shown, differences_of: Shown, step: Callable[[Tensor], float], *, within: float, near_zero: float = 1e-3
) -> None:
    weights: list[Tensor] = []

    def value(shown: Shown) -> Tensor:
        context = Context(training=True, generator=torch.Generator().manual_seed(3), depth=True)
        rendering = shown.renderer.render(shown.cameras, context=context)
        seen = [rendering.color, rendering.opacity[..., None]]
        if rendering.depth is not None:
            seen.append(DEPTH * rendering.depth[..., None])
        pictures = torch.cat(seen, -1).double()
        if not weights:
            weights.append(torch.rand(pictures.shape, generator=torch.Generator().manual_seed(4)).double())
        return (pictures * weights[0]).sum()

    gradients = torch.autograd.grad(value(tested), list(tested.parameters.values()), allow_unused=True)
    for (name, parameter), gradient in zip(differences_of.parameters.items(), gradients, strict=True):
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        # Mostly along the gradient: where a random direction happens to change nothing, rounding would be compared.
        across = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
        direction = gradient / gradient.norm().clamp(min=1e-12) + 0.5 * across / across.norm()
        direction = direction.to(parameter.dtype)
        size, start = step(parameter), parameter.detach().clone()
        ends = []
        with torch.no_grad():
            for sign in (1, -1):
                parameter.copy_(start + sign * size * direction)
                ends.append(float(value(differences_of)))
            parameter.copy_(start)
        expected = (ends[0] - ends[1]) / (2 * size)
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=within, abs=near_zero), name


def small_step(parameter: Tensor) -> float:
    return 2e-3 * max(1.0, float(parameter.detach().norm()) / 10)


@pytest.mark.parametrize("antialiased", [False, True])
def test_splats(antialiased: bool) -> None:
    five = Five()
    agrees(
        SplatRenderer(five, antialiased=antialiased, depth_in_training=True), camera(), five.parameters, lambda _: 2e-3
    )


def in_dtype(cameras: Cameras, dtype: torch.dtype) -> Cameras:
    return replace(cameras, world_from_camera=cameras.world_from_camera.to(dtype),
                   intrinsics=cameras.intrinsics.to(dtype))  # fmt: skip


@pytest.mark.parametrize("degree", [2, 3])
@pytest.mark.parametrize("antialiased", [False, True])
def test_splats_of_higher_harmonics(degree: int, antialiased: bool) -> None:
    def shown(dtype: torch.dtype) -> Shown:
        five = Five(degree, dtype)
        renderer = SplatRenderer(five, antialiased=antialiased, depth_in_training=True)
        return Shown(renderer, in_dtype(camera(), dtype), five.parameters)

    agrees_with_float64(shown)


BENT = (Lens.of("perspective", k1=-0.05), Lens.of("equidistant", k1=0.02), Lens.of("orthographic"))


def has_fine_depth(lens: Lens | None) -> bool:
    """Parallel rays are seen from so far away that float32 rounds depth, by more than small steps change it."""
    return lens is None or lens.kind != "orthographic"


@pytest.mark.parametrize("lens", BENT, ids=str)
def test_splats_on_tangent_faces(lens: Lens) -> None:
    five = Five()
    agrees(SplatRenderer(five, depth_in_training=has_fine_depth(lens)), camera(lens), five.parameters, lambda _: 2e-3)


class Elsewhere:
    """A renderer whose cameras are learnt, or whose background is: both are parameters of a training."""

    batching = "images"

    def __init__(self, inner: Renderer, cameras: Callable[[Cameras], Cameras], behind: Background | None = None):
        self.inner, self.cameras, self.behind = inner, cameras, behind

    def render(self, cameras: Cameras, pixels: Pixels | None = None, *, context: Context) -> Rendering:
        seen = self.cameras(cameras)
        rendering = self.inner.render(seen, pixels, context=context)
        return (
            rendering if self.behind is None else over_background(rendering, self.behind.colors(seen, pixels, context))
        )


def seen_by_learnt_cameras(inner: Renderer, cameras: Cameras) -> Shown:
    zeros = {"turn": (1, 3), "shift": (1, 3), "focal": (1, 2), "principal": (1, 2)}
    dtype = cameras.intrinsics.dtype
    parameters = {name: torch.zeros(size, dtype=dtype, requires_grad=True) for name, size in zeros.items()}

    def learnt(cameras: Cameras) -> Cameras:
        focal = cameras.intrinsics[:, :2] * parameters["focal"].exp()
        principal = cameras.intrinsics[:, 2:] + parameters["principal"]
        pose = moved(cameras.world_from_camera, parameters["turn"], parameters["shift"])
        return replace(cameras, world_from_camera=pose, intrinsics=torch.cat([focal, principal], -1))

    renderer: Any = Elsewhere(inner, learnt)
    return Shown(renderer, cameras, parameters)


@pytest.mark.parametrize("lens", [None, *BENT], ids=str)
def test_splats_seen_by_cameras_that_are_learnt(lens: Lens | None) -> None:
    renderer = SplatRenderer(Five(), depth_in_training=has_fine_depth(lens))
    agrees(*seen_by_learnt_cameras(renderer, camera(lens)), lambda _: 2e-3)


@pytest.mark.parametrize("degree", [2, 3])
def test_splats_of_higher_harmonics_seen_by_cameras_that_are_learnt(degree: int) -> None:
    def shown(dtype: torch.dtype) -> Shown:
        renderer = SplatRenderer(Five(degree, dtype), depth_in_training=True)
        return seen_by_learnt_cameras(renderer, in_dtype(camera(), dtype))

    agrees_with_float64(shown)


@pytest.mark.parametrize("name", ["learned", "sphere"])
def test_backgrounds_behind_splats(name: str) -> None:
    behind = BackgroundChoice(name).build(torch.Generator().manual_seed(0))
    assert isinstance(behind, torch.nn.Module)
    renderer: Any = Elsewhere(SplatRenderer(Five()), lambda cameras: cameras, behind)
    agrees(renderer, camera(), smooth(behind), small_step)


def smooth(module: torch.nn.Module) -> dict[str, Tensor]:
    """Its parameters, moved away from zero, where networks have their kinks and tables say nothing."""
    generator = torch.Generator().manual_seed(1)
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return parameters


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str) -> None:
    config: Any = from_plain(REPRESENTATIONS[name], SMALL.get(name, {}), name)
    field = config.build(Bounds(), torch.Generator().manual_seed(0))
    parameters = smooth(field)
    agrees(VolumeRenderer(field, Marching(steps=32, grid=8)), camera(size=(10, 8)), parameters, small_step)


class Waves(torch.nn.Module):
    """A point field that is smooth: waves over the unit cube."""

    def __init__(self, dimensions: int, channels: int) -> None:
        super().__init__()
        self.dimensions, self.channels = dimensions, channels
        self.waves = torch.nn.Parameter(torch.randn(dimensions, 6, generator=torch.Generator().manual_seed(0)))
        self.heights = torch.nn.Parameter(torch.rand(6, channels, generator=torch.Generator().manual_seed(1)) * 0.1)

    def forward(self, points: Tensor) -> Tensor:
        return 0.5 + (points @ self.waves).sin() @ self.heights

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


def test_pictures_and_panoramas() -> None:
    flat, around = Waves(2, 3), Waves(3, 3)
    assert isinstance(flat, PointField)
    agrees(FlatRenderer(flat, (8, 6), linear=False), camera(), dict(flat.named_parameters()), lambda _: 1e-2)
    agrees(PanoramaRenderer(around, (8, 4), linear=False), camera(), dict(around.named_parameters()), lambda _: 1e-2)


def test_sphere_tracing_promises_no_gradients_and_records_none() -> None:
    rendering = SphereTracer(Waves(3, 1)).render(camera())
    assert not rendering.color.requires_grad
    assert rendering.color.isfinite().all()
