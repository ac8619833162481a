"""SQL operations that apply deletions of all devices, which the server has made, inside the local store's transactions.

A deleted seq is remembered: a page or a push that the server read before the deletion is stored without it. The coverage stays,
because the server has a tombstone at each of these seqs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from ..ids import ConversationKey
from . import timeline_state, unread
from .message_rows import last_of
from .types import DELETIONS, Erased, Erasure, IngestBatch, LastPosition


def erase(connection: sqlite3.Connection, changes: Sequence[Erasure], number: int) -> list[Erased]:
    """Apply deletions in their order, and store the number of the last one, unless it was applied before."""
    row = connection.execute("SELECT value FROM meta WHERE key=?", (DELETIONS,)).fetchone()
    if row is not None and int(row[0]) >= number:
        return []
    connection.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (DELETIONS, str(number)))
    return [_erase(connection, change) for change in changes]


def _erase(connection: sqlite3.Connection, change: Erasure) -> Erased:
    key = change.key
    timeline_state.ensure(connection, key)
    gone = 0
    if change.seqs:
        gone += _erase_messages(connection, key, change.seqs)
    if change.cleared_seq:
        gone += _clear(connection, key, change.cleared_seq)
    if change.unlisted_seq:
        gone += _unlist(connection, key, change.unlisted_seq)
    last = _last_position(connection, key)
    listed = connection.execute("SELECT listed FROM conversations WHERE type=? AND peer=?", tuple(key)).fetchone()[0]
    counts, exact, _ = unread.state_of(connection, key)
    return Erased(change, gone > 0, bool(listed), counts, exact, last, last_of(connection, key))


def _erase_messages(connection: sqlite3.Connection, key: ConversationKey, seqs: Sequence[int]) -> int:
    """Delete rows, and remember their seqs. The server's unread count is no longer used if it may include one of them."""
    connection.executemany("INSERT INTO erased VALUES(?,?,?) ON CONFLICT DO NOTHING", [(*key, seq) for seq in seqs])
    among = " WHERE type=? AND peer=? AND {} IN (SELECT value FROM json_each(?))"
    named = (*key, json.dumps(list(seqs)))
    connection.execute("DELETE FROM acts" + among.format("target"), named)
    connection.execute("DELETE FROM deleted" + among.format("seq"), named)
    connection.execute(
        "UPDATE conversations SET base_unread=0, base_mentioned=0, base_seq=0, base_after=0"
        " WHERE type=? AND peer=? AND base_seq>=? AND base_after<?",
        (*key, min(seqs), max(seqs)),
    )
    return connection.execute("DELETE FROM messages" + among.format("seq"), named).rowcount


def _clear(connection: sqlite3.Connection, key: ConversationKey, seq: int) -> int:
    """Delete all rows up to a seq, and raise the first visible seq above it."""
    connection.execute(
        "UPDATE conversations SET erased_seq=max(erased_seq, ?), checksum=checksum-floor+max(floor, ?), floor=max(floor, ?)"
        " WHERE type=? AND peer=?",
        (seq, seq + 1, seq + 1, *key),
    )
    connection.execute(
        "UPDATE conversations SET base_unread=0, base_mentioned=0, base_seq=0, base_after=0"
        " WHERE type=? AND peer=? AND base_after<?",
        (*key, seq),
    )
    connection.execute("DELETE FROM erased WHERE type=? AND peer=? AND seq<=?", (*key, seq))
    connection.execute("DELETE FROM acts WHERE type=? AND peer=? AND target<=?", (*key, seq))
    unread.forget_read(connection, key)
    return connection.execute("DELETE FROM messages WHERE type=? AND peer=? AND seq<=?", (*key, seq)).rowcount


def _unlist(connection: sqlite3.Connection, key: ConversationKey, seq: int) -> int:
    """Take a conversation out of the list, unless it has a message that is newer than this seq, or is being sent."""
    newer = "EXISTS(SELECT 1 FROM messages m WHERE m.type=? AND m.peer=? AND (m.seq>? OR m.status=1))"
    connection.execute("UPDATE conversations SET hidden_seq=max(hidden_seq, ?) WHERE type=? AND peer=?", (seq, *key))
    sql = f"UPDATE conversations SET listed=0 WHERE type=? AND peer=? AND listed AND NOT {newer}"
    return connection.execute(sql, (*key, *key, seq)).rowcount


def _last_position(connection: sqlite3.Connection, key: ConversationKey) -> LastPosition:
    """Move a conversation in the list to the place of its last message; without one it stays where it is."""
    where = " WHERE type=? AND peer=?"
    order = f" AND status<>4 AND NOT quiet&{unread.NO_LAST} ORDER BY position DESC, local_id DESC LIMIT 1"
    found = connection.execute("SELECT timestamp, local_id FROM messages" + where + order, tuple(key)).fetchone()
    if found is not None:
        connection.execute("UPDATE conversations SET last_time=?, last_id=?" + where, (*found, *key))
    return LastPosition(*connection.execute("SELECT last_time, last_id FROM conversations" + where, tuple(key)).fetchone())


def without_erased(connection: sqlite3.Connection, batch: IngestBatch, known: timeline_state.TimelineState) -> IngestBatch:
    """Return a batch without the messages that were deleted at the server after it was read there."""
    if not batch.incoming or not (known.erased_seq or known.has_erased):
        return batch
    gone: set[int] = set()
    if known.has_erased:
        span = min(item.seq for item in batch.incoming), max(item.seq for item in batch.incoming)
        sql = "SELECT seq FROM erased WHERE type=? AND peer=? AND seq BETWEEN ? AND ?"
        gone = {seq for (seq,) in connection.execute(sql, (*batch.key, *span))}
    kept = [item for item in batch.incoming if item.seq > known.erased_seq and item.seq not in gone]
    return batch if len(kept) == len(batch.incoming) else replace(batch, incoming=kept)


def delete_cleared(connection: sqlite3.Connection, known: timeline_state.TimelineState) -> None:
    """Delete rows that got a seq at or below the cleared one: another device cleared while this one waited for the ack."""
    if known.erased_seq:
        sql = "DELETE FROM messages WHERE type=? AND peer=? AND seq<=?"
        connection.execute(sql, (*known.key, known.erased_seq))
