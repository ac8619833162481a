"""Tests that messages stored by one statement give the same rows as messages stored one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from timim import ConversationType
from timim.ids import ConversationKey
from timim.local_store import bulk_insert, schema, writes
from timim.local_store.types import IngestBatch, MessageRow
from timim.message import ALL, MessageState, SenderMember, SenderProfile
from timim.protocol.coverage import Interval

Insert = Callable[[sqlite3.Connection, IngestBatch], tuple[int, int]]
GROUP = ConversationKey(ConversationType.GROUP, "g")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "\0", "a\0b", "\\u0000", '"', "李雷\n"]
)
CUSTOM = st.dictionaries(TEXT, TEXT, max_size=2)
SIXTY_FOUR_BITS = st.integers(-(2**63), 2**63 - 1)
INCOMING = st.builds(
    MessageRow,
    seq=st.integers(1, 12),
    msg_id=st.integers(0, 2**32 - 1).map("1700000000-{0}-{0:x}".format),
    sender=TEXT,
    timestamp=SIXTY_FOUR_BITS,
    is_self=st.booleans(),
    body=st.binary(max_size=8) | TEXT.map(str.encode),
    priority=st.sampled_from(["High", "Normal", "Low"]),
    cloud_custom_data=TEXT,
    profile=st.none() | st.builds(SenderProfile, TEXT, TEXT, TEXT, CUSTOM),
    member=st.none() | st.builds(SenderMember, TEXT, TEXT, TEXT, CUSTOM),
    state=st.none() | st.builds(MessageState, recall_seq=st.integers(0, 1), recaller=TEXT, version=st.integers(0, 2)),
    mentions=st.sampled_from([(), ("bob",), (ALL, "a\0b")]),
    calls=st.booleans(),
    requests=st.integers(0, 3),
)
PLAIN = st.builds(
    MessageRow,
    seq=st.integers(1, 12),
    msg_id=st.just("1-1"),
    sender=TEXT,
    timestamp=st.just(1),
    is_self=st.just(False),
    body=TEXT.map(str.encode),
)


def batch_of(incoming: Sequence[MessageRow], live: bool) -> IngestBatch:
    distinct = sorted({item.seq: item for item in incoming}.values(), key=lambda item: item.seq)
    return IngestBatch(
        GROUP, distinct, [Interval(item.seq, item.seq) for item in distinct], live=live, last_seq=12, user_id="bob"
    )


BATCH = st.builds(batch_of, st.lists(INCOMING, max_size=6) | st.lists(PLAIN, max_size=6), st.booleans())


def came_to(batches: Sequence[IngestBatch], insert: Insert) -> tuple[list[list[Any]], list[Any]]:
    """Return the new messages that these batches reported, and the rows of the table afterwards."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    with patch.object(bulk_insert, "insert_all", insert):
        stored = [writes.ingest(connection, batch) for batch in batches]
    new = [[(message.local_id, message.seq, message.msg_id) for message in one.new] for one in stored]
    rows = connection.execute("SELECT * FROM messages ORDER BY local_id").fetchall()
    connection.close()
    return new, rows


@given(batches=st.lists(BATCH, min_size=1, max_size=3))
@example(batches=[batch_of([MessageRow(n, "1-1", "a", 1, False, b"[]", calls=n == 2) for n in (1, 2)], True)])
@example(batches=[batch_of([MessageRow(1, "1-1", "a", 1, False, b'[{"MsgType":"\xff"}]')], True)])
@example(batches=[batch_of([MessageRow(n, "1-1", "a\0b", 1, False, b"[]") for n in (1, 2)], True)])
@example(batches=[batch_of([MessageRow(n, "1-1", "a", 2**63 - 1, False, b"[]") for n in (1, 2)], True)] * 2)
def test_storing_messages_together_equals_storing_them_one_by_one(batches: list[IngestBatch]) -> None:
    assert came_to(batches, bulk_insert.insert_all) == came_to(batches, bulk_insert.insert_each)


def test_blobs_in_the_wrong_position_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bulk_insert._Blob.whole
    monkeypatch.setattr(bulk_insert._Blob, "whole", lambda self: whole(self)[1:])
    with pytest.raises(AssertionError):
        test_storing_messages_together_equals_storing_them_one_by_one()


def test_most_messages_are_stored_together() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    writes.ingest(
        connection,
        batch_of([MessageRow(n, f"1-{n}", "alice", 1, False, b'[{"text":"\xe4\xbd\xa0\\n"}]') for n in range(1, 9)], True),
    )
    connection.close()
    assert sum(statement.startswith("INSERT INTO messages") for statement in statements) == 1
