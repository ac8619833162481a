"""SQL operations that write messages and timeline states, inside the local store's transactions.

An interval is added to the coverage in the transaction that stores its rows. Fetching a message again overwrites only
data of the server, not data of this device.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..ids import ConversationKey, ConversationType
from ..message import Message, MessageState
from ..protocol.coverage import Coverage
from ..protocol.entries import MessageActionKind
from . import bulk_insert, message_actions
from .message_actions import NO_LAST, IncomingAction, UnreadCounts
from .message_rows import ITS_ROW, SELECT, STATUSES, ids_of, message_of, new_message, packed, packed_mentions
from .timeline_state import TimelineState, coverage_of, set_flags, write_coverage
from .types import Ack, AckResult, IngestBatch, IngestResult, MessageRow

_INSERT_OUTGOING = (
    "INSERT INTO messages(local_id, type, peer, position, msg_id, sender, timestamp, status, is_self, priority, body,"
    " cloud_custom_data, unsent, mentions, receipt) VALUES(?,?,?,?,?,?,?,1,1,?,?,?,1,?,?)"
)
_SETTLE = (
    "UPDATE messages SET seq=?, position=?, timestamp=?, body=?, unsent=0, error_code=0, error_info='',"
    " profile=coalesce(?, profile), member=coalesce(?, member), status=CASE WHEN status=4 THEN 4 ELSE 2 END"
    " WHERE local_id=? AND msg_id=?"
)
_INSERTED = "SELECT seq, local_id FROM messages WHERE type=? AND peer=? AND seq BETWEEN ? AND ? AND local_id>?"


def add_outgoing(connection: sqlite3.Connection, outgoing: Sequence[tuple[Message, bytes]]) -> list[int]:
    """Store messages and their bodies as SENDING, in this order; return their local_ids."""
    local_ids: list[int] = []
    for key, of_one in groupby(outgoing, key=lambda one: one[0].conversation):
        assert key is not None
        connection.execute(
            "INSERT INTO conversations(type, peer, listed) VALUES(?,?,1) ON CONFLICT DO UPDATE SET listed=1 WHERE NOT listed",
            tuple(key),
        )
        position, last_id = connection.execute(
            "SELECT coalesce((SELECT max(position) FROM messages WHERE type=? AND peer=?), 0),"
            " coalesce((SELECT max(local_id) FROM messages), 0)",
            tuple(key),
        ).fetchone()
        rows = [
            _outgoing_row(local_id, key, position, message, body)
            for local_id, (message, body) in enumerate(of_one, last_id + 1)
        ]
        connection.executemany(_INSERT_OUTGOING, rows)
        local_ids += range(last_id + 1, last_id + 1 + len(rows))
    return local_ids


def _outgoing_row(local_id: int, key: ConversationKey, position: int, message: Message, body: bytes) -> tuple[Any, ...]:
    return (
        local_id,
        *key,
        position,
        message.msg_id,
        message.sender,
        message.timestamp,
        message.priority.value,
        body,
        message.cloud_custom_data,
        packed_mentions(message.mentions),
        message.receipt_requested,
    )


def settle(connection: sqlite3.Connection, acks: Sequence[Ack]) -> list[AckResult]:
    """Store the acks of sent messages: seq, status and coverage."""
    settled = _settle_all(connection, acks)
    delivered_seqs: dict[ConversationKey, int] = {}
    for key in {ack.key for ack in acks}:
        pairs = [(ack, row) for ack, row in zip(acks, settled, strict=True) if ack.key == key]
        seqs = [ack.seq for ack, _ in pairs]
        stored = Coverage([(ack.seq, ack.seq) for ack, row in pairs if row is not None])  # most acks are adjacent
        known = TimelineState.read(connection, key)
        known.cover(*stored, last_seq=max(seqs), last_time=max(ack.timestamp for ack, _ in pairs))
        for seq in seqs:
            known.follow(seq)
        known.write(connection)
        delivered_seqs[key] = known.delivered_seq
        _move_sending_last(connection, key)
        if known.waiting:
            message_actions.apply_waiting(connection, key, seqs)
    return [
        AckResult(STATUSES[row[1]], row[0], delivered_seqs[ack.key])
        if row is not None
        else AckResult(None, 0, delivered_seqs[ack.key])
        for ack, row in zip(acks, settled, strict=True)
    ]


def _move_sending_last(connection: sqlite3.Connection, key: ConversationKey) -> None:
    """Move the messages that are being sent after all messages with a seq."""
    connection.execute(
        "UPDATE messages INDEXED BY messages_unsettled SET position="
        "(SELECT max(position) FROM messages WHERE type=? AND peer=?) WHERE status=1 AND type=? AND peer=?",
        tuple(key) * 2,
    )


def _settle_all(connection: sqlite3.Connection, acks: Sequence[Ack]) -> list[tuple[int, int] | None]:
    """Set the seqs of acked rows; return the local_id and status of each row, or None for a deleted row."""
    try:
        connection.executemany(_SETTLE, [_settled_row(ack) for ack in acks])
    except sqlite3.IntegrityError:  # a push has stored one of them; writing the earlier rows a second time is harmless
        return [_settle(connection, ack) for ack in acks]
    sql = "SELECT msg_id, local_id, status FROM messages WHERE local_id IN (SELECT value FROM json_each(?))"
    found = connection.execute(sql, (json.dumps([ack.local_id for ack in acks]),)).fetchall()
    rows = {msg_id: (local_id, status) for msg_id, local_id, status in found}
    return [rows.get(ack.msg_id) for ack in acks]


def _settled_row(ack: Ack) -> tuple[Any, ...]:
    return ack.seq, ack.seq, ack.timestamp, ack.body, packed(ack.profile), packed(ack.member), ack.local_id, ack.msg_id


def _settle(connection: sqlite3.Connection, ack: Ack) -> tuple[int, int] | None:
    try:
        row = connection.execute(f"{_SETTLE} RETURNING local_id, status", _settled_row(ack)).fetchone()
    except sqlite3.IntegrityError:  # the push came first: keep its row, and move the user's data to it
        row = connection.execute(
            "UPDATE messages SET (custom_int, custom_data, status) = (SELECT o.custom_int, o.custom_data,"
            " CASE WHEN o.status=4 THEN 4 ELSE messages.status END FROM messages o WHERE o.local_id=?)"
            " WHERE type=? AND peer=? AND seq=? RETURNING local_id, status",
            (ack.local_id, *ack.key, ack.seq),
        ).fetchone()
        connection.execute("DELETE FROM messages WHERE local_id=?", (ack.local_id,))
    return (row[0], row[1]) if row is not None else None


def ingest_all(connection: sqlite3.Connection, batches: Sequence[IngestBatch]) -> list[IngestResult]:
    """Store batches of messages, and the intervals that they cover."""
    return [ingest(connection, batch) for batch in batches]


def ingest(connection: sqlite3.Connection, batch: IngestBatch) -> IngestResult:
    """Store a batch of messages, and the intervals that it covers."""
    key, live = batch.key, batch.live
    known = TimelineState.read(connection, key)
    last_time = max((item.timestamp for item in batch.incoming if not item.quiet & NO_LAST), default=batch.last_time)
    known.cover(*batch.covered, last_seq=batch.last_seq, last_time=last_time)
    known.read_seq = max(known.read_seq, batch.read_seq)
    known.first_visible_seq = max(known.first_visible_seq, batch.first_visible_seq)
    known.delivered_seq = max(known.delivered_seq, batch.delivered_seq)
    shown = not batch.incoming or any(not item.quiet & NO_LAST for item in batch.incoming)
    known.listed = known.listed or (live and shown and batch.last_seq > known.hidden_seq)
    peer_read_seq = batch.peer_read_seq if batch.peer_read_seq > known.peer_read_seq else 0
    known.peer_read_seq = max(known.peer_read_seq, batch.peer_read_seq)
    reported_seq = known.actions_seq if batch.actions_seq else 1 << 62
    known.actions_seq = max(known.actions_seq, batch.actions_seq)
    known.write(connection)
    if known.unnumbered:
        for item in batch.incoming:
            _number_existing(connection, key, item)
    new: list[Message] = []
    for item, local_id in _insert(connection, batch):
        if local_id is not None:
            if live and not item.expired:
                new.append(new_message(key, item, local_id, known.read_seq))
        elif (undelivered := _refresh(connection, key, item, live=live and not item.expired)) is not None:
            new.append(undelivered)
    if known.waiting and batch.incoming:
        message_actions.apply_waiting(connection, key, [item.seq for item in batch.incoming])
        new = [_read_message(connection, message.local_id) for message in new]
    acted = _apply_actions(connection, batch, new, reported_seq) if batch.actions else []
    flags = set_flags(connection, key, batch.flags) if batch.flags is not None else None
    if batch.count is not None:
        message_actions.set_base(connection, key, batch.count)
    unread: UnreadCounts | None = None
    if (
        batch.read_seq
        or batch.count is not None
        or any(one.kind == MessageActionKind.RECALL for one in batch.actions)
        or any(item.quiet or item.expired for item in batch.incoming)
    ):
        unread = message_actions.unread_of(connection, key)
    return IngestResult(key, new, known.listed, known.last_time, unread, acted, peer_read_seq, flags)


def _read_message(connection: sqlite3.Connection, local_id: int) -> Message:
    return message_of(connection.execute(f"{SELECT} WHERE m.local_id=?", (local_id,)).fetchone())


def _apply_actions(
    connection: sqlite3.Connection, batch: IngestBatch, new: list[Message], reported_seq: int
) -> list[tuple[IncomingAction, Message]]:
    """Apply the actions of a batch; return those above `reported_seq`. Messages of `new` that they change are read again."""
    acted: list[tuple[IncomingAction, int]] = []
    for action in batch.actions:
        local_id = message_actions.apply(connection, batch.key, action)
        if action.seq <= reported_seq:
            continue
        message_actions.subtract_recalled(connection, batch.key, action, batch.user_id)
        if local_id is not None:
            acted.append((action, local_id))
    changed = {local_id for _, local_id in acted}
    new[:] = [_read_message(connection, message.local_id) if message.local_id in changed else message for message in new]
    return [(action, _read_message(connection, local_id)) for action, local_id in acted]


def _insert(connection: sqlite3.Connection, batch: IngestBatch) -> list[tuple[MessageRow, int | None]]:
    """Insert the messages that have no row; return each item with its new local_id, or None if it had a row."""
    items = batch.incoming
    if not items:
        return []
    insert = bulk_insert.insert_all if len(items) > 1 else bulk_insert.insert_each  # cheaper for one message
    try:
        count, last = insert(connection, batch)
    except bulk_insert.HoldsNUL:
        count, last = bulk_insert.insert_each(connection, batch)
    if count == len(items):
        return list(zip(items, range(last - count + 1, last + 1), strict=True))
    where = (*batch.key, min(item.seq for item in items), max(item.seq for item in items), last - count)
    ids = dict(connection.execute(_INSERTED, where).fetchall()) if count else {}
    return [(item, ids.get(item.seq)) for item in items]


def _refresh(connection: sqlite3.Connection, key: ConversationKey, item: MessageRow, *, live: bool) -> Message | None:
    """Update the server's data of a stored message; return the message if it must be delivered and never was."""
    local_id, delivered, state = connection.execute(
        "SELECT local_id, thrown, state FROM messages WHERE type=? AND peer=? AND seq=?", (*key, item.seq)
    ).fetchone()
    connection.execute(
        "UPDATE messages SET timestamp=?, body=CASE WHEN state IS NULL THEN ? ELSE body END, profile=coalesce(?, profile),"
        " member=coalesce(?, member), thrown=thrown OR ?, calls=?, receipt=? WHERE local_id=?",
        (
            item.timestamp,
            item.body,
            packed(item.profile),
            packed(item.member),
            live,
            item.calls,
            item.receipt,
            local_id,
        ),
    )
    if state is not None or item.state is not None:
        received = item.state if item.state is not None else MessageState()
        message_actions.write_message(connection, local_id, received, item.body, item.cloud_custom_data)
    return _read_message(connection, local_id) if live and not delivered else None


def _number_existing(connection: sqlite3.Connection, key: ConversationKey, item: MessageRow) -> None:
    """Set the seq of this message's row if the row has none: the ack was lost, or the server has a new epoch.

    Several messages may share a msg_id without a time (a tip, or one sent by REST); then time and body must match too.
    """
    row = connection.execute(
        "SELECT local_id FROM messages WHERE type=? AND peer=? AND msg_id=? AND sender=? AND seq IS NULL"
        " AND (msg_id NOT LIKE '0-%' OR (timestamp=? AND body=?))",
        (*key, item.msg_id, item.sender, item.timestamp, item.body),
    ).fetchone()
    if row is not None:
        _settle(connection, Ack(key, row[0], item.msg_id, item.seq, item.timestamp, item.body))


def delete_message(connection: sqlite3.Connection, message: Message) -> bool:
    """Delete the row of a message and open a gap at its seq; return whether there was a row."""
    sql = f"DELETE FROM messages WHERE {ITS_ROW} RETURNING type, peer, seq"
    row = connection.execute(sql, ids_of(message)).fetchone()
    if row is not None and row[2] is not None:
        key = ConversationKey(ConversationType(row[0]), row[1])
        write_coverage(connection, key, coverage_of(connection, key).remove(row[2], row[2]))
    return row is not None


def delete_conversation(connection: sqlite3.Connection, key: ConversationKey, *, messages: bool) -> bool:
    """Remove a conversation from the list, and if `messages`, its messages and coverage; return True if it was listed."""
    where = " WHERE type=? AND peer=?"
    row = connection.execute("SELECT listed FROM conversations" + where, tuple(key)).fetchone()
    connection.execute("UPDATE conversations SET listed=0, hidden_seq=last_seq" + where, tuple(key))
    if messages:
        connection.execute("UPDATE conversations SET coverage='[]'" + where, tuple(key))
        connection.execute("DELETE FROM messages" + where, tuple(key))
    return bool(row and row[0])
