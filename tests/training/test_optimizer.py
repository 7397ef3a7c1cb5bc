from dataclasses import replace
from typing import Any

import pytest
import torch

from scenekit.core.protocols import Change, ParameterGroup
from scenekit.core.schedules import constant
from scenekit.training.optimizer import Optimizer


def group(name: str, *, rows: bool = False, sparse: bool = False) -> ParameterGroup:
    parameter = torch.nn.Parameter(torch.arange(6.0).reshape(3, 2))
    return ParameterGroup(name, {name: parameter}, constant(0.1), rows=rows, sparse=sparse, eps=1e-8)


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        pytest.param(1, {"lr": 0.1}, id="of one batch"),
        pytest.param(4, {"lr": 0.1 * 2, "betas": (0.9**4, 0.999**4), "eps": 1e-8 / 2}, id="of four at once"),
    ],
)
def test_steps_equal_torch_adam(batches: int, expected: dict[str, Any]) -> None:
    """One that sees more batches goes farther and forgets as much a batch."""
    ours = group("a")
    theirs = torch.nn.Parameter(ours.parameters["a"].detach().clone())
    oracle = torch.optim.Adam([theirs], **expected)
    optimizer = Optimizer([ours], batches)
    for seed in range(5):
        gradient = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed))
        ours.parameters["a"].grad = gradient.clone()
        theirs.grad = gradient
        optimizer.step(0.0)
        oracle.step()
    torch.testing.assert_close(ours.parameters["a"], theirs)


def test_sparse_groups_leave_untouched_entries_alone() -> None:
    sparse = group("a", sparse=True)
    before = sparse.parameters["a"].detach().clone()
    optimizer = Optimizer([sparse])
    for touched in (0, 1):
        gradient = torch.zeros(3, 2)
        gradient[touched] = 1.0
        sparse.parameters["a"].grad = gradient
        optimizer.step(0.0)
    moved = sparse.parameters["a"].detach() - before
    assert torch.equal(moved[2], torch.zeros(2))
    assert (moved[:2] < 0).all()


def test_parts_of_a_parameter_decay_by_their_own_weights() -> None:
    ours = replace(group("a"), decays=((1, 0.5), (2, 0.0)))
    theirs = [torch.nn.Parameter(part.clone()) for part in ours.parameters["a"].detach().split([1, 2])]
    oracle = torch.optim.Adam([{"params": theirs[:1], "weight_decay": 0.5}, {"params": theirs[1:]}], lr=0.1)
    optimizer = Optimizer([ours])
    for seed in range(5):
        gradient = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed))
        ours.parameters["a"].grad = gradient.clone()
        for part, slope in zip(theirs, gradient.split([1, 2]), strict=True):
            part.grad = slope
        optimizer.step(0.0)
        oracle.step()
    torch.testing.assert_close(ours.parameters["a"].detach(), torch.cat([part.detach() for part in theirs]))


def test_parameters_put_elsewhere_and_loaded_moments_are_followed() -> None:
    ours = replace(group("a"), decays=((1, 0.5), (2, 0.0)))
    optimizer = Optimizer([ours])
    parameter = ours.parameters["a"]

    def step() -> None:
        parameter.grad = torch.ones(3, 2)
        optimizer.step(0.0)

    step()
    kept = {key: value.clone() for key, value in optimizer.state_dict()["first"].items()}
    before = parameter.data
    left = before.clone()
    parameter.data = before.clone()
    step()
    assert torch.equal(before, left)
    assert (parameter.detach() < left).all()
    optimizer.load_state_dict(optimizer.state_dict() | {"first": kept})
    loaded = kept["a"].clone()
    step()
    assert not torch.equal(kept["a"], loaded)  # the very tensor that was loaded moves on


def test_a_change_moves_parameters_and_moments_together() -> None:
    one, other = group("a", rows=True), group("b")
    optimizer = Optimizer([one, other])
    one.parameters["a"].grad = torch.ones(3, 2)
    optimizer.step(0.0)
    after = one.parameters["a"].detach().clone()
    change = Change(torch.tensor([2, 0, 0]), torch.tensor([False, False, True]))
    optimizer.apply(change)
    assert torch.equal(one.parameters["a"], after[[2, 0, 0]])
    first = optimizer.state_dict()["first"]
    assert (first["a"][:2] != 0).all()
    assert torch.equal(first["a"][2], torch.zeros(2))
    assert first["b"].shape == (3, 2)


def test_a_change_may_bring_new_values_and_forget_moments() -> None:
    one = group("a", rows=True)
    optimizer = Optimizer([one])
    one.parameters["a"].grad = torch.ones(3, 2)
    optimizer.step(0.0)
    values = torch.full((2, 2), 7.0)
    change = Change(torch.tensor([0, 1]), torch.zeros(2, dtype=torch.bool), {"a": values}, frozenset({"a"}))
    optimizer.apply(change)
    assert torch.equal(one.parameters["a"], values)
    assert not optimizer.state_dict()["second"]["a"].any()


@pytest.mark.bad_input
def test_two_parameters_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted each once"):
        Optimizer([group("a"), group("a")])


@pytest.mark.bad_input
def test_a_state_with_other_names_is_refused() -> None:
    with pytest.raises(ValueError, match="optimizer: wanted"):
        Optimizer([group("a")]).load_state_dict(Optimizer([group("b")]).state_dict())


def test_a_replaced_parameter_takes_any_shape_and_starts_its_moments_anew() -> None:
    plane, other = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3))
    groups = [ParameterGroup("planes", {"plane": plane, "other": other}, constant(0.1))]
    optimizer = Optimizer(groups)
    plane.grad, other.grad = torch.ones(2, 2), torch.ones(3)
    optimizer.step(0.0)
    plane.grad = torch.ones(2, 2)
    optimizer.apply(Change.replacing({"plane": torch.full((4, 4), 5.0)}))
    assert plane.grad is None
    assert torch.equal(plane, torch.full((4, 4), 5.0))
    state = optimizer.state_dict()
    assert torch.equal(state["first"]["plane"], torch.zeros(4, 4))
    assert state["first"]["other"].all()


def test_an_update_repeats_with_the_numbers_of_the_last_advance() -> None:
    ours, whole = group("a"), group("a")
    halves, steps = Optimizer([ours]), Optimizer([whole])
    for seed in range(3):
        gradient = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed))
        ours.parameters["a"].grad, whole.parameters["a"].grad = gradient.clone(), gradient
        halves.advance(0.0)
        halves.update(clear=True)
        steps.step(0.0)
        kept = ours.parameters["a"].grad
        assert kept is not None
        assert not kept.any()
    assert torch.equal(ours.parameters["a"], whole.parameters["a"])


def test_a_guarded_update_names_parameters_whose_gradient_is_no_number() -> None:
    groups = [group("a"), group("b"), group("c")]
    before = groups[1].parameters["b"].detach().clone()
    optimizer = Optimizer(groups)
    for part, name in zip(groups[:2], "ab", strict=True):
        part.parameters[name].grad = torch.ones(3, 2)
    grad = groups[1].parameters["b"].grad
    assert grad is not None
    grad[1, 1] = torch.nan
    optimizer.advance(0.0)
    optimizer.update(guarded=True)
    assert optimizer.bad.tolist() == [name == "b" for group in optimizer.groups for name in group.parameters]
    moved = groups[1].parameters["b"].detach() - before
    assert moved[1, 1] == 0
    assert (moved.flatten()[:3] < 0).all()


@pytest.mark.bad_input
def test_decays_of_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="decays of a: wanted 3 rows in all"):
        Optimizer([replace(group("a"), decays=((2, 0.5),))])
