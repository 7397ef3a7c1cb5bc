"""One property test over the registry OPS: references, native bodies, gradients, odd inputs, tracing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from scenekit.kernels import OPS

from .op_samples import SAMPLES, Sample

NAMES = sorted(OPS)
DIFFERENTIABLE = [name for name in NAMES if OPS[name].differentiable]
HALF = [name for name in NAMES if name in SAMPLES and SAMPLES[name].half is not None]


def _arguments(name: str, dtype: torch.dtype, rows: int) -> tuple[Any, ...]:
    return SAMPLES[name].make(torch.Generator().manual_seed(7), dtype, rows)


def _converted(arguments: Any, dtype: torch.dtype) -> Any:
    """Fresh copies, floating tensors in ``dtype``."""
    return tree_map(lambda x: _convert(x, dtype) if isinstance(x, Tensor) else x, arguments)


def _convert(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.detach().to(dtype, copy=True) if x.is_floating_point() else x.clone()


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


def _leaves(arguments: tuple[Any, ...], sample: Sample) -> list[Tensor]:
    """The tensors to differentiate, made to require a gradient."""
    leaves = [x for position in sample.differentiable for x in _tensors(arguments[position])]
    return [x.requires_grad_() for x in leaves]


def _gradients(body: Callable[..., Any], sample: Sample, arguments: tuple[Any, ...]) -> list[Tensor]:
    """Gradients of a fixed random combination of all differentiable outputs of an op or a reference."""
    leaves = _leaves(arguments, sample)
    outputs = [x for x in _tensors(body(*arguments)) if x.requires_grad]
    generator = torch.Generator().manual_seed(11)
    seeds = [torch.randn(x.shape, generator=generator, dtype=torch.float32).to(x) for x in outputs]
    gradients = torch.autograd.grad(outputs, leaves, seeds, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True)]


def _assert_near(found: list[Tensor], wanted: list[Tensor], tolerance: float, what: str) -> None:
    assert len(found) == len(wanted), what
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert a.shape == b.shape, f"{what} {index}: shape {list(a.shape)}, wanted {list(b.shape)}"
        if not b.is_floating_point():
            assert torch.equal(a, b), f"{what} {index}: differs"
        elif b.numel():
            error = (a.double() - b.double()).abs().max()
            scale = b.double().abs().max().clamp_min(1e-30)
            assert error <= tolerance * scale, f"{what} {index}: {error:.3g} of {scale:.3g}"


def _assert_same_bits(found: list[Tensor], wanted: list[Tensor], what: str) -> None:
    for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert torch.equal(a, b), f"{what} {index}: differs"


def _spread(x: Any) -> Any:
    """The same values with gaps in memory."""
    if not isinstance(x, Tensor) or x.dim() == 0:
        return x
    return torch.stack([x, x], -1)[..., 0].detach()


def test_every_op_has_a_sample():
    assert not set(NAMES) - set(SAMPLES)


def _combined(output: Tensor) -> Tensor:
    """Fixed random combinations of a large output: each value counts, and far fewer derivatives are taken."""
    if output.numel() <= 256:
        return output
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(64, output.numel(), generator=generator, dtype=output.dtype)
    return weights @ output.flatten()


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_of_the_reference_match_finite_differences(name: str):
    sample = SAMPLES[name]
    arguments = _arguments(name, torch.float64, sample.check_rows)
    leaves = _leaves(arguments, sample)
    flat, structure = tree_flatten(arguments)

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        of = {id(leaf): value for leaf, value in zip(leaves, values, strict=True)}
        replaced = tree_unflatten([of.get(id(x), x) for x in flat], structure)
        return tuple(_combined(x) for x in _tensors(OPS[name](*replaced)) if x.requires_grad)

    assert torch.autograd.gradcheck(run, leaves, eps=1e-6, atol=1e-6, rtol=1e-4)


@pytest.mark.compile
@pytest.mark.parametrize("name", NAMES)
def test_op_passes_opcheck(name: str):
    sample = SAMPLES[name]
    arguments = _arguments(name, torch.float32, sample.check_rows)
    if OPS[name].differentiable:
        _leaves(arguments, sample)
    every = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    tests = [test for test in every if test not in sample.opcheck_skips]
    torch.library.opcheck(getattr(torch.ops.scenekit, name).default, arguments, test_utils=tests)


@pytest.mark.parametrize("rows", ["many", 1, 0])
@pytest.mark.parametrize("name", NAMES)
def test_float32_values_match_the_reference(name: str, rows: str | int):
    sample = SAMPLES[name]
    arguments = _arguments(name, torch.float32, sample.rows if rows == "many" else int(rows))
    mine, theirs = _converted(arguments, torch.float32), _converted(arguments, sample.reference_dtype)
    found, wanted = _tensors(OPS[name](*mine)), _tensors(OPS[name].reference(*theirs))
    _assert_near(found, wanted, sample.tolerance, "output")
    _assert_near(_tensors(mine), _tensors(theirs), sample.tolerance, "argument after the call")


@pytest.mark.parametrize("rows", ["many", 1, 0])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_float32_gradients_match_the_reference(name: str, rows: str | int):
    sample = SAMPLES[name]
    arguments = _arguments(name, torch.float32, sample.rows if rows == "many" else int(rows))
    found = _gradients(OPS[name], sample, _converted(arguments, torch.float32))
    wanted = _gradients(OPS[name].reference, sample, _converted(arguments, sample.reference_dtype))
    _assert_near(found, wanted, sample.tolerance, "gradient")


@pytest.mark.parametrize("name", NAMES)
def test_tensors_with_gaps_in_memory_give_the_same_bits(name: str):
    arguments = _arguments(name, torch.float32, SAMPLES[name].check_rows)
    spread = tree_map(_spread, arguments)
    dense = _converted(arguments, torch.float32)
    _assert_same_bits(_tensors(OPS[name](*spread)), _tensors(OPS[name](*dense)), "output")
    _assert_same_bits(_tensors(spread), _tensors(dense), "argument after the call")


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_an_expanded_gradient_is_taken(name: str):
    sample = SAMPLES[name]

    def summed(body: Callable[..., Any], dtype: torch.dtype) -> list[Tensor]:
        arguments = _converted(_arguments(name, torch.float32, sample.check_rows), dtype)
        leaves = _leaves(arguments, sample)
        first = next(x for x in _tensors(body(*arguments)) if x.requires_grad)
        gradients = torch.autograd.grad(first.sum(), leaves, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True)]

    # Sums of signed terms cancel, so the scale is looser than that of a random cotangent.
    found, wanted = summed(OPS[name], torch.float32), summed(OPS[name].reference, sample.reference_dtype)
    _assert_near(found, wanted, 10 * sample.tolerance, "gradient")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_bits(name: str):
    arguments = _arguments(name, torch.float32, SAMPLES[name].rows)

    def run() -> list[Tensor]:
        mine = _converted(arguments, torch.float32)
        results = _tensors(OPS[name](*mine))
        if OPS[name].differentiable:
            results += _gradients(OPS[name], SAMPLES[name], _converted(arguments, torch.float32))
        return results

    _assert_same_bits(run(), run(), "result")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", HALF)
def test_half_precision_reaches_the_reference(name: str, dtype: torch.dtype):
    sample = SAMPLES[name]
    arguments = _converted(_arguments(name, torch.float32, sample.check_rows), dtype)
    wanted = _tensors(OPS[name].reference(*_converted(arguments, torch.float64)))
    found = _tensors(OPS[name](*arguments))
    _assert_near(found, wanted, sample.half or 0.0, "output")
