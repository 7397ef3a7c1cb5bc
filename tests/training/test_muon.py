"""Steps of orthogonalised momentum."""

from __future__ import annotations

import math

import pytest
import torch

from scenekit.core.protocols import Change, ParameterGroup
from scenekit.core.schedules import constant
from scenekit.training.muon import Muon, muon_numbers, orthogonal, parts, stack_for
from scenekit.training.optimizer import Optimizer

SHAPES = ((12, 12), (12, 5), (4, 12))


def matrices(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def numbers(*rates: float, momentum: float = 0.9) -> torch.Tensor:
    return torch.tensor([muon_numbers(learning_rate=rate, momentum=momentum) for rate in rates])


def made(rates: torch.Tensor, first: int = 0) -> tuple[Muon, torch.Tensor]:
    """Of :func:`matrices`, and what is bad."""
    bad = torch.zeros(len(rates), dtype=torch.int32)
    named = {name: torch.nn.Parameter(matrix) for name, matrix in zip("abc", matrices(), strict=True)}
    return Muon(named, rates, bad, first), bad


def step(muon: Muon, gradients: list[torch.Tensor], *, clear: bool = False) -> list[torch.Tensor]:
    """The matrices afterwards."""
    for parameter, gradient in zip(muon.matrices.values(), gradients, strict=True):
        parameter.grad = gradient
    muon.update(clear=clear)
    return [parameter.detach() for parameter in muon.matrices.values()]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_singular_values_come_near_one_whatever_they_were(scale: float) -> None:
    for matrix in matrices():
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        wide = u @ torch.diag(scale * torch.logspace(0, -2, len(vh))) @ vh  # a hundred times as large as the smallest
        (found,) = orthogonal(wide[None])
        left, values, right = torch.linalg.svd(found, full_matrices=False)
        assert (values > 0.6).all()
        assert (values < 1.3).all()
        torch.testing.assert_close(left @ right, u @ vh, atol=2e-3, rtol=0)


def test_nothing_stays_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


def test_what_is_padded_moves_as_if_alone() -> None:
    stack = stack_for(matrices())
    for part, matrix in zip(parts(stack, matrices()), matrices(), strict=True):
        part.copy_(matrix)
    for matrix, found in zip(matrices(), orthogonal(stack), strict=True):
        rows, columns = matrix.shape
        torch.testing.assert_close(found[:rows, :columns], orthogonal(matrix[None])[0], atol=1e-5, rtol=0)
        assert not found[rows:].any()
        assert not found[:, columns:].any()


def test_steps_follow_momentum() -> None:
    muon, bad = made(numbers(0.1, 0.1, 0.1))
    expected, remembered = matrices(), [torch.zeros(shape) for shape in SHAPES]
    for seed in range(1, 4):
        gradients = matrices(seed)
        found = step(muon, gradients)
        remembered = [0.9 * m + g for m, g in zip(remembered, gradients, strict=True)]
        ahead = [g + 0.9 * m for m, g in zip(remembered, gradients, strict=True)]
        expected = [w - 0.1 * orthogonal(a[None])[0] for w, a in zip(expected, ahead, strict=True)]
        for one, wanted in zip([*found, *muon.momenta.values()], [*expected, *remembered], strict=True):
            torch.testing.assert_close(one, wanted, atol=1e-5, rtol=1e-5)
    assert not bad.any()


def test_rows_say_which_rate_is_whose_and_gradients_are_cleared() -> None:
    muon, _ = made(numbers(9.0, 0.25, 0.0, 0.5), first=1)
    gradients = matrices(1)
    moved = [found - before for found, before in zip(step(muon, gradients, clear=True), matrices(), strict=True)]
    norms = [float(torch.linalg.matrix_norm(value, 2)) for value in moved]
    assert 0.25 * 0.6 < norms[0] < 0.25 * 1.3
    assert norms[1] == 0
    assert 0.5 * 0.6 < norms[2] < 0.5 * 1.3
    assert not any(gradient.any() for gradient in gradients)


def test_without_a_gradient_a_matrix_goes_where_it_went() -> None:
    muon, _ = made(numbers(0.1, 0.1, 0.1))
    before = [value.clone() for value in step(muon, matrices(1))]
    for parameter in muon.matrices.values():
        parameter.grad = None
    muon.update(clear=False)
    assert all(torch.equal(p, old) for p, old in zip(muon.matrices.values(), before, strict=True))
    muon.matrices["a"].grad = matrices(2)[0]
    momentum = muon.momenta["b"].clone()
    muon.update(clear=False)
    torch.testing.assert_close(muon.momenta["b"], 0.9 * momentum)
    expected = before[1] - 0.1 * orthogonal(momentum[None])[0]
    torch.testing.assert_close(muon.matrices["b"].detach(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_matrix_whose_gradient_is_no_number_is_left_alone_and_named(wrong: float) -> None:
    muon, bad = made(numbers(0.1, 0.1, 0.1))
    before = [value.clone() for value in step(muon, matrices(1))]
    momentum = muon.momenta["b"].clone()
    gradients = matrices(2)
    gradients[1][3, 2] = wrong
    found = step(muon, gradients)
    assert bad.tolist() == [0, 1, 0]
    assert torch.equal(found[1], before[1])
    assert torch.equal(muon.momenta["b"], momentum)
    for index in (0, 2):
        assert found[index].isfinite().all()
        assert not torch.equal(found[index], before[index])


def test_what_is_replaced_begins_anew_at_its_new_size() -> None:
    groups = [network(True), other()]
    optimizer = optimized(Optimizer(groups), 0, 2)
    kept = optimizer.state_dict()["momentum"]["a"].clone()
    optimizer.apply(Change.replacing({"b": torch.ones(20, 6)}))
    state = optimizer.state_dict()["momentum"]
    assert torch.equal(state["a"], kept)
    assert torch.equal(state["b"], torch.zeros(20, 6))
    optimized(optimizer, 2, 3)
    assert not torch.equal(groups[0].parameters["b"], torch.ones(20, 6))


def network(orthogonally: bool) -> ParameterGroup:
    weights = {name: torch.nn.Parameter(matrix) for name, matrix in zip("abc", matrices(), strict=True)}
    return ParameterGroup("network", weights, constant(0.1), betas=(0.9, 0.0), orthogonal=orthogonally)


def other() -> ParameterGroup:
    return ParameterGroup("other", {"other": torch.nn.Parameter(torch.ones(3))}, constant(0.1))


def optimized(optimizer: Optimizer, first: int, last: int) -> Optimizer:
    for seed in range(first, last):
        for group in optimizer.groups:
            for name, parameter in group.parameters.items():
                generator = torch.Generator().manual_seed(100 * seed + ord(name[0]))
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step(0.0)
    return optimizer


def values_of(optimizer: Optimizer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for group in optimizer.groups for name, p in group.parameters.items()}


def test_an_optimizer_takes_both_kinds_of_groups_and_continues_bit_for_bit() -> None:
    whole = optimized(Optimizer([network(True), other()]), 0, 6)
    half = optimized(Optimizer([network(True), other()]), 0, 3)
    resumed = Optimizer([network(True), other()])
    resumed.load_state_dict(half.state_dict())
    for group in resumed.groups:
        for name, parameter in group.parameters.items():
            parameter.data.copy_(values_of(half)[name])
    optimized(resumed, 3, 6)
    for name, value in values_of(whole).items():
        assert torch.equal(value, values_of(resumed)[name])
    adam = values_of(optimized(Optimizer([network(False), other()]), 0, 6))
    assert torch.equal(adam["other"], values_of(whole)["other"])
    assert not torch.equal(adam["a"], values_of(whole)["a"])


def test_an_ill_conditioned_problem_is_solved_further_than_with_adam() -> None:
    """Inputs vary a hundred times as much in one direction as in another, none of them that of a single weight."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(12, 12, generator=generator))
    inputs = torch.randn(256, 12, generator=generator) * torch.logspace(0, -2, 12) @ basis
    wanted = inputs @ torch.randn(12, 12, generator=generator)

    def left(orthogonally: bool) -> float:
        weights = torch.nn.Parameter(torch.zeros(12, 12))
        group = ParameterGroup("w", {"w": weights}, lambda p: 0.3 * (1 - p), betas=(0.9, 0.99), orthogonal=orthogonally)
        optimizer = Optimizer([group])
        for step in range(100):
            loss = (inputs @ weights - wanted).square().mean()
            loss.backward()
            optimizer.step(step / 100)
        return float((inputs @ weights.detach() - wanted).square().mean())

    assert left(orthogonally=True) < left(orthogonally=False) / 10


@pytest.mark.bad_input
def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"other: wanted a matrix without decays to make steps orthogonal, found \[3\]"
    ):
        Optimizer([ParameterGroup("other", other().parameters, constant(0.1), orthogonal=True)])
