"""Rows that several processes hold, as far as one of them can tell alone."""

import torch

from scenekit.core.context import Share
from scenekit.core.rows import Dealt


def test_rows_are_found_among_those_of_one_process_after_another_by_the_newest_owners() -> None:
    cpu, dealt = torch.device("cpu"), Dealt(Share(1, 3), 4)
    assert dealt.places_on(cpu).tolist() == [0, 2, 3, 1]
    assert dealt.places_on(cpu) is dealt.places_on(cpu)
    version, owners = dealt.version, torch.tensor([1, 0, 2, 0, 1], dtype=torch.int32)
    dealt.set_owners(owners)
    assert dealt.version != version
    whole = torch.tensor([10, 11, 12, 13, 14])
    assert torch.equal(torch.cat([whole[owners == rank] for rank in range(3)])[dealt.places_on(cpu)], whole)
