"""Tests that entries appended together are stored like entries appended one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.store_contract import LINE, entry
from timim import MsgIdConflict
from timim.server.store import schema, timelines
from timim.server.store.base import (
    Appended,
    NewEntry,
    c2c_timeline,
    group_timeline,
)
from timim.server.store.operation import Execute, Operation
from timim.server.store.sqlite import bound

ONE = st.builds(
    lambda line, number, body, sender: entry(number, body=body, line=line, sender=sender),
    st.sampled_from([LINE, c2c_timeline("alice", "carol"), group_timeline("g")]),
    st.integers(1, 4),
    st.sampled_from([b"x", b"y"]),
    st.sampled_from(["alice", "bob"]),
)


UNNAMED = ONE.map(lambda one: replace(one, msg_key=None, fingerprint=b""))


Together = Callable[[Sequence[NewEntry]], Operation[list[Appended | MsgIdConflict]]]


def came_to(batches: Sequence[Sequence[NewEntry]], together: Together) -> tuple[list[object], list[list[Any]]]:
    """Return the results of these batches, and the rows of the tables afterwards."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(" ".join(schema.STEPS))
    told = [bound(partial(together, batch))(connection) for batch in batches]
    tables = ("timelines", "entries", "msg_keys", "contacts")
    kept = [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4").fetchall() for table in tables]
    connection.close()
    return [one if isinstance(one, Appended) else str(one) for batch in told for one in batch], kept


BATCHES = st.lists(st.lists(ONE | UNNAMED, min_size=1, max_size=8), min_size=1, max_size=4)


def check_together(batches: list[list[NewEntry]]) -> None:
    assert came_to(batches, timelines.append_all) == came_to(batches, timelines.one_by_one)


@given(batches=BATCHES)
def test_appending_together_equals_appending_one_by_one(batches: list[list[NewEntry]]) -> None:
    check_together(batches)


@settings(phases=[Phase.generate], database=None)  # the first failure is enough: the smallest example is not needed
@given(batches=BATCHES)
def check_generated(batches: list[list[NewEntry]]) -> None:
    check_together(batches)


def test_a_bulk_append_that_returns_no_seq_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    def keeps(entries: Sequence[NewEntry], places: object) -> Operation[bool]:
        yield Execute("SELECT 1")
        return False

    monkeypatch.setattr(timelines, "_insert_msg_ids", keeps)
    with pytest.raises(AssertionError):
        check_generated()
