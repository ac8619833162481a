"""Tests that a lookup by an id reads an index, whatever the number of messages."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from timim.local_store import message_rows, schema


@pytest.mark.parametrize(
    "condition, arguments, index",
    [
        (message_rows.WITH_MSG_ID, 4, "SEARCH m USING INDEX messages_msg_id (<expr>=?)"),
        (message_rows.WITH_UNIQUE_ID, 5, "SEARCH s USING INDEX messages_seq (type=? AND peer=? AND seq=?)"),
    ],
)
def test_a_lookup_by_an_id_searches_an_index_and_scans_no_messages(condition: str, arguments: int, index: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        schema.migrate(connection)
        rows = connection.execute(f"EXPLAIN QUERY PLAN {message_rows.SELECT} {condition}", (1,) * arguments)
        plan = [row[3] for row in rows]
    assert index in plan
    few = {"SCAN k", "SCAN given", "SCAN CONSTANT ROW"}  # k: the conversations; given: the id
    assert [step for step in plan if step.startswith("SCAN") and step not in few] == []
