"""Kernels of other libraries, where they are installed, against ours on a CPU: values and gradients.

What they cull, round and step over is discrete, so tolerances are of shares: at least ``share`` of all entries lie
within ``tolerance`` of the largest entry that is wanted. Marching is judged by the pictures that come of it. The first
use of gsplat and nerfacc compiles them, for minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest
import torch
from conformance.op_samples import directions, normal, uniform
from conformance.splat_samples import ellipses
from conformance.test_ops import _arguments
from torch import Generator, Tensor
from torch.utils._pytree import tree_map

from scenekit.kernels import (
    OPS,
    GridLayout,
    StepRule,
    adapters,
    choice,
    composite,
    hash_grid,
    intersect,
    march,
    mlp,
    project,
    rasterize,
    ray_cube,
)

Made = tuple[Callable[..., Tensor], tuple[Tensor, ...]]  # a function of tensors that get gradients, and those


@dataclass(frozen=True)
class Case:
    """How one operator of one library is compared.

    Attributes:
        library, op: whose, and what.
        make: what is run, from a generator and a device.
        share, tolerance: of values and of gradients; see the module.
    """

    library: str
    op: str
    make: Callable[[Generator, torch.device], Made]
    share: float
    tolerance: float


def _projected(antialiased: bool) -> Callable[[Generator, torch.device], Made]:
    def make(g: Generator, device: torch.device) -> Made:
        tensors = _moved(_arguments("project", torch.float32, 2500)[:8], device)

        def run(means: Tensor, quaternions: Tensor, scales: Tensor, opacities: Tensor, *harmonics: Tensor) -> Tensor:
            cameras, shading = tensors[6:8], {"degree": 3, "antialiased": antialiased}
            shapes = (means, quaternions, scales, opacities)
            return project(*shapes, *cameras, (37, 21), harmonics=(harmonics[0], harmonics[1]), **shading).rows

        harmonics = (normal(g, torch.float32, 2500, 1, 3), normal(g, torch.float32, 2500, 15, 3) / 4)
        return run, (*tensors[:4], *_moved(harmonics, device))

    return make


def _pictured(channels: int) -> Callable[[Generator, torch.device], Made]:
    def make(g: Generator, device: torch.device) -> Made:
        size = (150, 90)
        rows = ellipses(g, 800, size, channels=channels)
        rows[:, 5] *= 0.9  # its largest alpha is another than ours
        rows, depths = rows.to(device), torch.rand(800, generator=g).to(device)

        def run(rows: Tensor) -> Tensor:
            raster = rasterize(rows, intersect(rows.detach(), depths, size), size, channels)
            return torch.cat([raster.features, raster.opacities[..., None]], -1)

        return run, (rows,)

    return make


def _composited(g: Generator, device: torch.device) -> Made:
    alphas, colors, distances, offsets = _moved(_arguments("composite", torch.float32, 3000), device)

    def run(alphas: Tensor, colors: Tensor) -> Tensor:
        found = composite(alphas, colors, distances, offsets)
        return torch.cat([found.colors, found.opacities[:, None], found.distances[:, None]], -1)

    return run, (alphas, colors)


def _encoded(dtype: torch.dtype, dimensions: int = 3) -> Callable[[Generator, torch.device], Made]:
    def make(g: Generator, device: torch.device) -> Made:
        layout = GridLayout.of(dimensions, levels=8, log2_table=14, base_resolution=16, growth=1.6)
        points = uniform(g, torch.float32, 5000, dimensions).to(device, dtype)
        table = normal(g, torch.float32, layout.rows, 2).to(device, dtype)
        return lambda points, table: hash_grid(points, table, layout), (points, table)

    return make


def _through(widths: list[int]) -> Callable[[Generator, torch.device], Made]:
    def make(g: Generator, device: torch.device) -> Made:
        inputs = normal(g, torch.float32, 5000, widths[0]).to(device)
        weights = [(normal(g, torch.float32, b, a) * (2 / a) ** 0.5).to(device) for a, b in pairwise(widths)]
        return lambda inputs, *weights: mlp(inputs, weights), (inputs, *weights)

    return make


CASES = [
    Case("gsplat", "project", _projected(False), 0.995, 1e-3),
    Case("gsplat", "project", _projected(True), 0.995, 1e-3),
    Case("gsplat", "rasterize", _pictured(3), 0.99, 5e-3),
    Case("gsplat", "rasterize", _pictured(6), 0.99, 5e-3),
    Case("nerfacc", "composite", _composited, 0.999, 1e-4),
    Case("tinycudann", "hash_grid", _encoded(torch.float32), 0.995, 2e-3),
    Case("tinycudann", "hash_grid", _encoded(torch.float32, 2), 0.995, 2e-3),
    Case("tinycudann", "hash_grid", _encoded(torch.float16), 0.99, 1e-2),
    Case("tinycudann", "mlp", _through([32, 64, 16]), 0.99, 2e-2),
    Case("tinycudann", "mlp", _through([20, 128, 128, 128, 3]), 0.99, 5e-2),
]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts a library's kernels before ours, or skips where it is not installed."""

    def choose(name: str) -> None:
        if name not in ("", choice.REFERENCE) and find_spec(adapters.LIBRARIES[name].module) is None:
            pytest.skip(f"{name} is not installed: {adapters.LIBRARIES[name].remedy}")
        monkeypatch.setenv(choice.VARIABLE, name)
        adapters.adapted.cache_clear()

    yield choose
    adapters.adapted.cache_clear()


def _moved(tree: Any, device: torch.device) -> Any:
    return tree_map(lambda x: x.to(device) if isinstance(x, Tensor) else x, tree)


def _assert_near(found: Tensor, wanted: Tensor, case: Case, what: str) -> None:
    errors = (found.double() - wanted.double()).abs() / wanted.double().abs().max().clamp(min=1e-30)
    assert torch.isfinite(found).all()
    near = (errors <= case.tolerance).double().mean().item()
    assert near >= case.share, f"{what}: {near:.4f} within {case.tolerance} of the largest, wanted {case.share}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.library}-{case.op}")
def test_values_and_gradients_are_ours(case: Case, choose: Callable[[str], None], gpu: torch.device):
    choose(case.library)
    calls = _counted(case.op)
    found, wanted = _run(case, gpu), _run(case, torch.device("cpu"))
    assert set(calls) == {case.op, f"{case.op}_backward"}, "its kernels did not serve"
    for index, (mine, theirs) in enumerate(zip(wanted, found, strict=True)):
        _assert_near(theirs, mine, case, f"gradient {index - 1}" if index else "value")


def _run(case: Case, device: torch.device) -> list[Tensor]:
    """Value and gradients, on the CPU."""
    run, tensors = case.make(torch.Generator().manual_seed(5), device)
    leaves = [x.clone().requires_grad_() for x in tensors]
    value = run(*leaves)
    seed = (0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(6))).to(value)
    return [x.detach().cpu() for x in (value, *torch.autograd.grad(value, leaves, seed))]


def _counted(op: str) -> list[str]:
    """Names of operators that a library has answered, as they are called."""
    calls: list[str] = []
    for name, theirs in list(adapters.adapted().items()):
        if name not in (op, f"{op}_backward"):
            continue

        def body(*arguments: Any, name: str = name, theirs: adapters.Adapted = theirs) -> Any:
            found = theirs.body(*arguments)
            if found is not NotImplemented:
                calls.append(name)
            return found

        adapters.adapted()[name] = adapters.Adapted(theirs.server, body)  # type: ignore[index]
    return calls


def test_lists_of_gsplat_hold_ours_nearest_first(choose: Callable[[str], None], gpu: torch.device):
    size = (150, 90)
    rows = ellipses(torch.Generator().manual_seed(1), 800, size).to(gpu)
    depths = torch.rand(800, generator=torch.Generator().manual_seed(2)).to(gpu)
    ours = intersect(rows, depths, size)
    choose("gsplat")
    theirs, roomy = intersect(rows, depths, size), intersect(rows, depths, size, capacity=10_000)
    assert len(roomy.gaussians) == 10_000
    assert torch.equal(roomy.offsets, theirs.offsets)
    for tile in range(len(ours.offsets) - 1):
        mine, other = (x.gaussians[x.offsets[tile] : x.offsets[tile + 1]].long() for x in (ours, theirs))
        assert set(mine.tolist()) <= set(other.tolist())
        assert (depths[other].diff() >= 0).all()


@pytest.mark.parametrize("cone", [0.0, 1 / 128])
def test_the_same_picture_comes_of_the_samples_of_nerfacc(
    cone: float, choose: Callable[[str], None], gpu: torch.device
):
    g = torch.Generator().manual_seed(3)
    origins = 3 * directions(g, torch.float32, 4000)
    towards = torch.nn.functional.normalize(0.8 * (uniform(g, torch.float32, 4000, 3) - 0.5) - origins, dim=-1)
    cells = torch.linspace(-1, 1, 33)[:-1] + 1 / 32
    place = torch.stack(torch.meshgrid(cells, cells, cells, indexing="ij"), -1)
    occupancy = torch.stack([(scale * place).norm(dim=-1) < 0.75 for scale in (1.0, 2.0)]).to(gpu)
    origins, towards = origins.to(gpu), towards.to(gpu)
    near, far = ray_cube(origins, towards, 2.0)
    rays = (origins, towards, near, far, occupancy, torch.full_like(near, 0.5))
    pictures, counts = [], []
    for name in ("nerfacc", ""):
        choose(name)
        marched = march(*rays, StepRule(0.004, 0.1, cone), 4096)
        pictures.append(_pictured_along(origins, towards, marched))
        counts.append(len(marched.distances))
    errors = (pictures[0] - pictures[1]).abs()
    assert pictures[1].std() > 0.1
    assert errors.mean() < 2e-3
    assert errors.flatten().quantile(0.99) < 1e-2
    assert abs(counts[0] / counts[1] - 1) < 0.05


def _pictured_along(origins: Tensor, towards: Tensor, marched: Any) -> Tensor:
    """Of a ball of fog, coloured by place."""
    owners = torch.repeat_interleave(marched.offsets.diff())
    positions = origins[owners] + marched.distances[:, None] * towards[owners]
    density = 8 * (0.7 - positions.norm(dim=-1)).clamp(min=0)
    alphas = -torch.expm1(-density * marched.deltas)
    return composite(alphas, 0.5 + 0.5 * torch.sin(5 * positions), marched.distances, marched.offsets).colors


def test_capacities_hold_for_what_nerfacc_finds(choose: Callable[[str], None], gpu: torch.device):
    *rays, rule, most = _moved(_arguments("march", torch.float32, 500)[:8], gpu)
    choose("nerfacc")
    whole, counts = march(*rays, rule, most), torch.arange(500, device=gpu) % 9
    some = march(*rays, rule, most, capacity=1000, counts=counts)
    assert len(some.distances) == 1000
    assert some.needed == counts.sum()
    kept = ~some.left_out  # type: ignore[operator]
    assert torch.equal(some.offsets.diff(), torch.where(kept, counts, 0))
    first = torch.minimum(whole.offsets.diff(), counts)[0]
    assert torch.equal(some.distances[:first], whole.distances[:first])


def test_ours_serve_where_torch_asks_for_a_fixed_order(choose: Callable[[str], None], gpu: torch.device):
    arguments = _moved(_arguments("composite", torch.float32, 50), gpu)
    choose("nerfacc")
    calls = _counted("composite")
    torch.use_deterministic_algorithms(True)
    try:
        OPS["composite"](*arguments)
    finally:
        torch.use_deterministic_algorithms(False)
    assert calls == []
