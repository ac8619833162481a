"""The rule for unread messages of a device: which messages count, and how many of them a conversation has.

A message counts if another user sent it, it is above the read seq, and it was not deleted on this device, not recalled, and
is not a group tip. Messages of a conversation that was deleted with its messages, and messages whose rows were deleted, do
not count again when a query fetches them.

Rows are counted where they are stored. Where rows are missing, the server's count of an interval of seqs is used, without the
messages of this interval that were deleted on this device.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ..ids import SERVER_MSG_ID, ConversationKey, ConversationType
from ..message import Message
from .checksums import checked_coverage

NO_UNREAD, NO_LAST = 1, 2  # bits of the column `quiet`; a recalled message has NO_UNREAD
_BY_OTHERS = (  # rows m that the server counts too: not recalled, not sent without counting, not a group tip
    "NOT m.is_self AND m.seq IS NOT NULL AND NOT m.quiet&1"
    f" AND NOT (m.type={ConversationType.GROUP.value} AND m.msg_id='{SERVER_MSG_ID}')"
)
COUNTS = f"{_BY_OTHERS} AND m.status<>4"
_NUMBERS = "SELECT count(*), coalesce(sum(m.calls), 0) FROM messages m WHERE m.type=? AND m.peer=?"
_READ_THROUGH = "max(read_seq, cleared_seq, floor-1)"


@dataclass(frozen=True, slots=True)
class ServerUnreadCount:
    """The server's count of unread messages above `after` and up to `seq`, and of those that mention this account."""

    unread: int
    mentioned: int
    seq: int
    after: int


class UnreadCounts(NamedTuple):
    """The number of unread messages of a conversation, and of those that mention this account."""

    unread: int
    mentioned: int


class UnreadState(NamedTuple):
    """The unread counts above `after`, and True if they are exact; otherwise the server has to be asked."""

    counts: UnreadCounts
    exact: bool
    after: int


def is_counted(message: Message) -> bool:
    """Return whether a message that was just stored counts as unread; the same rule as COUNTS."""
    if message.is_read or message.is_self or message.recalled or message.excluded_from_unread:
        return False
    in_group = message.key is not None and message.key.type is ConversationType.GROUP
    return not (in_group and message.msg_id == SERVER_MSG_ID)


def added(messages: Iterable[Message], calling: set[int]) -> UnreadCounts:
    """Return the counts of new messages; `calling` has the seqs of those that mention this account."""
    counted = [message.seq for message in messages if is_counted(message)]
    return UnreadCounts(len(counted), sum(seq in calling for seq in counted) if calling else 0)


def unread_of(connection: sqlite3.Connection, key: ConversationKey) -> UnreadCounts:
    """Return the unread counts of a conversation."""
    return state_of(connection, key).counts


def state_of(connection: sqlite3.Connection, key: ConversationKey) -> UnreadState:
    """Return the unread counts of a conversation, and whether they are exact."""
    row = connection.execute(
        f"SELECT coverage, floor, head, checksum, {_READ_THROUGH}, max(last_seq, base_seq), base_unread, base_mentioned,"
        " base_seq, max(base_after, floor-1) FROM conversations WHERE type=? AND peer=?",
        tuple(key),
    ).fetchone()
    if row is None:
        return UnreadState(UnreadCounts(0, 0), True, 0)
    after, last_seq, unread, mentioned, base_seq, base_after = row[4:]
    known = checked_coverage(*row[:4])
    for seq, _ in _deleted(connection, key, after, last_seq):
        known = known.add(seq, seq)
    if base_after != after or after >= base_seq or known.covers(after + 1, last_seq):
        return UnreadState(_stored(connection, key, after), known.covers(after + 1, last_seq), after)
    above, gone = _stored(connection, key, base_seq), _deleted_here(connection, key, after, base_seq)
    counts = UnreadCounts(max(0, unread - gone.unread) + above.unread, max(0, mentioned - gone.mentioned) + above.mentioned)
    return UnreadState(counts, known.covers(base_seq + 1, last_seq), after)


def set_base(connection: sqlite3.Connection, key: ConversationKey, count: ServerUnreadCount) -> None:
    """Store the server's unread count, which is used as long as rows are missing, unless the stored one is newer."""
    connection.execute(
        "UPDATE conversations SET base_unread=?, base_mentioned=?, base_seq=?, base_after=?"
        " WHERE type=? AND peer=? AND base_seq<=? AND base_after<=?",
        (count.unread, count.mentioned, count.seq, count.after, *key, count.seq, count.after),
    )


def recalled(connection: sqlite3.Connection, key: ConversationKey, target: int, recall_seq: int, *, calls: bool) -> None:
    """Subtract a message of another user, of which this device just learned that it was recalled, from the server's count."""
    connection.execute(
        "UPDATE conversations SET base_unread=max(0, base_unread-1), base_mentioned=max(0, base_mentioned-?)"
        " WHERE type=? AND peer=? AND base_after<? AND base_seq>=? AND base_seq<?",
        (int(calls), *key, target, target, recall_seq),
    )
    connection.execute("DELETE FROM deleted WHERE type=? AND peer=? AND seq=?", (*key, target))


def remember_deleted(connection: sqlite3.Connection, local_id: int) -> None:
    """Remember a row that is about to be deleted, so that the message is not unread when the server counts or sends it."""
    connection.execute(
        "INSERT INTO deleted(type, peer, seq, calls) SELECT m.type, m.peer, m.seq, m.calls FROM messages m"
        f" WHERE m.local_id=? AND {_BY_OTHERS} ON CONFLICT DO NOTHING",
        (local_id,),
    )


def silence_deleted(connection: sqlite3.Connection, key: ConversationKey) -> None:
    """Do not count rows that were deleted before and were fetched again."""
    connection.execute(
        "UPDATE messages SET quiet=quiet|1 WHERE type=? AND peer=?"
        " AND seq IN (SELECT seq FROM deleted WHERE type=? AND peer=?)",
        tuple(key) * 2,
    )


def forget_read(connection: sqlite3.Connection, key: ConversationKey) -> None:
    """Forget deleted messages that no longer matter, because they are read or their conversation was deleted."""
    connection.execute(
        f"DELETE FROM deleted WHERE type=? AND peer=? AND seq<=(SELECT {_READ_THROUGH} FROM conversations"
        " WHERE type=? AND peer=?)",
        tuple(key) * 2,
    )


def _stored(connection: sqlite3.Connection, key: ConversationKey, after: int) -> UnreadCounts:
    sql = f"{_NUMBERS} AND m.position>? AND {COUNTS}"
    return UnreadCounts(*connection.execute(sql, (*key, after)).fetchone())


def _deleted(connection: sqlite3.Connection, key: ConversationKey, after: int, last: int) -> list[tuple[int, int]]:
    sql = "SELECT seq, calls FROM deleted WHERE type=? AND peer=? AND seq>? AND seq<=?"
    return connection.execute(sql, (*key, after, last)).fetchall()


def _deleted_here(connection: sqlite3.Connection, key: ConversationKey, after: int, last: int) -> UnreadCounts:
    """Return the counts of the messages that the server counts, and that were deleted on this device."""
    gone = _deleted(connection, key, after, last)
    sql = f"{_NUMBERS} AND m.seq>? AND m.seq<=? AND {_BY_OTHERS} AND m.status=4"
    marked, calls = connection.execute(sql, (*key, after, last)).fetchone()
    return UnreadCounts(len(gone) + marked, sum(one for _, one in gone) + calls)
