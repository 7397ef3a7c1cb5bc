"""Splats through lenses: what they show is what exact rays show."""

import math
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from scenekit.core.cameras import Cameras, every_pixel, look_at
from scenekit.core.lenses import Lens
from scenekit.core.protocols import EVAL, Context, Splats
from scenekit.kernels.rays import rays_of
from scenekit.renderers import splats
from scenekit.renderers.splats import SplatRenderer
from scenekit.renderers.tangent import FAR, Face, cubic, faces_of, linear, read_off

LENSES = {
    "opencv": (Lens.of("perspective", k1=-0.1, k2=0.02, p1=0.002, p2=-0.002), (96, 72), (80.0, 80, 48, 36)),
    "fisheye": (Lens.of("equidistant", k1=0.03, k2=-0.005), (96, 96), (30.0, 30, 48, 48)),
    "thin prism": (Lens.of("equidistant", k1=0.03, p1=0.003, s1=0.004, s2=-0.003), (96, 80), (34.0, 34, 48, 40)),
    "panorama": (Lens.of("equirectangular"), (192, 96), (192 / (2 * math.pi), 96 / math.pi, 96, 48)),
    "orthographic": (Lens.of("orthographic"), (80, 80), (14.0, 14, 40, 40)),
}


SIGMA = 0.1


class Balls:
    """Small Gaussians in a shell around the origin."""

    def __init__(self, count: int = 60) -> None:
        generator = torch.Generator().manual_seed(0)
        directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
        self.means = torch.nn.Parameter(directions * (1.5 + torch.rand(count, 1, generator=generator)))
        self.colors = torch.randn(count, 1, 3, generator=generator)

    def splats(self, cameras: Cameras, context: Context) -> Splats:
        count = len(self.means)
        quaternions = torch.tensor([1.0, 0, 0, 0]).expand(count, 4)
        shapes = (self.means, quaternions, torch.full((count, 3), SIGMA), torch.full((count,), 0.9))
        return Splats(*shapes, self.colors, self.colors[:, :0], degree=0)

    def parameter_groups(self):
        return []


def camera_of(name: str, centre: tuple[float, float, float] = (0.3, -0.2, 0.1)) -> Cameras:
    lens, size, intrinsics = LENSES[name]
    if name in ("opencv", "orthographic"):
        centre = (6.0, 1.0, 0.5)
    pose = look_at(torch.tensor(centre), torch.tensor([0.0, 0.1, 0.0]), torch.tensor([0.0, 0.0, 1.0]))
    return Cameras(pose[None], torch.tensor([intrinsics]), (size,), lenses=(lens,))


def projected_along_rays(balls: Balls, camera: Cameras) -> torch.Tensor:
    """Gaussians integrated exactly along each ray in order of distance, without a pixel filter."""
    rays = rays_of(camera, every_pixel(camera))
    means = balls.means.detach()
    along = ((means - rays.origins[:, None]) * rays.directions[:, None]).sum(-1)
    nearest = rays.origins[:, None] + along[..., None] * rays.directions[:, None]
    distance2 = (means - nearest).square().sum(-1)
    alpha = (0.9 * torch.exp(-0.5 * distance2 / SIGMA**2)).clamp(max=0.99) * (along > 0.05)
    order = along.argsort(-1)
    alpha = alpha.gather(1, order)
    light = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha], -1), -1)[:, :-1]
    return (light * alpha).sum(-1)


@pytest.mark.parametrize("name", LENSES)
def test_opacity_through_a_lens_is_that_of_its_exact_rays(name: str) -> None:
    """Gaussians are linearised on their face and blurred by a third of a pixel, so not to the last bit."""
    balls, camera = Balls(), camera_of(name)
    shown = SplatRenderer(balls).render(camera, context=EVAL).opacity.flatten()
    exact = projected_along_rays(balls, camera)
    difference = (shown - exact).abs()
    assert float(exact.max()) > 0.8
    assert float(difference.mean()) < 0.02
    assert float(torch.corrcoef(torch.stack([shown, exact]))[0, 1]) > 0.985


def test_a_lens_without_distortion_shows_what_a_pinhole_shows() -> None:
    _, size, intrinsics = LENSES["opencv"]
    pose = look_at(torch.tensor([6.0, 1.0, 0.5]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    plain = Cameras(pose[None], torch.tensor([intrinsics]), (size,))
    bent = Cameras(pose[None], torch.tensor([intrinsics]), (size,), lenses=(Lens("perspective"),))
    renderer = SplatRenderer(Balls())
    a, b = renderer.render(plain, context=EVAL), renderer.render(bent, context=EVAL)
    assert float((a.color - b.color).square().mean().sqrt()) < 0.02
    assert a.depth is not None
    assert b.depth is not None
    solid = (a.opacity > 0.9) & (b.opacity > 0.9)
    assert float((a.depth - b.depth)[solid].abs().median()) < 0.03


def test_specks_through_a_lens_are_as_wide_as_a_pinhole_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is smaller than a pixel is drawn by the blur alone, in face pixels smaller than the lens's own."""
    monkeypatch.setattr(sys.modules[__name__], "SIGMA", 1e-3)
    _, size, intrinsics = LENSES["opencv"]
    pose = look_at(torch.tensor([6.0, 1.0, 0.5]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    plain = Cameras(pose[None], torch.tensor([intrinsics]), (size,))
    bent = Cameras(pose[None], torch.tensor([intrinsics]), (size,), lenses=(Lens("perspective"),))
    seen = [float(SplatRenderer(Balls()).render(each, context=EVAL).opacity.sum()) for each in (plain, bent)]
    assert seen[1] == pytest.approx(seen[0], rel=0.1)


def test_depth_through_a_panorama_is_distance_and_through_parallel_rays_along_them() -> None:
    for name in ("panorama", "orthographic"):
        balls, camera = Balls(1), camera_of(name)
        with torch.no_grad():
            balls.means.zero_()
        rendering = SplatRenderer(balls).render(camera, context=EVAL)
        assert rendering.depth is not None
        row, column = divmod(int(rendering.opacity.argmax()), camera.sizes[0][0])
        offset = -camera.centres[0]
        expected = offset.norm() if name == "panorama" else offset @ camera.forward[0]
        assert float(rendering.depth[0, row, column]) == pytest.approx(float(expected), rel=0.02)


def test_a_narrow_lens_is_one_face_a_wide_one_those_it_looks_through() -> None:
    counts = {name: len(faces_of(camera_of(name))) for name in LENSES}
    assert counts == {"opencv": 1, "fisheye": 5, "thin prism": 5, "panorama": 6, "orthographic": 1}
    for name in LENSES:
        camera = camera_of(name)
        pixels = torch.cat([face.pixels for face in faces_of(camera)])
        assert torch.equal(pixels.sort().values, torch.arange(camera.sizes[0][0] * camera.sizes[0][1]))
        for face in faces_of(camera):
            assert (face.positions >= 1.5).all()  # a cubic reading has two pixel centres to every side
            assert (face.positions < torch.tensor(face.size) - 1.5).all()
    assert faces_of(camera_of("orthographic"))[0].back == FAR


def test_gradients_reach_splats_and_poses_through_every_face() -> None:
    balls, camera = Balls(), camera_of("fisheye")
    pose = camera.world_from_camera.clone().requires_grad_()
    context = Context(True, torch.Generator().manual_seed(0))
    rendering = SplatRenderer(balls).render(replace(camera, world_from_camera=pose), context=context)
    rendering.color.square().sum().backward()
    assert balls.means.grad is not None
    assert pose.grad is not None
    assert pose.grad.isfinite().all()
    assert balls.means.grad.abs().sum(-1).gt(0).float().mean() > 0.5
    assert len(rendering.trace["rows"]) == 5
    assert [seen.shape for seen in rendering.trace["visible"]] == [(60,)] * 5


@pytest.mark.parametrize("unseen", [False, True])
def test_faces_that_show_nothing_are_not_read(monkeypatch: pytest.MonkeyPatch, unseen: bool) -> None:
    """All splats lie before the camera; or all in it, where none is seen: then gradients are 0, but there are some."""
    balls, camera = Balls(), camera_of("panorama", (0.0, 5.0, 0.0))
    if unseen:
        balls.means = torch.nn.Parameter(camera.centres.expand(60, 3).clone())
    faces: list[Face] = []
    monkeypatch.setattr(splats, "read_off", lambda face, *shown: faces.append(face) or read_off(face, *shown))
    rendering = SplatRenderer(balls).render(camera, context=Context(True, torch.Generator().manual_seed(0)))
    rendering.color.square().sum().backward()
    assert balls.means.grad is not None
    assert len(faces) == 1
    assert bool(balls.means.grad.any()) != unseen
    elsewhere = torch.ones(192 * 96, dtype=torch.bool)
    elsewhere[faces[0].pixels] = False
    assert float(rendering.opacity.flatten()[elsewhere].max()) == 0


def scattered(count: int, size: tuple[int, int]) -> torch.Tensor:
    """Positions that have two pixel centres to every side."""
    within = torch.rand(count, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 1.5 + within * (torch.tensor(size, dtype=torch.float64) - 3)


def drawn(size: tuple[int, int], picture: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """A function of x and y at pixel centres, as an image of one channel."""
    x, y = (torch.arange(length, dtype=torch.float64) + 0.5 for length in size)
    return picture(x[None], y[:, None]).expand(size[1], size[0])[..., None]


def test_a_cubic_reading_is_exact_for_polynomials_of_the_second_degree() -> None:
    size = (20, 15)
    at = scattered(200, size)

    def bowl(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 0.3 + 0.1 * x - 0.2 * y + 0.02 * x * x - 0.03 * x * y + 0.01 * y * y

    torch.testing.assert_close(cubic(drawn(size, bowl), at)[:, 0], bowl(at[:, 0], at[:, 1]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("period", "error"), [(4, 0.08), (6, 0.02), (12, 0.002), (24, 0.0002)])
def test_a_cubic_reading_of_waves_is_much_nearer_to_them_than_a_linear_one(period: float, error: float) -> None:
    """A linear reading has root mean square errors of 0.18, 0.087, 0.024 and 0.0060 here."""
    size = (64, 48)
    at = scattered(4000, size)

    def waves(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.sin(2 * math.pi * x / period) * torch.cos(2 * math.pi * y / period)

    image, exact = drawn(size, waves), waves(at[:, 0], at[:, 1])
    by_cubic, by_linear = ((reading(image, at)[:, 0] - exact).square().mean().sqrt() for reading in (cubic, linear))
    assert float(by_cubic) < error
    assert float(by_cubic) < 0.45 * float(by_linear)


def test_a_cubic_reading_has_the_gradients_of_differences() -> None:
    image = torch.rand(9, 8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    at = scattered(12, (8, 9))
    assert torch.autograd.gradcheck(cubic, (image.requires_grad_(), at.requires_grad_()))


def plain_face(size: tuple[int, int], positions: torch.Tensor, back: float = 0.0) -> Face:
    every = torch.arange(len(positions))
    depths = torch.ones(len(positions), dtype=positions.dtype)
    return Face(torch.eye(3).double(), torch.tensor([10.0, 10, 0, 0]), size, back, every, positions, depths, None)


def block(size: tuple[int, int]) -> torch.Tensor:
    """Opacities of something with hard edges, which a cubic reading overshoots at."""
    opacities = torch.zeros(size[1], size[0], dtype=torch.float64)
    opacities[4:11, 5:14] = 1.0
    return opacities


def test_nothing_is_more_than_opaque_or_darker_than_black_through_a_lens() -> None:
    size = (20, 16)
    opacities, at = block(size), scattered(2000, size)
    raw = cubic(opacities[..., None], at)
    assert float(raw.max()) > 1.05
    assert float(raw.min()) < -0.05
    colors = opacities[..., None] * torch.tensor([1.0, 0.5, 0.0])
    seen = read_off(plain_face(size, at), colors, opacities)
    assert float(seen.min()) >= 0
    assert float(seen[:, 3].max()) <= 1
    torch.testing.assert_close(seen[:, :3], seen[:, 3:] * torch.tensor([1.0, 0.5, 0.0]).double())


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_an_object_of_the_background_s_colour_does_not_show_through_a_lens(level: float) -> None:
    size = (20, 16)
    opacities, at = block(size), scattered(2000, size)
    seen = read_off(plain_face(size, at), level * opacities[..., None].expand(-1, -1, 3), opacities)
    blended = seen[:, :3] + (1 - seen[:, 3:]) * level
    torch.testing.assert_close(blended, torch.full_like(blended, level))


def test_depth_at_a_silhouette_lies_between_what_is_before_and_behind_it() -> None:
    size, back = (20, 16), 0.5
    before, at = block(size), scattered(2000, size)
    for behind in (0.0, 1.0):  # nothing, or a wall
        opacities = before + (1 - before) * behind
        depth = before * 2 + (1 - before) * behind * 5
        features = torch.cat([torch.zeros(*depth.shape, 3, dtype=depth.dtype), depth[..., None]], -1)
        seen = read_off(plain_face(size, at, back), features, opacities)
        shown = seen[:, 4] > 1e-3
        depths = (seen[:, 3] / seen[:, 4])[shown & (seen[:, 3] > 0)]
        assert shown.sum() > 500
        assert float(depths.min()) >= 2 - back - 1e-9
        assert float(depths.max()) <= (5 if behind else 2) - back + 1e-9


def test_readings_have_the_gradients_of_differences() -> None:
    """Where nothing overshoots, or overshoots altogether: at the bounds themselves there is no derivative."""
    size = (8, 9)
    generator = torch.Generator().manual_seed(1)
    at = scattered(12, size)
    features = torch.rand(9, 8, 4, generator=generator, dtype=torch.float64).requires_grad_()
    for level in (0.2, 1.3):
        opacities = (level + 0.2 * torch.rand(9, 8, generator=generator, dtype=torch.float64)).requires_grad_()
        given = (features, opacities, at.clone().requires_grad_())

        def reading(features: torch.Tensor, opacities: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
            return read_off(plain_face(size, positions), features, opacities)

        assert torch.autograd.gradcheck(reading, given)


def test_gradients_reach_learnt_intrinsics_as_they_do_through_a_pinhole() -> None:
    """A perspective lens without distortion is a pinhole, and so is what its focal length is told."""
    _, size, intrinsics = LENSES["opencv"]
    pose = look_at(torch.tensor([6.0, 1.0, 0.5]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    plain = Cameras(pose[None], torch.tensor([intrinsics]), (size,))
    weights = torch.rand(size[1], size[0], 3, generator=torch.Generator().manual_seed(2))
    found = []
    for lenses in (None, (Lens("perspective"),)):
        values = plain.intrinsics.clone().requires_grad_()
        camera = replace(plain, intrinsics=values, lenses=lenses)
        context = Context(True, torch.Generator().manual_seed(0))
        (SplatRenderer(Balls()).render(camera, context=context).color[0] * weights).sum().backward()
        assert values.grad is not None
        found.append(values.grad[0])
    assert float((found[0] - found[1]).norm()) < 0.05 * float(found[0].norm())
