"""Tests of garbage collection in a serving process."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from timim.util.garbage import ALLOCATIONS, tune_for_serving


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_loaded_objects_are_no_longer_collected_and_new_cycles_are() -> None:
    tune_for_serving()
    assert gc.get_freeze_count() > 1_000
    assert gc.get_threshold()[0] == ALLOCATIONS

    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1
