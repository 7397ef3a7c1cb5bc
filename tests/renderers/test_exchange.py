"""What one of two processes makes of rows, the other one being made up."""

import pytest
import torch
from torch import Tensor

from scenekit.core.context import Share
from scenekit.core.rows import Dealt
from scenekit.kernels.project import Projected
from scenekit.renderers import exchange


def seen(rows: Tensor) -> Projected:
    return Projected(rows, rows[:, 9].detach().clone())


@pytest.mark.parametrize("pinholes", [1, 2])
def test_rows_come_one_process_after_another_and_gradients_go_back_to_who_sent_them(
    monkeypatch: pytest.MonkeyPatch, pinholes: int
) -> None:
    dealt = Dealt(Share(0, 2), 5)  # ours are 0, 2 and 4
    whole = torch.arange(pinholes * 60.0).reshape(pinholes, 5, 12)
    ours, theirs = whole[:, ::2].clone().requires_grad_(), whole[:, 1::2]
    sent: list[Tensor] = []

    def exchanged(output: Tensor, given: Tensor, received: list[int], sending: list[int]) -> None:
        sent.append(given.clone())
        other = theirs.reshape(-1, 12) if len(sent) == 1 else 100 + torch.zeros(received[1], 12)
        output.copy_(torch.cat([given[: 3 * pinholes], other]))

    monkeypatch.setattr(exchange.processes, "all_to_all_single", exchanged)
    found = exchange.exchanged(dealt, [[seen(each) for each in ours], [seen(2 * each) for each in ours]])
    rows = torch.stack([each.rows for each in found])
    assert torch.equal(rows, torch.cat([ours, theirs], 1))
    assert torch.equal(torch.stack([each.depths for each in found]), rows[..., 9])
    assert torch.equal(sent[0], torch.cat([*ours, *(2 * ours)]))
    weights = torch.arange(pinholes * 5.0).reshape(pinholes, 5, 1)
    (rows * weights).sum().backward()
    assert sent[1][:, 0].tolist() == [*weights[:, :3].flatten(), *weights[:, 3:].flatten()]  # ours, then theirs
    assert ours.grad is not None
    wanted = weights[:, :3, 0] + 200  # what we see of it, and twice what they do
    assert torch.equal(ours.grad[..., 0], wanted)


def test_a_process_may_hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dealt = Dealt(Share(1, 2), 1)
    row = torch.ones(1, 12)
    monkeypatch.setattr(exchange.processes, "all_to_all_single", lambda output, *_: output.copy_(row))
    (found,) = exchange.exchanged(dealt, [[seen(row[:0])], [seen(row[:0])]])
    assert torch.equal(found.rows, row)
