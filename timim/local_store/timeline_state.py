"""The known state of each timeline in the local store: its row during a transaction, and queries."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..ids import ConversationKey, ConversationSetting
from ..protocol.coverage import Coverage, Interval
from . import message_actions, unread
from .checksums import NOTHING, checked_coverage, of_coverage
from .message_rows import TYPES
from .types import (
    ConversationFlags,
    ConversationRow,
    FlaggedConversation,
    IngestBatch,
    LastPosition,
    ListedConversation,
    TimelineExtent,
)

SELECT_CONVERSATION = (
    "SELECT c.type, c.peer, c.coverage, c.head, c.last_seq, c.read_seq, c.floor, c.listed, c.last_time, c.acts_seq,"
    " c.peer_read_seq, c.pinned, c.muted, c.draft, c.checksum FROM conversations c"
)
_SELECT_PROOF = "SELECT coverage, floor, head, checksum FROM conversations"


@dataclass(slots=True)
class TimelineState:
    """A conversation's row during a transaction: read once, changed in memory, written once."""

    key: ConversationKey
    coverage: Coverage = field(default_factory=Coverage)
    last_seq: int = 0
    last_time: int = 0
    read_seq: int = 0
    first_visible_seq: int = 1
    delivered_seq: int = 0
    hidden_seq: int = 0
    listed: bool = False
    actions_seq: int = 0
    peer_read_seq: int = 0
    cleared_seq: int = 0
    last_id: int = 0
    has_deleted: bool = False  # messages that were deleted on this device may be fetched again
    waiting: bool = False  # actions wait for messages that are not stored
    unnumbered: bool = False  # some messages have no seq: a received message may be one of them
    has_erased: bool = False  # single messages were deleted at the server
    erased_seq: int = 0  # all messages up to this seq were deleted at the server

    @classmethod
    def read(cls, connection: sqlite3.Connection, key: ConversationKey) -> TimelineState:
        """Return the state of a conversation; the default state if there is no row."""
        row = connection.execute(
            "SELECT coverage, last_seq, last_time, read_seq, floor, head, hidden_seq, listed,"
            " acts_seq, peer_read_seq, cleared_seq, last_id, checksum, EXISTS(SELECT 1 FROM deleted WHERE type=? AND peer=?),"
            " EXISTS(SELECT 1 FROM acts WHERE type=? AND peer=?),"
            " EXISTS(SELECT 1 FROM messages WHERE type=? AND peer=? AND seq IS NULL),"
            " EXISTS(SELECT 1 FROM erased WHERE type=? AND peer=?), erased_seq"
            " FROM conversations WHERE type=? AND peer=?",
            tuple(key) * 5,
        ).fetchone()
        if row is None:
            return cls(key)
        (
            coverage,
            last_seq,
            last_time,
            read_seq,
            first_visible_seq,
            delivered_seq,
            hidden_seq,
            listed,
            actions,
            peer_read,
            cleared_seq,
            last_id,
            checksum,
            has_deleted,
            waiting,
            unnumbered,
            has_erased,
            erased_seq,
        ) = row
        held = checked_coverage(coverage, first_visible_seq, delivered_seq, checksum)
        numbers = (last_seq, last_time, read_seq, first_visible_seq, delivered_seq, hidden_seq)
        flags = (bool(has_deleted), bool(waiting), bool(unnumbered), bool(has_erased))
        return cls(key, held, *numbers, bool(listed), actions, peer_read, cleared_seq, last_id, *flags, erased_seq)

    @property
    def read_through(self) -> int:
        """The seq up to which messages do not count as unread: read, or deleted with the conversation."""
        return max(self.read_seq, self.cleared_seq)

    @property
    def last_position(self) -> LastPosition:
        """The place of the conversation in the list."""
        return LastPosition(self.last_time, self.last_id)

    def is_revived_by(self, batch: IngestBatch) -> bool:
        """Return whether a batch lists the conversation: after its deletion, only a new message does."""
        shown = [item.seq for item in batch.incoming if not item.quiet & unread.NO_LAST]
        return any(seq > self.hidden_seq for seq in shown) or not (self.hidden_seq or batch.incoming)

    def cover(self, *covered: Interval, last_seq: int) -> None:
        """Add covered intervals, and raise the last known seq of the timeline."""
        for interval in covered:
            self.coverage = self.coverage.add(*interval)
        self.last_seq = max(self.last_seq, last_seq)

    def raise_last(self, time: int, local_id: int) -> None:
        """Note the time and the row of a message that is newer than the others."""
        self.last_time, self.last_id = max((self.last_time, self.last_id), (time, local_id))

    def follow(self, seqs: Iterable[int]) -> None:
        """Note seqs of messages that this device sent: directly after the delivered seq, they raise the delivered seq."""
        for seq in seqs:
            if seq == self.delivered_seq + 1:
                self.delivered_seq = seq
            if seq == self.actions_seq + 1:
                self.actions_seq = seq

    def write(self, connection: sqlite3.Connection) -> None:
        """Write this state to its row."""
        coverage = _coverage_text(self.coverage)
        connection.execute(
            "INSERT INTO conversations(type, peer, coverage, last_seq, last_time, read_seq, floor, head, listed,"
            " acts_seq, peer_read_seq, last_id, checksum) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE"
            " SET coverage=excluded.coverage, last_seq=excluded.last_seq, last_time=excluded.last_time,"
            " read_seq=excluded.read_seq, floor=excluded.floor, head=excluded.head, listed=excluded.listed,"
            " acts_seq=excluded.acts_seq, peer_read_seq=excluded.peer_read_seq, last_id=excluded.last_id,"
            " checksum=excluded.checksum",
            (
                *self.key,
                coverage,
                self.last_seq,
                self.last_time,
                self.read_seq,
                self.first_visible_seq,
                self.delivered_seq,
                self.listed,
                self.actions_seq,
                self.peer_read_seq,
                self.last_id,
                of_coverage(coverage, self.first_visible_seq, self.delivered_seq),
            ),
        )


def _coverage_text(coverage: Coverage) -> str:
    return json.dumps([tuple(interval) for interval in coverage])


def forget_history(connection: sqlite3.Connection) -> None:
    """Forget all timelines; messages get their new seqs when they are fetched again."""
    connection.execute("DELETE FROM meta WHERE key IN ('synced', 'synced-c2c', 'deletions')")
    connection.execute("UPDATE messages SET seq=NULL WHERE seq IS NOT NULL")
    connection.execute(
        "UPDATE conversations SET coverage='[]', head=0, last_seq=0, read_seq=0, floor=1, hidden_seq=0, acts_seq=0,"
        " peer_read_seq=0, base_unread=0, base_mentioned=0, base_seq=0, base_after=0, cleared_seq=0, settings_version=0,"
        " erased_seq=0, checksum=?",
        (NOTHING + 1,),
    )
    connection.execute("DELETE FROM pending_changes WHERE setting=?", (ConversationSetting.READ.value,))
    message_actions.forget_seqs(connection)


def enter_epoch(connection: sqlite3.Connection, epoch: str) -> bool:
    """Store the server's epoch; if another was stored, forget all timelines and return True."""
    row = connection.execute("SELECT value FROM meta WHERE key='epoch'").fetchone()
    if row is not None and row[0] == epoch:
        return False
    connection.execute("INSERT OR REPLACE INTO meta VALUES('epoch', ?)", (epoch,))
    if row is not None:
        forget_history(connection)
    return row is not None


def extents(connection: sqlite3.Connection, key: ConversationKey | None) -> dict[ConversationKey, TimelineExtent]:
    """Return the TimelineExtent of one conversation, or of every conversation if `key` is None."""
    sql = "SELECT type, peer, last_seq, coverage, floor, head, checksum FROM conversations"
    found = connection.execute(f"{sql} WHERE type=? AND peer=?", tuple(key)) if key else connection.execute(sql)
    return {
        ConversationKey(TYPES[type], peer): TimelineExtent(checked_coverage(*proof), proof[1], last)
        for type, peer, last, *proof in found
    }


def conversation_of(connection: sqlite3.Connection, row: tuple[Any, ...]) -> ConversationRow:
    """Return the conversation of a row of SELECT_CONVERSATION, with its unread counts."""
    (
        type,
        peer,
        held,
        delivered_seq,
        last,
        read,
        first_visible_seq,
        listed,
        time,
        actions,
        peer_read,
        pinned,
        muted,
        draft,
        checksum,
    ) = row
    key = ConversationKey(TYPES[type], peer)
    coverage = checked_coverage(held, first_visible_seq, delivered_seq, checksum)
    flags = ConversationFlags(pinned, bool(muted), draft)
    counts = unread.unread_of(connection, key)
    return ConversationRow(
        key,
        coverage,
        delivered_seq,
        last,
        read,
        first_visible_seq,
        bool(listed),
        time,
        actions,
        peer_read,
        flags,
        *counts,
    )


def ensure(connection: sqlite3.Connection, key: ConversationKey) -> None:
    """Insert a row for a conversation that has none."""
    connection.execute("INSERT INTO conversations(type, peer) VALUES(?,?) ON CONFLICT DO NOTHING", tuple(key))


def proof_of(connection: sqlite3.Connection, key: ConversationKey) -> tuple[Coverage, int]:
    """Return the covered seqs, and the first seq that this account may see."""
    row = connection.execute(f"{_SELECT_PROOF} WHERE type=? AND peer=?", tuple(key)).fetchone()
    return (checked_coverage(*row), int(row[1])) if row else (Coverage(), 1)


def coverage_of(connection: sqlite3.Connection, key: ConversationKey) -> Coverage:
    """Return the covered seqs."""
    return proof_of(connection, key)[0]


def first_visible_seq_of(connection: sqlite3.Connection, key: ConversationKey) -> int:
    """Return the first seq that this account may see."""
    return proof_of(connection, key)[1]


def delivered_seq_of(connection: sqlite3.Connection, key: ConversationKey) -> int | None:
    """Return the seq up to which all entries were delivered; None for an unknown conversation."""
    row = connection.execute(f"{_SELECT_PROOF} WHERE type=? AND peer=?", tuple(key)).fetchone()
    if row is None:
        return None
    checked_coverage(*row)
    return int(row[2])


def write_coverage(connection: sqlite3.Connection, key: ConversationKey, coverage: Coverage) -> None:
    """Write the covered seqs."""
    sql = "UPDATE conversations SET coverage=?, checksum=?+floor+head WHERE type=? AND peer=?"
    text = _coverage_text(coverage)
    connection.execute(sql, (text, of_coverage(text, 0, 0), *key))


def last_not_after(connection: sqlite3.Connection, key: ConversationKey, time: int) -> int:
    """Return the last stored seq at or before a time, or 0 for none, by binary search: times never decrease."""
    low, high = 0, connection.execute("SELECT max(seq) FROM messages WHERE type=? AND peer=?", tuple(key)).fetchone()[0] or 0
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(
            "SELECT seq, timestamp FROM messages WHERE type=? AND peer=? AND seq<=? ORDER BY seq DESC LIMIT 1", (*key, middle)
        ).fetchone()
        if row is None or row[1] <= time:
            low = middle
        else:
            high = row[0] - 1
    row = connection.execute("SELECT max(seq) FROM messages WHERE type=? AND peer=? AND seq<=?", (*key, low)).fetchone()
    return int(row[0] or 0)


def seq_at(connection: sqlite3.Connection, key: ConversationKey, time: int, newest: int) -> tuple[int, bool]:
    """Return the last stored seq at or before a time, and True if it is certain that no later one exists."""
    seq = last_not_after(connection, key, time)
    younger = connection.execute("SELECT min(seq) FROM messages WHERE type=? AND peer=? AND seq>?", (*key, seq)).fetchone()[0]
    first = max(seq, first_visible_seq_of(connection, key))
    return seq, coverage_of(connection, key).covers(first, younger or newest)


def listed(connection: sqlite3.Connection) -> list[ListedConversation]:
    """Return all conversations, with their places in the list."""
    found = connection.execute("SELECT type, peer, listed, last_time, last_id FROM conversations").fetchall()
    return [
        ListedConversation(key, bool(is_listed), LastPosition(time, local_id), unread.unread_of(connection, key))
        for key, is_listed, time, local_id in ((ConversationKey(TYPES[row[0]], row[1]), *row[2:]) for row in found)
    ]


def flagged(connection: sqlite3.Connection) -> list[FlaggedConversation]:
    """Return the conversations with flags, a draft, or a peer who has read."""
    found = connection.execute(
        "SELECT type, peer, pinned, muted, draft, peer_read_seq FROM conversations"
        " WHERE pinned OR muted OR draft<>'' OR peer_read_seq"
    ).fetchall()
    return [
        FlaggedConversation(ConversationKey(TYPES[type], peer), ConversationFlags(pinned, bool(muted), draft), read)
        for type, peer, pinned, muted, draft, read in found
    ]
