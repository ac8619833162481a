"""Mentions, and read receipts of messages, in SQL. A sender can request receipts for a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from . import callbacks
from .entities import Receipt
from .entries import NewEntry
from .new_callbacks import NewCallback, no_callbacks
from .operation import Execute, ExecuteMany, Operation, SqlEngine, first_row

_WANTED = "SELECT t.name, w.seq, w.sender, w.readers, w.changed FROM receipts_wanted w JOIN timelines t ON t.id=w.timeline"


class ReceiptStore:
    """Readers of the messages for which read receipts were requested. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def add(
        self,
        user: str,
        timeline: str,
        seqs: Sequence[int],
        *,
        time: int,
        report: Callable[[Sequence[Receipt]], Sequence[NewCallback]] = no_callbacks,
    ) -> list[Receipt]:
        """Record that a user has read exactly these messages of a conversation, and return the changed receipts.

        `report` returns the callbacks that are stored with the changes. It must have no effect.
        """
        return await self._engine.write(partial(add, user, timeline, seqs, time, report))

    async def of_sender(self, sender: str, since: int, limit: int) -> list[Receipt]:
        """Return the receipts of a sender's messages that changed at `since` or later, newest first."""
        return await self._engine.read(partial(of_sender, sender, since, limit))

    async def get(self, timeline: str, seqs: Sequence[int]) -> list[Receipt]:
        """Return the receipts of these messages. Messages without requested receipts are left out."""
        return await self._engine.read(partial(get, timeline, seqs))

    async def readers(self, timeline: str, seq: int, offset: int, limit: int) -> list[tuple[str, int]]:
        """Return the readers of a message with the time of reading, earliest first."""
        return await self._engine.read(partial(readers, timeline, seq, offset, limit))


def insert_requests(timeline: int, seq: int, entry: NewEntry) -> Operation[None]:
    """Insert the mentions and the receipt request of a new entry."""
    if entry.receipt:
        yield Execute("INSERT INTO receipts_wanted(timeline, seq, sender) VALUES(?,?,?)", (timeline, seq, entry.sender))
    if entry.mentions:
        yield ExecuteMany("INSERT INTO mentions VALUES(?,?,?)", [(timeline, user, seq) for user in entry.mentions])


def add_reader(number: int, timeline: str, seq: int, user: str, time: int) -> Operation[list[Receipt]]:
    """Record once that a user has read a message for which receipts were requested. Return the changed receipt."""
    new = yield Execute(
        "INSERT INTO receipts VALUES(?,?,?,?) ON CONFLICT(timeline, seq, user_id) DO NOTHING RETURNING seq",
        (number, seq, user, time),
    )
    if not new:
        return []
    rows = yield Execute(
        "UPDATE receipts_wanted SET readers=readers+1, changed=? WHERE timeline=? AND seq=? RETURNING sender, readers",
        (time, number, seq),
    )
    return [Receipt(timeline, seq, sender, readers, time) for sender, readers in rows]


def add(
    user: str,
    timeline: str,
    seqs: Sequence[int],
    time: int,
    report: Callable[[Sequence[Receipt]], Sequence[NewCallback]] = no_callbacks,
) -> Operation[list[Receipt]]:
    """Record that a user has read these messages. Messages without a requested receipt are ignored."""
    found: list[Receipt] = []
    for seq in seqs:
        row = yield from first_row(
            "SELECT w.timeline FROM receipts_wanted w JOIN timelines t ON t.id=w.timeline"
            " WHERE t.name=? AND w.seq=? AND w.sender<>?",
            timeline,
            seq,
            user,
        )
        if row is not None:
            found += yield from add_reader(row[0], timeline, seq, user, time)
    yield from callbacks.insert(report(found))
    return found


def of_sender(sender: str, since: int, limit: int) -> Operation[list[Receipt]]:
    """Select the receipts of a sender's messages that changed at `since` or later, newest first."""
    where = " WHERE w.sender=? AND w.changed>=? AND w.changed>0 ORDER BY w.changed DESC LIMIT ?"
    rows = yield Execute(_WANTED + where, (sender, since, limit))
    return [Receipt(*row) for row in rows]


def get(timeline: str, seqs: Sequence[int]) -> Operation[list[Receipt]]:
    """Select the receipts of these messages. Messages without requested receipts are left out."""
    found: list[Receipt] = []
    for seq in seqs:
        row = yield from first_row(f"{_WANTED} WHERE t.name=? AND w.seq=?", timeline, seq)
        if row is not None:
            found.append(Receipt(*row))
    return found


def readers(timeline: str, seq: int, offset: int, limit: int) -> Operation[list[tuple[str, int]]]:
    """Select the readers of a message with the time of reading, earliest first."""
    rows = yield Execute(
        "SELECT r.user_id, r.time FROM receipts r JOIN timelines t ON t.id=r.timeline WHERE t.name=? AND r.seq=?"
        " ORDER BY r.time, r.user_id LIMIT ? OFFSET ?",
        (timeline, seq, limit, offset),
    )
    return [(user, time) for user, time in rows]
