"""What the operators over a table of several grids share: native bodies, gradients and registration.

They differ in how a point is blended from vertices: the reference body, and the C functions of the op's name.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

import torch
from torch import Tensor

from scenekit.kernels import native
from scenekit.kernels.gpu import grids
from scenekit.kernels.grid_layout import packed_layout
from scenekit.kernels.op import Op, below_autograd, once_differentiable, reference_gradients, register

Reference = Callable[[Tensor, Tensor, Sequence[float], Sequence[int], Sequence[int]], Tensor]
_LAYOUT = "float[] scales, int[] resolutions, int[] offsets"


def register_grid(name: str, reference: Reference, native_dimensions: Container[int]) -> tuple[Op, Op]:
    """The op ``name`` over (positions, table, scales, resolutions, offsets), and ``<name>_backward``.

    The C library serves points of ``native_dimensions``.
    """
    bodies = _Bodies(name, reference, native_dimensions)
    forward = register(
        f"{name}(Tensor positions, Tensor table, {_LAYOUT}) -> Tensor",
        reference,
        fake=bodies.fake,
        cpu=bodies.cpu,
        cuda=bodies.cuda,
        cuda_dtypes=grids.ENTRIES,
        autograd=_formula(name),
    )
    backward = register(
        f"{name}_backward(Tensor gradient, Tensor positions, Tensor table, {_LAYOUT}, bool[2] wanted) "
        "-> (Tensor for_positions, Tensor for_table)",
        bodies.backward_reference,
        fake=_backward_fake,
        cpu=bodies.backward_cpu,
        cuda=bodies.backward_cuda,
        cuda_dtypes=grids.ENTRIES,
    )
    return forward, backward


class _Bodies:
    def __init__(self, name: str, reference: Reference, native_dimensions: Container[int]) -> None:
        self.name = name
        self.reference = reference
        self.native_dimensions = native_dimensions

    def fake(self, positions: Tensor, table: Tensor, scales: Sequence[float], *_: Sequence[int]) -> Tensor:
        shape = positions.shape[0], len(scales) * table.shape[1]
        if table.is_cuda and grids.by_feature(self.name, positions, table):
            return table.new_empty(shape[::-1]).t()
        return table.new_empty(shape)

    def is_native(self, positions: Tensor, table: Tensor) -> bool:
        # Rows are counted in 32-bit floats offsets within a level.
        served = native.serves(positions, table) and table.numel() < 2**31
        return served and positions.shape[1] in self.native_dimensions

    def cpu(
        self,
        positions: Tensor,
        table: Tensor,
        scales: Sequence[float],
        resolutions: Sequence[int],
        offsets: Sequence[int],
    ) -> Tensor:
        if not self.is_native(positions, table):
            return self.reference(positions, table, scales, resolutions, offsets)
        positions, table = positions.contiguous(), table.contiguous()
        (count, dimensions), features, levels = positions.shape, table.shape[1], len(scales)
        result = table.new_empty(count, levels * features)
        layout = packed_layout(tuple(scales), tuple(resolutions), tuple(offsets))
        native.call(self.name, positions, table, count, dimensions, features, levels, *layout, result)
        return result

    def backward_reference(
        self,
        gradient: Tensor,
        positions: Tensor,
        table: Tensor,
        scales: Sequence[float],
        resolutions: Sequence[int],
        offsets: Sequence[int],
        wanted: Sequence[bool],
    ) -> tuple[Tensor, Tensor]:
        inputs = (positions, table, scales, resolutions, offsets)
        which = [i for i in (0, 1) if wanted[i]]
        found = dict(zip(which, reference_gradients(self.reference, inputs, which, (gradient,)), strict=True))
        return found.get(0, positions.new_empty(0)), found.get(1, table.new_empty(0))

    def backward_cpu(
        self,
        gradient: Tensor,
        positions: Tensor,
        table: Tensor,
        scales: Sequence[float],
        resolutions: Sequence[int],
        offsets: Sequence[int],
        wanted: Sequence[bool],
    ) -> tuple[Tensor, Tensor]:
        if not self.is_native(positions, table):
            return self.backward_reference(gradient, positions, table, scales, resolutions, offsets, wanted)
        gradient, positions, table = gradient.contiguous(), positions.contiguous(), table.contiguous()
        (count, dimensions), features, levels = positions.shape, table.shape[1], len(scales)
        for_positions, for_table = (
            torch.empty_like(x) if want else None for x, want in zip((positions, table), wanted, strict=True)
        )
        layout = packed_layout(tuple(scales), tuple(resolutions), tuple(offsets))
        sizes = (count, dimensions, features, levels)
        results = (for_table, for_positions)
        native.call(f"{self.name}_backward", gradient, positions, table, *sizes, *layout, *results)
        return (
            positions.new_empty(0) if for_positions is None else for_positions,
            table.new_empty(0) if for_table is None else for_table,
        )

    def cuda(
        self,
        positions: Tensor,
        table: Tensor,
        scales: Sequence[float],
        resolutions: Sequence[int],
        offsets: Sequence[int],
    ) -> Tensor:
        if not grids.takes(self.name, positions, table):
            return self.reference(positions, table, scales, resolutions, offsets)
        return grids.forward(self.name, positions, table, (scales, resolutions, offsets))

    def backward_cuda(
        self,
        gradient: Tensor,
        positions: Tensor,
        table: Tensor,
        scales: Sequence[float],
        resolutions: Sequence[int],
        offsets: Sequence[int],
        wanted: Sequence[bool],
    ) -> tuple[Tensor, Tensor]:
        # The kernels add to the table in the order that threads arrive; the reference has a fixed one where asked.
        fixed = wanted[1] and torch.are_deterministic_algorithms_enabled()
        if fixed or not grids.takes(self.name, positions, table):
            return self.backward_reference(gradient, positions, table, scales, resolutions, offsets, wanted)
        inputs = (self.name, gradient, positions, table, (scales, resolutions, offsets))
        return (
            grids.for_positions(*inputs) if wanted[0] else positions.new_empty(0),
            grids.for_table(*inputs) if wanted[1] else table.new_empty(0),
        )


def _backward_fake(
    gradient: Tensor,
    positions: Tensor,
    table: Tensor,
    scales: Sequence[float],
    resolutions: Sequence[int],
    offsets: Sequence[int],
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    results = [
        torch.empty_like(x) if want else x.new_empty(0) for x, want in zip((positions, table), wanted, strict=True)
    ]
    return results[0], results[1]


def _formula(name: str) -> type[torch.autograd.Function]:
    class Formula(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, positions: Tensor, table: Tensor, *layout: Sequence[float] | Sequence[int]) -> Tensor:
            ctx.save_for_backward(positions, table)
            ctx.layout = layout
            return below_autograd(name, positions, table, *layout)

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
            wanted = ctx.needs_input_grad[:2]
            op = getattr(torch.ops.scenekit, f"{name}_backward")
            results = op(gradients[0], *ctx.saved_tensors, *ctx.layout, wanted)
            found = (result if want else None for result, want in zip(results, wanted, strict=True))
            return (*found, None, None, None)

    return Formula
