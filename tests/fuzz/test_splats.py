"""A few hundred damaged files for every reader; the gate's share of ``tests.nightly.fuzz``."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenekit.assets.splats import CODECS
from tests.fuzz.splats import EDITS, Edit, damaged, seeds_of, survives


@pytest.mark.bad_input
@pytest.mark.parametrize("name", CODECS)
def test_damaged_files_are_read_or_refused(name: str) -> None:
    seeds = seeds_of(name)

    @settings(max_examples=200, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(seeds) - 1), st.integers(0, 7), EDITS)
    def check(which: int, part: int, edits: list[Edit]) -> None:
        parts = list(seeds[which].parts)
        parts[part % len(parts)] = damaged(parts[part % len(parts)], edits)
        survives(name, seeds[which].whole(parts))

    check()


@pytest.mark.parametrize("name", CODECS)
def test_undamaged_seeds_are_read(name: str) -> None:
    assert all(survives(name, seed.whole(seed.parts)) for seed in seeds_of(name))
