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


def test_rows_come_in_the_order_of_all_and_gradients_go_back_to_who_sent_them(monkeypatch: pytest.MonkeyPatch) -> None:
    dealt = Dealt(Share(0, 2), 5)  # ours are 0, 2 and 4
    whole = torch.arange(60.0).reshape(5, 12)
    ours, theirs = whole[::2].clone().requires_grad_(), whole[1::2]
    sent: list[Tensor] = []

    def exchanged(output: Tensor, given: Tensor, received: list[int], sending: list[int]) -> None:
        sent.append(given.clone())
        other = theirs if received == [3, 2] else 100 + torch.zeros(3, 12)
        output.copy_(torch.cat([given[:3], other]))

    monkeypatch.setattr(exchange.processes, "all_to_all_single", exchanged)
    (found,) = exchange.exchanged(dealt, [[seen(ours)], [seen(2 * ours)]])
    assert torch.equal(found.rows, whole)
    assert torch.equal(found.depths, whole[:, 9])
    assert torch.equal(sent[0], torch.cat([ours, 2 * ours]))
    (found.rows * torch.arange(5.0)[:, None]).sum().backward()
    assert sent[1][:, 0].tolist() == [0, 2, 4, 1, 3]  # of our rows, then of theirs
    assert ours.grad is not None
    assert ours.grad[:, 0].tolist() == [200, 202, 204]  # what we see, and twice what they see of it


def test_a_process_may_hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dealt = Dealt(Share(1, 2), 1)
    row = torch.ones(1, 12)
    monkeypatch.setattr(exchange.processes, "all_to_all_single", lambda output, *_: output.copy_(row))
    (found,) = exchange.exchanged(dealt, [[seen(row[:0])], [seen(row[:0])]])
    assert torch.equal(found.rows, row)
