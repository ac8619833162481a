"""SQL operations that write messages and timeline states, inside the local store's transactions.

An interval is added to the coverage in the transaction that stores its rows. Fetching a message again overwrites only
data of the server, not data of this device.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from ..ids import ConversationKey
from ..message import Message, MessageState, MessageStatus
from ..protocol.coverage import Coverage
from ..protocol.entries import MessageActionKind
from . import bulk_writes, erasures, handling, message_actions, unread
from .checksums import of_body, of_header, summand
from .message_actions import IncomingAction
from .message_rows import SELECT, STATUSES, last_of, message_of, new_message, packed, packed_mentions
from .pending_changes import raise_server_read_seq, reset_read_seq, set_flags
from .requests import packed_requests
from .timeline_state import TimelineState
from .types import Ack, AckResult, IngestBatch, IngestResult, LastPosition, MessageRow, Outgoing
from .unread import NO_LAST, UnreadCounts

_INSERT_OUTGOING = (
    "INSERT INTO messages(local_id, type, peer, position, msg_id, sender, timestamp, status, is_self, priority, body,"
    " cloud_custom_data, checksum, header_checksum, unsent, mentions, receipt, started)"
    " VALUES(?,?,?,?,?,?,?,1,1,?,?,?,?,?,1,?,?,?)"
)
_LIST_OUTGOING = (
    "INSERT INTO conversations(type, peer, listed, last_time, last_id) VALUES(?,?,1,?,?) ON CONFLICT DO UPDATE"
    " SET listed=1, last_time=max(last_time, excluded.last_time), last_id=excluded.last_id"
)
_SETTLE = (
    "UPDATE messages SET seq=?, position=?, header_checksum=header_checksum-timestamp+?, timestamp=?, {}"
    " unsent=0, error_code=0, error_info='',"
    " profile=coalesce(?, profile), member=coalesce(?, member), status=CASE WHEN status=4 THEN 4 ELSE 2 END"
    " WHERE local_id=? AND msg_id=?"
)
_SETTLE_WITH_BODY = _SETTLE.format("body=?, checksum=?, ")
_SETTLE_AS_STORED = _SETTLE.format("")
BULK = 8  # messages or acks for which one statement takes less time than one for each
_INSERTED = "SELECT seq, local_id FROM messages WHERE type=? AND peer=? AND seq BETWEEN ? AND ? AND local_id>?"


def add_outgoing(connection: sqlite3.Connection, outgoing: Sequence[Outgoing]) -> list[int]:
    """Store messages as SENDING, in this order; return their local_ids."""
    local_ids: list[int] = []
    for key, of_one in groupby(outgoing, key=lambda one: one.message.key):
        assert key is not None
        position, last_id = connection.execute(
            "SELECT coalesce((SELECT max(position) FROM messages WHERE type=? AND peer=?), 0),"
            " coalesce((SELECT max(local_id) FROM messages), 0)",
            tuple(key),
        ).fetchone()
        of_key = list(of_one)
        new_ids = range(last_id + 1, last_id + 1 + len(of_key))
        connection.execute(_LIST_OUTGOING, (*key, max(one.listed_at for one in of_key), new_ids[-1]))
        if len(of_key) < BULK or not bulk_writes.insert_outgoing(connection, key, position, new_ids[0], of_key):
            rows = [_outgoing_row(local_id, key, position, one) for local_id, one in zip(new_ids, of_key, strict=True)]
            connection.executemany(_INSERT_OUTGOING, rows)
        local_ids += new_ids
    return local_ids


def _outgoing_row(local_id: int, key: ConversationKey, position: int, outgoing: Outgoing) -> tuple[Any, ...]:
    message = outgoing.message
    return (
        local_id,
        *key,
        position,
        message.msg_id,
        message.sender,
        message.timestamp,
        message.priority.value,
        outgoing.row_body,
        message.cloud_custom_data,
        of_body(outgoing.row_body),
        of_header(message.sender, message.timestamp, True, message.cloud_custom_data),
        packed_mentions(message.mentions),
        packed_requests(message),
        outgoing.noted,
    )


def settle(connection: sqlite3.Connection, acks: Sequence[Ack]) -> list[AckResult]:
    """Store the acks of sent messages: seq, status and coverage."""
    rows = _settle_all(connection, acks)
    states = {key: _settle_timeline(connection, key, acks, rows) for key in {ack.key for ack in acks}}
    results: list[AckResult] = []
    for ack, row in zip(acks, rows, strict=True):
        known, last = states[ack.key]
        changed = _read_message(connection, row.local_id) if known.waiting and row.local_id else None
        results.append(AckResult(row.status, row.local_id, known.delivered_seq, known.listed, last, changed))
    return results


def _settle_timeline(
    connection: sqlite3.Connection, key: ConversationKey, acks: Sequence[Ack], rows: Sequence[_SettledRow]
) -> tuple[TimelineState, LastPosition]:
    """Add the acks of one conversation to its timeline; return its state, and its place in the list."""
    known = TimelineState.read(connection, key)
    of_key = [(ack.seq, ack.timestamp, row) for ack, row in zip(acks, rows, strict=True) if ack.key == key]
    seqs = [seq for seq, _, _ in of_key]
    above = known.coverage.last
    if newer := [(time, row.local_id) for seq, time, row in of_key if row.local_id and seq > above]:
        known.raise_last(*max(newer))
    known.cover(*Coverage.of_seqs(seq for seq, _, row in of_key if row.local_id), last_seq=max(seqs))
    known.listed = known.listed or max(seqs) > known.hidden_seq
    known.follow(seqs)
    known.write(connection)
    erasures.delete_cleared(connection, known)
    _move_sending_last(connection, key)
    if known.waiting:
        message_actions.apply_waiting(connection, key, seqs)
    return known, known.last_position


def _move_sending_last(connection: sqlite3.Connection, key: ConversationKey) -> None:
    """Move the messages that are being sent after all messages with a seq."""
    connection.execute(
        "UPDATE messages INDEXED BY messages_unsettled SET position="
        "(SELECT max(position) FROM messages WHERE type=? AND peer=?) WHERE status=1 AND type=? AND peer=?",
        tuple(key) * 2,
    )


class _SettledRow(NamedTuple):
    """The row of an acked message; 0 and None if the user deleted it before the ack."""

    local_id: int = 0
    status: MessageStatus | None = None


_NO_ROW = _SettledRow()


def _settle_all(connection: sqlite3.Connection, acks: Sequence[Ack]) -> list[_SettledRow]:
    """Set the seqs of acked rows, and return these rows."""
    found = None
    try:
        if len(acks) >= BULK:
            found = bulk_writes.settle_all(connection, acks)
        if found is None:
            found = _settle_many(connection, acks)
    except sqlite3.IntegrityError:  # a push has stored one of them; writing the earlier rows a second time is harmless
        return [_settle(connection, ack) for ack in acks]
    rows = {msg_id: _SettledRow(local_id, STATUSES[status]) for msg_id, local_id, status in found}
    return [rows.get(ack.msg_id, _NO_ROW) for ack in acks]


def _settle_many(connection: sqlite3.Connection, acks: Sequence[Ack]) -> list[tuple[str, int, int]]:
    for statement, same in groupby(acks, _settle_statement):
        connection.executemany(statement, [_settled_row(ack) for ack in same])
    sql = "SELECT msg_id, local_id, status FROM messages WHERE local_id IN (SELECT value FROM json_each(?))"
    return connection.execute(sql, (json.dumps([ack.local_id for ack in acks]),)).fetchall()


def _settle_statement(ack: Ack) -> str:
    return _SETTLE_AS_STORED if ack.body is None else _SETTLE_WITH_BODY


def _settled_row(ack: Ack) -> tuple[Any, ...]:
    of_sender = packed(ack.profile), packed(ack.member)
    begin = (ack.seq, ack.seq, summand(ack.timestamp), ack.timestamp)
    content = () if ack.body is None else (ack.body, of_body(ack.body))
    return *begin, *content, *of_sender, ack.local_id, ack.msg_id


def _settle(connection: sqlite3.Connection, ack: Ack) -> _SettledRow:
    try:
        row = connection.execute(f"{_settle_statement(ack)} RETURNING local_id, status", _settled_row(ack)).fetchone()
    except sqlite3.IntegrityError:  # the push came first: keep its row, and move the user's data to it
        row = connection.execute(
            "UPDATE messages SET (custom_int, custom_data, status) = (SELECT o.custom_int, o.custom_data,"
            " CASE WHEN o.status=4 THEN 4 ELSE messages.status END FROM messages o WHERE o.local_id=?)"
            " WHERE type=? AND peer=? AND seq=? RETURNING local_id, status",
            (ack.local_id, *ack.key, ack.seq),
        ).fetchone()
        connection.execute("DELETE FROM messages WHERE local_id=?", (ack.local_id,))
    return _SettledRow(row[0], STATUSES[row[1]]) if row is not None else _NO_ROW


def ingest_all(
    connection: sqlite3.Connection, batches: Sequence[IngestBatch], *, unhandled: bool = False
) -> list[IngestResult]:
    """Store batches of messages, and the intervals that they cover; if `unhandled`, record the new messages of others."""
    results = [ingest(connection, batch) for batch in batches]
    if unhandled and (local_ids := [one.local_id for result in results for one in result.new if not one.is_self]):
        handling.add_unhandled(connection, local_ids)
    return results


def ingest(connection: sqlite3.Connection, batch: IngestBatch) -> IngestResult:
    """Store a batch of messages, and the intervals that it covers."""
    key, live = batch.key, batch.live
    was_reset = bool(batch.reset_version) and batch.count is not None
    if was_reset:
        assert batch.count is not None
        was_reset = reset_read_seq(connection, key, batch.count, version=batch.reset_version)
    known = TimelineState.read(connection, key)
    batch = erasures.without_erased(connection, batch, known)
    stored_up_to = known.coverage.last
    known.cover(*batch.covered, last_seq=batch.last_seq)
    read_seq = batch.read_seq if batch.read_seq > known.read_seq else 0
    known.read_seq = max(known.read_seq, batch.read_seq)
    known.first_visible_seq = max(known.first_visible_seq, batch.first_visible_seq)
    known.delivered_seq = max(known.delivered_seq, batch.delivered_seq)
    known.listed = known.listed or (live and batch.last_seq > known.hidden_seq and known.is_revived_by(batch))
    peer_read_seq = batch.peer_read_seq if batch.peer_read_seq > known.peer_read_seq else 0
    known.peer_read_seq = max(known.peer_read_seq, batch.peer_read_seq)
    reported_seq = known.actions_seq if batch.actions_seq else 1 << 62
    known.actions_seq = max(known.actions_seq, batch.actions_seq)
    numbered = [_number_existing(connection, key, item) for item in batch.incoming] if known.unnumbered else []
    rows = _store_rows(connection, batch, known, stored_up_to)
    rows.changed.update(local_id for local_id in numbered if local_id)
    new = rows.new
    shown = last_of(connection, key) if rows.fetched else None
    if shown is not None and shown.local_id in rows.fetched:  # the last message was deleted here, and came back
        known.last_time, known.last_id = shown.timestamp, shown.local_id
    else:
        shown = None
    known.write(connection)
    if known.has_deleted and batch.incoming:
        unread.silence_deleted(connection, key)
    if known.waiting and batch.incoming:
        message_actions.apply_waiting(connection, key, [item.seq for item in batch.incoming])
        new = [_read_message(connection, message.local_id) for message in new]
    acted = _apply_actions(connection, batch, new, rows.changed, reported_seq) if batch.actions else []
    flags = set_flags(connection, key, batch.flags)[1] if batch.flags is not None else None
    if batch.read_seq:
        raise_server_read_seq(connection, key, batch.read_seq)
    if batch.count is not None:
        unread.set_base(connection, key, batch.count)
    if rows.recount or any(one.kind == MessageActionKind.RECALL for one in batch.actions):
        counts, exact, _ = unread.state_of(connection, key)
    else:
        counts, exact = None, True
    return IngestResult(
        key,
        new,
        known.listed,
        known.last_position,
        counts,
        unread.added(new, rows.calling) if counts is None else UnreadCounts(0, 0),
        acted,
        peer_read_seq,
        flags,
        exact,
        shown,
        read_seq,
        [_read_message(connection, local_id) for local_id in rows.changed],
        batch.read_seq if was_reset else None,
    )


@dataclass(slots=True)
class _StoredRows:
    """The rows of a batch: messages to deliver, seqs that mention this account, and local_ids of fetched and changed rows.

    `changed` has the rows that were stored before and got a new state without an event.
    `recount` means that the unread counts do not just grow by `new`.
    """

    recount: bool
    new: list[Message] = field(default_factory=list)
    calling: set[int] = field(default_factory=set)
    fetched: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)


def _store_rows(connection: sqlite3.Connection, batch: IngestBatch, known: TimelineState, stored_up_to: int) -> _StoredRows:
    """Insert or refresh the messages of a batch; those above `stored_up_to` are newer than all that were stored."""
    key, live = batch.key, batch.live
    rows = _StoredRows(bool(batch.read_seq or batch.count is not None))
    for item, local_id in _insert(connection, batch):
        if local_id is None:
            if (undelivered := _refresh(connection, key, item, rows, live=live and not item.expired)) is not None:
                rows.new.append(undelivered)
                rows.recount = True  # it may have been counted when it was fetched
        elif not live:
            rows.fetched.add(local_id)
        elif not (item.is_self and _was_deleted(connection, key, item.seq)):
            if not item.expired:
                rows.new.append(new_message(key, item, local_id, known.read_through))
            if item.seq > stored_up_to and not item.quiet & NO_LAST:
                known.raise_last(item.timestamp, local_id)
        if item.calls:
            rows.calling.add(item.seq)
        rows.recount = rows.recount or bool(item.quiet or item.expired)
        if item.state is not None and item.state.recall_seq:
            rows.recount = True
            if local_id is not None and not (item.is_self or message_actions.recall_waits(connection, key, item.seq)):
                unread.recalled(connection, key, item.seq, item.state.recall_seq, calls=item.calls)
    return rows


def _was_deleted(connection: sqlite3.Connection, key: ConversationKey, seq: int) -> bool:
    """Return True once for an own message that was sent and deleted on this device before it was received."""
    sql = "DELETE FROM own_deleted WHERE type=? AND peer=? AND seq=?"
    return connection.execute(sql, (*key, seq)).rowcount > 0


def _read_message(connection: sqlite3.Connection, local_id: int) -> Message:
    return message_of(connection.execute(f"{SELECT} WHERE m.local_id=?", (local_id,)).fetchone())


def _apply_actions(
    connection: sqlite3.Connection, batch: IngestBatch, new: list[Message], changed: set[int], reported_seq: int
) -> list[tuple[IncomingAction, Message]]:
    """Apply the actions of a batch; return those above `reported_seq`, and add the rows of the others to `changed`.

    Messages of `new` that they change are read again.
    """
    acted: list[tuple[IncomingAction, int]] = []
    for action in batch.actions:
        local_id = message_actions.apply(connection, batch.key, action, batch.user_id)
        if local_id is not None and action.seq > reported_seq:
            acted.append((action, local_id))
        elif local_id is not None:
            changed.add(local_id)
    seen = {local_id for _, local_id in acted} | changed
    new[:] = [_read_message(connection, message.local_id) if message.local_id in seen else message for message in new]
    return [(action, _read_message(connection, local_id)) for action, local_id in acted]


def _insert(connection: sqlite3.Connection, batch: IngestBatch) -> list[tuple[MessageRow, int | None]]:
    """Insert the messages that have no row; return each item with its new local_id, or None if it had a row."""
    items = batch.incoming
    if not items:
        return []
    insert = bulk_writes.insert_all if len(items) > 1 else bulk_writes.insert_each  # cheaper for one message
    try:
        count, last = insert(connection, batch)
    except bulk_writes.HoldsNUL:
        count, last = bulk_writes.insert_each(connection, batch)
    if count == len(items):
        return list(zip(items, range(last - count + 1, last + 1), strict=True))
    where = (*batch.key, min(item.seq for item in items), max(item.seq for item in items), last - count)
    ids = dict(connection.execute(_INSERTED, where).fetchall()) if count else {}
    return [(item, ids.get(item.seq)) for item in items]


def _refresh(
    connection: sqlite3.Connection, key: ConversationKey, item: MessageRow, rows: _StoredRows, *, live: bool
) -> Message | None:
    """Update the server's data of a stored message; return the message if it must be delivered and never was."""
    local_id, delivered, state = connection.execute(
        "SELECT local_id, thrown, state FROM messages WHERE type=? AND peer=? AND seq=?", (*key, item.seq)
    ).fetchone()
    connection.execute(
        "UPDATE messages SET header_checksum=header_checksum-timestamp+?, timestamp=?,"
        " body=CASE WHEN state IS NULL THEN ? ELSE body END,"
        " checksum=CASE WHEN state IS NULL THEN ? ELSE checksum END, profile=coalesce(?, profile),"
        " member=coalesce(?, member), thrown=thrown OR ?, calls=?, receipt=? WHERE local_id=?",
        (
            summand(item.timestamp),
            item.timestamp,
            item.body,
            of_body(item.body),
            packed(item.profile),
            packed(item.member),
            live,
            item.calls,
            item.requests,
            local_id,
        ),
    )
    if state is not None or item.state is not None:
        received = item.state if item.state is not None else MessageState()
        if message_actions.write_message(connection, local_id, received, item.body, item.cloud_custom_data):
            rows.changed.add(local_id)
    return _read_message(connection, local_id) if live and not delivered else None


def _number_existing(connection: sqlite3.Connection, key: ConversationKey, item: MessageRow) -> int:
    """Set the seq of this message's row if the row has none: the ack was lost, or the server has a new epoch.

    Returns:
        The local_id of the row; 0 if there is none.

    Several messages may share a msg_id without a time (a tip, or one sent by REST); then time and body must match too.
    """
    row = connection.execute(
        "SELECT local_id FROM messages WHERE type=? AND peer=? AND msg_id=? AND sender=? AND seq IS NULL"
        " AND (msg_id NOT LIKE '0-%' OR (timestamp=? AND body=?))",
        (*key, item.msg_id, item.sender, item.timestamp, item.body),
    ).fetchone()
    if row is None:
        return 0
    settled = _settle(connection, Ack(key, row[0], item.msg_id, item.seq, item.timestamp, item.body))
    return settled.local_id
