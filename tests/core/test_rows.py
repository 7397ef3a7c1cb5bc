"""Rows that several processes hold, as far as one of them can tell alone."""

import torch

from scenekit.core.context import Share
from scenekit.core.rows import Dealt, Order


def test_rows_of_one_process_after_another_find_their_places_among_all() -> None:
    owners = torch.tensor([1, 0, 2, 0, 1])
    whole = torch.tensor([10, 11, 12, 13, 14])
    order = Order.of(owners)
    parts = torch.cat([whole[owners == rank] for rank in range(3)])
    assert torch.equal(parts[order.places], whole)
    assert torch.equal(whole[order.rows], parts)


def test_the_order_is_that_of_the_newest_owners() -> None:
    dealt = Dealt(Share(1, 2), 4)
    assert dealt.order_on(torch.device("cpu")).rows.tolist() == [0, 2, 1, 3]
    assert dealt.order_on(torch.device("cpu")) is dealt.order_on(torch.device("cpu"))
    version = dealt.version
    dealt.set_owners(torch.tensor([1, 1, 0], dtype=torch.int32))
    assert dealt.version != version
    assert dealt.order_on(torch.device("cpu")).rows.tolist() == [2, 0, 1]
