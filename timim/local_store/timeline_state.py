"""What is known of each timeline, in the local store: its row while a transaction changes it, and queries of it."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from ..ids import ConversationKey
from ..protocol.coverage import Coverage, Interval
from . import message_actions
from .message_rows import TYPES
from .types import ConversationFlags, ConversationRow, FlaggedConversation, ListedConversation, TimelineExtent

SELECT_CONVERSATION = (
    "SELECT c.type, c.peer, c.coverage, c.head, c.last_seq, c.read_seq, c.floor, c.listed, c.last_time, c.acts_seq,"
    " c.peer_read_seq, c.pinned, c.muted, c.draft, c.draft_unsent FROM conversations c"
)


@dataclass(slots=True)
class TimelineState:
    """A conversation's row while a transaction changes it: read once, written once."""

    key: ConversationKey
    coverage: Coverage = field(default_factory=Coverage)
    last_seq: int = 0
    last_time: int = 0
    read_seq: int = 0
    floor: int = 1
    head: int = 0
    hidden_seq: int = 0
    listed: bool = False
    acts_seq: int = 0
    peer_read_seq: int = 0
    waiting: bool = False  # acts wait for messages that are not held
    unnumbered: bool = False  # some of its messages have no seq: one that comes may be one of them

    @classmethod
    def read(cls, connection: sqlite3.Connection, key: ConversationKey) -> TimelineState:
        """The row, or what stands for one that is not there."""
        row = connection.execute(
            "SELECT coverage, last_seq, last_time, read_seq, floor, head, hidden_seq, listed,"
            " acts_seq, peer_read_seq, EXISTS(SELECT 1 FROM acts WHERE type=? AND peer=?),"
            " EXISTS(SELECT 1 FROM messages WHERE type=? AND peer=? AND seq IS NULL)"
            " FROM conversations WHERE type=? AND peer=?",
            tuple(key) * 3,
        ).fetchone()
        if row is None:
            return cls(key)
        coverage, last_seq, last_time, read_seq, floor, head, hidden_seq, listed, acts, peer_read, waiting, unnumbered = row
        held = Coverage(json.loads(coverage))
        numbers = (last_seq, last_time, read_seq, floor, head, hidden_seq)
        return cls(key, held, *numbers, bool(listed), acts, peer_read, bool(waiting), bool(unnumbered))

    def cover(self, *covered: Interval, last_seq: int, last_time: int) -> None:
        """These intervals are held; the timeline goes up to here, as far as this tells."""
        for interval in covered:
            self.coverage = self.coverage.add(*interval)
        self.last_seq = max(self.last_seq, last_seq)
        self.last_time = max(self.last_time, last_time)

    def follow(self, seq: int) -> None:
        """One of our own messages has this seq: there is nothing between it and the head that is not here."""
        if seq == self.head + 1:
            self.head = seq
        if seq == self.acts_seq + 1:
            self.acts_seq = seq

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it back."""
        connection.execute(
            "INSERT INTO conversations(type, peer, coverage, last_seq, last_time, read_seq, floor, head, listed,"
            " acts_seq, peer_read_seq) VALUES(?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE"
            " SET coverage=excluded.coverage, last_seq=excluded.last_seq, last_time=excluded.last_time,"
            " read_seq=excluded.read_seq, floor=excluded.floor, head=excluded.head, listed=excluded.listed,"
            " acts_seq=excluded.acts_seq, peer_read_seq=excluded.peer_read_seq",
            (
                *self.key,
                _coverage_text(self.coverage),
                self.last_seq,
                self.last_time,
                self.read_seq,
                self.floor,
                self.head,
                self.listed,
                self.acts_seq,
                self.peer_read_seq,
            ),
        )


def _coverage_text(coverage: Coverage) -> str:
    return json.dumps([tuple(interval) for interval in coverage])


def forget_history(connection: sqlite3.Connection) -> None:
    """Nothing is known of any timeline; messages get their new numbers as they are seen again."""
    connection.execute("DELETE FROM meta WHERE key IN ('synced', 'synced-c2c')")
    connection.execute("UPDATE messages SET seq=NULL WHERE seq IS NOT NULL")
    connection.execute(
        "UPDATE conversations SET coverage='[]', head=0, last_seq=0, read_seq=0, floor=1, hidden_seq=0, acts_seq=0,"
        " peer_read_seq=0, base_unread=0, base_mentioned=0, base_seq=0"
    )
    message_actions.forget_seqs(connection)


def enter_epoch(connection: sqlite3.Connection, epoch: str) -> bool:
    """The server's epoch. True if another was known: then nothing is known of any timeline."""
    row = connection.execute("SELECT value FROM meta WHERE key='epoch'").fetchone()
    if row is not None and row[0] == epoch:
        return False
    connection.execute("INSERT OR REPLACE INTO meta VALUES('epoch', ?)", (epoch,))
    if row is not None:
        forget_history(connection)
    return row is not None


def extents(connection: sqlite3.Connection, key: ConversationKey | None) -> dict[ConversationKey, TimelineExtent]:
    """Return the extent of this timeline, or of all."""
    sql = "SELECT type, peer, coverage, floor, last_seq FROM conversations"
    found = connection.execute(f"{sql} WHERE type=? AND peer=?", tuple(key)) if key else connection.execute(sql)
    return {
        ConversationKey(TYPES[type], peer): TimelineExtent(Coverage(json.loads(held)), floor, last)
        for type, peer, held, floor, last in found
    }


def conversation_of(connection: sqlite3.Connection, row: tuple[Any, ...]) -> ConversationRow:
    """A row of SELECT_CONVERSATION, with what is unread."""
    type, peer, held, head, last, read, floor, listed, time, acts, peer_read, pinned, muted, draft, unsent = row
    key = ConversationKey(TYPES[type], peer)
    coverage, marks = Coverage(json.loads(held)), ConversationFlags(pinned, bool(muted), draft)
    unread = message_actions.unread_of(connection, key)
    return ConversationRow(
        key, coverage, head, last, read, floor, bool(listed), time, acts, peer_read, marks, bool(unsent), *unread
    )


def ensure(connection: sqlite3.Connection, key: ConversationKey) -> None:
    """There is a row for this conversation."""
    connection.execute("INSERT INTO conversations(type, peer) VALUES(?,?) ON CONFLICT DO NOTHING", tuple(key))


def coverage_of(connection: sqlite3.Connection, key: ConversationKey) -> Coverage:
    """Return the covered seqs."""
    row = connection.execute("SELECT coverage FROM conversations WHERE type=? AND peer=?", tuple(key)).fetchone()
    return Coverage(json.loads(row[0])) if row else Coverage()


def floor_of(connection: sqlite3.Connection, key: ConversationKey) -> int:
    """Return the first seq that this account may see."""
    row = connection.execute("SELECT floor FROM conversations WHERE type=? AND peer=?", tuple(key)).fetchone()
    return int(row[0]) if row else 1


def write_coverage(connection: sqlite3.Connection, key: ConversationKey, coverage: Coverage) -> None:
    """Write the covered seqs."""
    connection.execute("UPDATE conversations SET coverage=? WHERE type=? AND peer=?", (_coverage_text(coverage), *key))


def set_flags(connection: sqlite3.Connection, key: ConversationKey, flags: ConversationFlags) -> ConversationFlags:
    """What the account has of the conversation, and what it is then: a draft that the server has not got yet stays."""
    (draft,) = connection.execute(
        "UPDATE conversations SET pinned=?, muted=?, draft=CASE WHEN draft_unsent THEN draft ELSE ? END"
        " WHERE type=? AND peer=? RETURNING draft",
        (flags.pinned, flags.muted, flags.draft, *key),
    ).fetchone()
    return ConversationFlags(flags.pinned, flags.muted, draft)


def last_not_after(connection: sqlite3.Connection, key: ConversationKey, time: int) -> int:
    """The last held seq of this time or an earlier one, 0 for none; by halving, for times never go back."""
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
    """`last_not_after`, and whether what follows it is held too, or is nothing."""
    seq = last_not_after(connection, key, time)
    younger = connection.execute("SELECT min(seq) FROM messages WHERE type=? AND peer=? AND seq>?", (*key, seq)).fetchone()[0]
    first = max(seq, floor_of(connection, key))
    return seq, coverage_of(connection, key).covers(first, younger or newest)


def listed(connection: sqlite3.Connection) -> list[ListedConversation]:
    """Return the conversation list, the newest first."""
    sql = "SELECT type, peer, last_time FROM conversations WHERE listed ORDER BY last_time DESC"
    found = [(ConversationKey(TYPES[type], peer), time) for type, peer, time in connection.execute(sql).fetchall()]
    return [ListedConversation(key, time, message_actions.unread_of(connection, key)) for key, time in found]


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


def unsent_drafts(connection: sqlite3.Connection) -> list[tuple[ConversationKey, str]]:
    """Return the drafts that the server has not got yet."""
    found = connection.execute("SELECT type, peer, draft FROM conversations WHERE draft_unsent").fetchall()
    return [(ConversationKey(TYPES[type], peer), draft) for type, peer, draft in found]
