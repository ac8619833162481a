"""Tests that the statements of hot operations use one shard, if timelines are distributed by name and users by id.

The statements that use more than one shard are listed here, so that an additional one makes a test fail.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest

from timim.server.store import accounts, conversations, groups, schema, timelines
from timim.server.store.base import MsgKey, NewEntry, c2c_timeline
from timim.server.store.operation import ExecuteMany, StartOperation

LINE = c2c_timeline("alice", "bob")
ENTRY = NewEntry(LINE, "alice", MsgKey(1, 2), b"print", b'"N":1}', 100, ("alice", "bob"))
BY_TIMELINE = frozenset({"timelines", "entries", "msg_keys", "mentions", "receipts", "receipts_wanted"})
BY_USER = frozenset({"accounts", "contacts", "members", "deletions", "deletion_logs"})
TABLES = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)")
KEY = re.compile(r"\b(?:name|timeline|user_id|id|group_id)=\?|\bVALUES\(|INSERT INTO")


def statements(connection: sqlite3.Connection, op: StartOperation[Any]) -> list[str]:
    """Return the statements of an operation, recorded while it is executed."""
    steps, sent = op(), []
    rows: Sequence[Sequence[Any]] = ()
    try:
        step = next(steps)
        while True:
            sent.append(step[0])
            if isinstance(step, ExecuteMany):
                connection.executemany(*step)
                rows = ()
            else:
                rows = connection.execute(*step).fetchall()
            step = steps.send(rows)
    except StopIteration:
        return sent


def crosses(sql: str) -> bool:
    """Return True if a statement contains no key, or joins tables that are distributed by different keys."""
    tables = set(TABLES.findall(sql))
    return not KEY.search(sql) or bool(tables & BY_TIMELINE and tables & BY_USER)


HOT: dict[str, tuple[StartOperation[Any], int]] = {  # an operation, and the number of its statements that cross shards
    "append": (lambda: timelines.append(ENTRY), 0),
    "append a duplicate": (lambda: timelines.append(ENTRY), 0),
    "find_existing": (lambda: timelines.find_existing(ENTRY), 0),
    "page": (lambda: timelines.page(LINE, 1, 99, 20, "bob"), 2),  # the reader's first visible seq, and deleted messages
    "seq_before": (lambda: timelines.seq_before(LINE, 100, "x"), 0),
    "account": (lambda: accounts.account("alice"), 0),
    "first_visible_seqs": (lambda: groups.first_visible_seqs("alice"), 0),
    "set_read": (lambda: conversations.set_read("alice", LINE, 1, 100), 2),  # once before the seq increases, once after
    "unread": (lambda: conversations.unread("alice", [LINE]), 1),  # the user's read seq, joined with its timeline
    "read_time": (lambda: conversations.read_time("alice", LINE), 1),
    # a user's conversation list reads the last seqs of all its timelines
    "conversations": (lambda: conversations.page("alice", 0, 20, 0), 1),
}


def test_hot_statements_use_one_shard_except_the_listed_ones() -> None:
    connection = sqlite3.connect(":memory:")
    for step in schema.STEPS:
        connection.executescript(step)
    for name, (op, allowed) in HOT.items():
        sent = statements(connection, op)
        assert sent, name
        assert sum(map(crosses, sent)) == allowed, (name, sent)
    connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT tail FROM entries WHERE time>?",
        "SELECT c.read_seq FROM contacts c JOIN timelines t ON t.id=c.timeline WHERE c.user_id=?",
    ],
)
def test_a_statement_across_shards_is_detected(sql: str) -> None:
    assert crosses(sql)
