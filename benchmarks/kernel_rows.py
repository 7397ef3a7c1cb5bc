"""What ``benchmarks.kernels`` times: operators with inputs of the sizes and the order that training gives them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from scenekit.kernels import OPS, GridLayout, adam_numbers, simplex_layout, truncated_exp

N = 2**20
LAYOUTS = ((16, 2, 19), (8, 4, 19), (16, 2, 22))  # levels, features, log2 of a level's rows


@dataclass(frozen=True)
class Row:
    """What is timed: an op or two, with arguments of which some are differentiated."""

    name: str
    scope: dict[str, Any]
    run: Callable[..., Any]  # of the leaves
    reference: Callable[..., Any]
    leaves: tuple[Tensor, ...]
    trained: tuple[int, ...] = ()  # positions among the leaves
    peer: Callable[[], Callable[[], Tensor] | None] = lambda: None
    products: str = "highest"  # what torch.set_float32_matmul_precision is given
    results: int = 1  # how many of the results, the first ones, have a gradient in "both"


def points(kind: str, count: int, device: torch.device) -> Tensor:
    """Points [N 3] of the unit cube, in the order that threads take them."""
    g = torch.Generator().manual_seed(0)
    if kind == "random":
        found = torch.rand(count, 3, generator=g)
    elif kind == "rays":
        steps = min(1024, count)
        starts, ways = torch.rand(count // steps, 1, 3, generator=g), torch.randn(count // steps, 1, 3, generator=g)
        found = (starts + 0.4 * torch.linspace(0, 1, steps)[:, None] * normalize(ways, dim=-1)) % 1.0
    else:
        height = max(1, round((count / 64) ** 0.5))
        width = count // (32 * height)
        y, x = torch.meshgrid(torch.linspace(0.3, 0.55, height), torch.linspace(0.3, 0.8, width), indexing="ij")
        depth = 0.5 + 0.1 * torch.sin(7 * x) * torch.cos(5 * y)
        along = depth[..., None] + 0.1 * torch.linspace(0, 1, 32)
        found = torch.stack([x[..., None].expand_as(along), y[..., None].expand_as(along), along], -1)
    return found.reshape(-1, 3).to(device)


def grid_rows(share: int, device: torch.device) -> Iterator[Row]:
    """Encodings of both kinds of cells."""
    for kind in ("random", "rays", "surface"):
        for levels, features, log2_table in LAYOUTS:
            for op, dtype in (
                ("hash_grid", torch.float32),
                ("hash_grid", torch.float16),
                ("simplex_grid", torch.float32),
            ):
                layout_of = simplex_layout if op == "simplex_grid" else GridLayout.of
                growth = 128 ** (1 / (levels - 1))
                layout = layout_of(3, levels=levels, log2_table=log2_table, base_resolution=16, growth=growth)
                x = points(kind, N // share, device)
                table = torch.randn(layout.rows, features, device=device).to(dtype)
                shape = (layout.scales, layout.resolutions, layout.offsets)
                scope = {"points": kind, "count": len(x), "L": levels, "F": features, "log2_T": log2_table,
                         "table": str(dtype)}  # fmt: skip
                peer = _tiny_cuda_nn(x, levels, features, log2_table, growth) if op == "hash_grid" else lambda: None
                yield _grid_row(op, scope, x, table, shape, peer)


def wide_rows(share: int, device: torch.device) -> Iterator[Row]:
    """What rows of many features serve: colours of dense grids, a tri-plane's plane, a plane and a line of low rank."""
    for kind in ("random", "surface"):
        x = points(kind, N // share, device)
        for dimensions, cells, features in (
            (3, (128,), 27),
            (3, (128,), 48),
            (2, (64, 102, 161, 256), 16),
            (2, (300,), 48),
            (1, (300,), 48),
        ):
            layout = GridLayout.dense(dimensions, cells)
            table = torch.randn(layout.rows, features, device=device)
            shape = (layout.scales, layout.resolutions, layout.offsets)
            scope = {"points": kind, "count": len(x), "D": dimensions, "cells": cells, "F": features}
            yield _grid_row("hash_grid", scope, x[:, :dimensions].contiguous(), table, shape, lambda: None, "wide ")


def _grid_row(op: str, scope: dict[str, Any], x: Tensor, table: Tensor, shape: Any, peer: Any, kind: str = "") -> Row:
    return Row(
        kind + op,
        scope,
        lambda t: OPS[op](x, t, *shape),
        lambda t: OPS[op].reference(x, t, *shape),
        (table,),
        (0,),
        peer,
    )


def _tiny_cuda_nn(x: Tensor, levels: int, features: int, log2_table: int, growth: float) -> Any:
    def build() -> Callable[[], Tensor] | None:
        try:
            library = import_module("tinycudann")
        except (ImportError, OSError):
            return None
        settings = {"otype": "HashGrid", "n_levels": levels, "n_features_per_level": features,
                    "log2_hashmap_size": log2_table, "base_resolution": 16, "per_level_scale": growth}  # fmt: skip
        encoding = library.Encoding(3, settings)
        return lambda: encoding(x)

    return build


def network_rows(share: int, device: torch.device) -> Iterator[Row]:
    """Small networks alone, and behind an encoding."""
    for widths in ([32, 64, 16], [32, 64, 64, 3], [32, 128, 128, 16], [64, 64, 64, 64, 64, 16]):
        for count in (2**14, 2**17, 2**20):
            inputs = torch.randn(max(1, count // share), widths[0], device=device)
            weights = _weights(widths, device)
            for products in ("highest", "high"):
                yield _mlp_row(widths, inputs, weights, products)
    layout = GridLayout.of(3, levels=16, log2_table=19, base_resolution=16, growth=128 ** (1 / 15))
    shape, widths = (layout.scales, layout.resolutions, layout.offsets), [32, 64, 16]
    table = 0.1 * torch.randn(layout.rows, 2, device=device)
    for kind in ("random", "surface"):
        x = points(kind, N // share, device)
        for products in ("highest", "high"):
            scope = {"points": kind, "count": len(x), "widths": widths, "products": products}
            yield _encoded_row(scope, x, table, _weights(widths, device), shape)


def _weights(widths: list[int], device: torch.device) -> Tensor:
    return torch.cat([torch.randn(a * b, device=device) * (2 / a) ** 0.5 for a, b in itertools.pairwise(widths)])


def _mlp_row(widths: list[int], inputs: Tensor, weights: Tensor, products: str) -> Row:
    scope = {"widths": widths, "count": len(inputs), "products": products}
    run, reference = OPS["mlp"], OPS["mlp"].reference
    return Row(
        "mlp",
        scope,
        lambda a, w: run(a, w, widths),
        lambda a, w: reference(a, w, widths),
        (inputs, weights),
        (0, 1),
        products=products,
    )


def _encoded_row(scope: dict[str, Any], x: Tensor, table: Tensor, weights: Tensor, shape: Any) -> Row:
    grid, net = OPS["hash_grid"], OPS["mlp"]
    return Row(
        "hash_grid + mlp",
        scope,
        lambda t, w: net(grid(x, t, *shape), w, scope["widths"]),
        lambda t, w: net.reference(grid.reference(x, t, *shape), w, scope["widths"]),
        (table, weights),
        (0, 1),
        products=scope["products"],
    )


def radiance_rows(share: int, device: torch.device) -> Iterator[Row]:
    """What fields do after their encoding, which stands by feature: in one pass, and operator by operator."""
    for encoded in (32, 16, 64):
        for count in (2**18, 2**20):
            rows = max(1, count // share)
            density, color = [encoded, 64, 16], [32, 64, 64, 3]
            leaves = torch.randn(encoded, rows, device=device).t(), _weights(density, device), _weights(color, device)
            directions = normalize(torch.randn(rows, 3, device=device), dim=-1)
            scope = {"widths": [density, color], "count": rows, "products": "high"}
            for name, run in (("radiance", OPS["radiance"]), ("radiance by operators", _by_operators)):
                yield _radiance_row(name, scope, run, leaves, directions)


def _radiance_row(name: str, scope: dict[str, Any], run: Any, leaves: tuple[Tensor, ...], directions: Tensor) -> Row:
    rest = (*scope["widths"], 3, -2.3)
    return Row(
        name,
        scope,
        lambda e, d, c: run(e, directions, d, c, *rest),
        lambda e, d, c: OPS["radiance"].reference(e, directions, d, c, *rest),
        leaves,
        (0, 1, 2),
        products="high",
        results=2,
    )


def _by_operators(
    encoded: Tensor, directions: Tensor, density: Tensor, color: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    density_widths, color_widths, degree, log_density = rest
    features = OPS["mlp"](encoded, density, density_widths)
    taken = torch.cat([features, OPS["spherical_harmonics"](directions, degree)], -1)
    return truncated_exp(features[:, 0] + log_density), OPS["mlp"](taken, color, color_widths).sigmoid()


def _plain_row(op: str, scope: dict[str, Any], arguments: tuple[Any, ...]) -> Row:
    return Row(op, scope, lambda: OPS[op](*arguments), lambda: OPS[op].reference(*arguments), ())


def other_rows(share: int, device: torch.device) -> Iterator[Row]:
    """Pictures' similarity, and steps of the optimizer."""
    for side in (200, 800, 2000):
        target = torch.rand(max(1, side // share), side, 3, device=device)
        yield _ssim_row(target)
    gaussians = [10**6 * width for width in (3, 4, 3, 1, 3, 45)]
    field = [12_000_000, 64 * 32, 16 * 64, 64 * 32, 64 * 64, 3 * 64]
    for sizes, sparse, clear in (
        ([2**24], False, False),
        ([2**24], True, False),
        (gaussians, False, False),
        (gaussians, False, True),
        (field, True, False),
    ):
        yield _adam_row([max(1, size // share) for size in sizes], sparse, clear, device)


def _adam_row(sizes: list[int], sparse: bool, clear: bool, device: torch.device) -> Row:
    """A step over tensors of these sizes, a tenth of the gradients not zero; cleared ones are zero from then on."""
    state = [[torch.rand(size, device=device) for size in sizes] for _ in range(4)]
    for gradient in state[1]:
        gradient.mul_(torch.rand_like(gradient) < 0.1)
    rows = list(range(len(sizes)))
    numbers = torch.tensor([adam_numbers(learning_rate=1e-3, step=10)] * len(sizes), device=device)
    bad = torch.zeros(len(sizes), dtype=torch.int32, device=device)
    scope = {"entries": sum(sizes), "tensors": len(sizes), "sparse": sparse, "clear": clear}
    return _plain_row("adam_", scope, (*state, numbers, rows, [sparse] * len(sizes), clear, bad))


def _ssim_row(target: Tensor) -> Row:
    op, image = OPS["ssim"], target + 0.1 * torch.randn_like(target)
    scope = {"picture": list(target.shape)}
    return Row("ssim", scope, lambda x: op(x, target), lambda x: op.reference(x, target), (image,), (0,))


GENERATORS = (grid_rows, wide_rows, network_rows, radiance_rows, other_rows)
