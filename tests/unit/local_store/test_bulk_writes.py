"""Tests that messages and acks stored by one statement give the same rows as those stored one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from timim import ConversationType
from timim.ids import ConversationKey
from timim.local_store import bulk_writes, schema, writes
from timim.local_store.types import Ack, IngestBatch, MessageRow, Outgoing
from timim.message import ALL, Message, MessageState, MessageStatus, Priority, SenderMember, SenderProfile
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


def of_one_user(given: Sequence[MessageRow], rare: str | None) -> list[MessageRow]:
    """Return messages that have all values of the first one but their own, and perhaps one more value of their own."""
    plain = msgspec.structs.replace(given[0], state=None, mentions=(), calls=False, requests=0)
    own = {"seq", "msg_id", "timestamp", "body", rare or "seq"}
    return [msgspec.structs.replace(plain, **{name: getattr(one, name) for name in own}) for one in given]


ALIKE = st.builds(
    of_one_user, st.lists(INCOMING, min_size=2, max_size=6), st.none() | st.sampled_from(MessageRow.__struct_fields__)
)


def batch_of(incoming: Sequence[MessageRow], live: bool) -> IngestBatch:
    distinct = sorted({item.seq: item for item in incoming}.values(), key=lambda item: item.seq)
    return IngestBatch(
        GROUP, distinct, [Interval(item.seq, item.seq) for item in distinct], live=live, last_seq=12, user_id="bob"
    )


BATCH = st.builds(batch_of, st.lists(INCOMING, max_size=6) | st.lists(PLAIN, max_size=6) | ALIKE, st.booleans())


def came_to(batches: Sequence[IngestBatch], insert: Insert) -> tuple[list[list[Any]], list[Any]]:
    """Return the new messages that these batches reported, and the rows of the table afterwards."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    with patch.object(bulk_writes, "insert_all", insert):
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
    assert came_to(batches, bulk_writes.insert_all) == came_to(batches, bulk_writes.insert_each)


def test_blobs_in_the_wrong_position_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bulk_writes._Blob.whole
    monkeypatch.setattr(bulk_writes._Blob, "whole", lambda self: whole(self)[1:])
    with pytest.raises(AssertionError):
        test_storing_messages_together_equals_storing_them_one_by_one()


@pytest.mark.parametrize("field", ["sender", "is_self", "priority", "cloud_custom_data", "profile", "member"])
def test_a_value_of_another_message_is_detected(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test that the messages of one user are told apart from others by this field."""
    values = {"is_self": True, "priority": "High", "profile": SenderProfile("a", "A", ""), "member": SenderMember("a", "A")}
    rows = [MessageRow(n, f"1-{n}", "a", 1, False, b"[]") for n in (1, 2)]
    batch = batch_of([rows[0], msgspec.structs.replace(rows[1], **{field: values.get(field, "x")})], True)
    assert came_to([batch], bulk_writes.insert_all) == came_to([batch], bulk_writes.insert_each)
    monkeypatch.setattr(bulk_writes, "_common", lambda item: "the same")
    assert came_to([batch], bulk_writes.insert_all) != came_to([batch], bulk_writes.insert_each)


@pytest.mark.parametrize("senders", [["alice"], ["alice", "bob"]])
def test_most_messages_are_stored_together(senders: list[str]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    body = b'[{"text":"\xe4\xbd\xa0\\n"}]'
    rows = [MessageRow(n, f"1-{n}", senders[n % len(senders)], 1, False, body) for n in range(1, 9)]
    writes.ingest(connection, batch_of(rows, True))
    connection.close()
    assert sum(statement.startswith("INSERT INTO messages") for statement in statements) == 1


Given: TypeAlias = st.SearchStrategy[dict[str, Any]]
PROFILE = SenderProfile("alice", "A\0", "")
BODY: Given = st.fixed_dictionaries({"body": TEXT.map(str.encode) | st.binary(max_size=8), "timestamp": st.integers(0, 2**33)})
RARE_OF_SENDS: dict[str, st.SearchStrategy[Any]] = {
    "cloud": TEXT,
    "mentions": st.just(("bob",)),
    "receipt": st.booleans(),
    "extensible": st.booleans(),
    "priority": st.sampled_from(Priority),
    "noted": st.booleans(),
}
PLAIN_ACK: Given = st.fixed_dictionaries({"time": st.integers(0, 2**33)})
RARE_OF_ACKS: dict[str, st.SearchStrategy[Any]] = {
    "time": SIXTY_FOUR_BITS,
    "body": st.binary(max_size=4),
    "profile": st.none() | st.just(PROFILE) | st.builds(SenderProfile, TEXT, TEXT, TEXT, CUSTOM),
    "member": st.builds(SenderMember, TEXT, TEXT, TEXT, CUSTOM),
    "pushed": st.just(True),
    "deleted": st.just(True),
}


def lists_of(plain: Given, rare: dict[str, st.SearchStrategy[Any]], least: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return the strategy of lists whose values have none or one rare field, the same in a list."""

    def with_field(name: str) -> st.SearchStrategy[list[dict[str, Any]]]:
        special = st.builds(lambda fields, value: {**fields, name: value}, plain, rare[name])
        return st.lists(plain | special, min_size=least, max_size=6)

    return st.lists(plain, min_size=least, max_size=6) | st.sampled_from(sorted(rare)).flatmap(with_field)


SENDS = lists_of(BODY, RARE_OF_SENDS, 0)
ACKS = lists_of(PLAIN_ACK, RARE_OF_ACKS, 6)


def outgoing_of(number: int, given: dict[str, Any]) -> Outgoing:
    message = Message("x")
    message._key, message._sender, message._status = GROUP, "alice", MessageStatus.SENDING
    message._msg_id, message._timestamp = f"1700000000-{number}-a", given["timestamp"]
    message._cloud_custom_data, message._mentions = given.get("cloud", ""), given.get("mentions", ())
    message._receipt_requested = given.get("receipt", False)
    message._extensible = given.get("extensible", False)
    message._priority = given.get("priority", Priority.NORMAL)
    return Outgoing(message, given["body"], given.get("noted", True), 1)


def sent(bulk: int, sends: Sequence[dict[str, Any]], acks: Sequence[dict[str, Any]]) -> list[Any]:
    """Store messages and their acks, `bulk` or more of them by one statement; return the results, and the tables afterwards."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    with patch.object(writes, "BULK", bulk):
        local_ids = writes.add_outgoing(connection, [outgoing_of(number, given) for number, given in enumerate(sends)])
        given = []
        for number, (local_id, ack) in enumerate(zip(local_ids, acks, strict=False)):
            seq, msg_id = number + 1, f"1700000000-{number}-a"
            if ack.get("deleted"):
                connection.execute("DELETE FROM messages WHERE local_id=?", (local_id,))
            if ack.get("pushed"):
                pushed = MessageRow(seq, "1700000000-77", "alice", 1, True, b"[]")  # not known as the same message
                writes.ingest(connection, IngestBatch(GROUP, [pushed], [Interval(seq, seq)], live=True, last_seq=seq))
            profile = ack.get("profile", PROFILE)
            given.append(Ack(GROUP, local_id, msg_id, seq, ack["time"], ack.get("body"), profile, ack.get("member")))
        settled = writes.settle(connection, given) if given else []
    rows = [connection.execute(f"SELECT * FROM {name}").fetchall() for name in ("messages", "conversations")]
    connection.close()
    return [local_ids, settled, rows]


@given(sends=SENDS, acks=ACKS)
def test_messages_and_acks_written_by_one_statement_are_the_same_rows(
    sends: list[dict[str, Any]], acks: list[dict[str, Any]]
) -> None:
    assert sent(1, sends, acks) == sent(1 << 30, sends, acks)


@pytest.mark.parametrize("field", sorted(RARE_OF_SENDS))
def test_a_rare_field_that_is_dropped_is_detected(field: str) -> None:
    value = {"cloud": "x", "mentions": ("bob",), "priority": Priority.HIGH, "noted": False}.get(field, True)
    plain, rare = {"body": b"[]", "timestamp": 1}, {"body": b"[]", "timestamp": 1, field: value}
    assert sent(1, [plain, rare], []) == sent(1 << 30, [plain, rare], []) != sent(1, [plain, plain], [])


def test_one_statement_writes_plain_messages_and_their_acks() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    plain = [outgoing_of(number, {"body": b"[]", "timestamp": 1}) for number in range(100)]
    local_ids = writes.add_outgoing(connection, plain)
    acks = [Ack(GROUP, i, one.message.msg_id, i, 1, None, PROFILE) for i, one in zip(local_ids, plain, strict=True)]
    writes.settle(connection, acks)
    assert sum("INSERT INTO messages" in one for one in statements) == 1
    assert sum("UPDATE messages SET seq" in one for one in statements) == 1
    connection.close()
