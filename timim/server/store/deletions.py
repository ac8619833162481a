"""Deletions of one user in SQL: messages, cleared histories, and conversations that left the list.

A row of `deletions` is a change of one user, with the next number of this user. The row of the user in `deletion_logs` is
locked first, so the numbers are committed in their order. See docs/adr/0085-deletions-of-all-devices.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from .entries import ACTION, Deletion, DeletionChange
from .operation import Execute, ExecuteMany, Operation, SqlEngine, first_row

DELETED, CLEARED, UNLISTED = 1, 2, 3  # of `kind`: one message; all up to a seq; out of the list until a later message
IS_DELETED = (  # condition on entries `e`, with the user as its parameter
    f"EXISTS(SELECT 1 FROM deletions d WHERE d.user_id=? AND d.timeline=e.timeline AND d.kind={DELETED} AND d.seq=e.seq)"
)
NOT_DELETED = f" AND NOT {IS_DELETED}"
# the same for the entries of a page, whose user, timeline, first and last seq are the parameters: read once, not for each entry
NOT_DELETED_IN_PAGE = (
    " AND e.seq NOT IN (SELECT d.seq FROM deletions d"
    f" WHERE d.user_id=? AND d.timeline=? AND d.kind={DELETED} AND d.seq BETWEEN ? AND ?)"
)
_EXTENT = (  # the id, the last seq, and the first seq that the user may see
    "SELECT t.id, t.last_seq, c.floor FROM timelines t JOIN contacts c ON c.timeline=t.id WHERE t.name=? AND c.user_id=?"
)
_CLEARED_SEQ = (
    "(SELECT max(d.seq) FROM deletions d WHERE d.user_id=contacts.user_id AND d.timeline=contacts.timeline"
    f" AND d.kind={CLEARED})"
)
_WITHOUT_HISTORY = (  # the user sees no earlier message, and has not cleared the conversation: its list does not have it
    "SELECT 1 FROM contacts c WHERE c.user_id=? AND c.timeline=? AND c.floor=? AND c.floor>1 AND NOT EXISTS(SELECT 1"
    f" FROM deletions d WHERE d.user_id=c.user_id AND d.timeline=c.timeline AND d.kind={CLEARED} AND d.seq=c.floor-1)"
)
_INSERT = (
    "INSERT INTO deletions(user_id, timeline, kind, seq, number) VALUES(?,?,?,?,?)"
    " ON CONFLICT(user_id, timeline, kind, seq) DO NOTHING"
)


class DeletionStore:
    """Deletions of users. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def clear(self, user: str, timeline: str, *, time: int) -> DeletionChange:
        """Delete all messages of a timeline up to now for a user."""
        return await self._engine.write(partial(remove, user, timeline, time, clear=True))

    async def delete_messages(self, user: str, timeline: str, seqs: Sequence[int], *, time: int) -> DeletionChange:
        """Delete messages of a timeline for a user; those that do not exist, or are deleted already, are left out."""
        return await self._engine.write(partial(delete_messages, user, timeline, seqs, time))

    async def unlist(self, user: str, timeline: str, *, clear: bool, time: int) -> DeletionChange:
        """Take a timeline out of a user's list until its next message, and if `clear`, delete all its messages up to now."""
        return await self._engine.write(partial(remove, user, timeline, time, clear=clear, unlist=True))

    async def number(self, user: str) -> int:
        """Return the last number of a user's log, or 0."""
        return await self._engine.read(partial(last_number, user))

    async def after(self, user: str, number: int, limit: int) -> list[Deletion]:
        """Return the deletions of a user after a number, oldest first."""
        return await self._engine.read(partial(after, user, number, limit))


def last_number(user: str) -> Operation[int]:
    """Select the last number of a user."""
    row = yield from first_row("SELECT last FROM deletion_logs WHERE user_id=?", user)
    return int(row[0]) if row is not None else 0


def after(user: str, number: int, limit: int) -> Operation[list[Deletion]]:
    """Select the deletions after a number."""
    rows = yield Execute(
        "SELECT d.number, t.name, d.kind, d.seq FROM deletions d JOIN timelines t ON t.id=d.timeline"
        " WHERE d.user_id=? AND d.number>? ORDER BY d.number LIMIT ?",
        (user, number, limit),
    )
    return [Deletion(*row) for row in rows]


def remove(user: str, name: str, time: int, *, clear: bool = False, unlist: bool = False) -> Operation[DeletionChange]:
    """Clear a timeline up to now, or take it out of the list, or both."""
    before = yield from _locked(user)
    row = yield from first_row(_EXTENT, name, user)
    if row is None:
        return DeletionChange(before)
    timeline, last_seq, floor = row
    made: list[Deletion] = []
    if clear and floor <= last_seq:
        own = (user, timeline)
        yield Execute("UPDATE contacts SET floor=?, read_time=? WHERE user_id=? AND timeline=?", (last_seq + 1, time, *own))
        yield Execute(
            "DELETE FROM deletions WHERE user_id=? AND timeline=? AND kind IN (?,?) AND seq<=?",
            (*own, DELETED, CLEARED, last_seq),
        )
        made.append(Deletion(before + 1, name, CLEARED, last_seq))
    if unlist:
        yield Execute("UPDATE contacts SET read_time=? WHERE user_id=? AND timeline=?", (time, user, timeline))
        yield Execute("DELETE FROM deletions WHERE user_id=? AND timeline=? AND kind=?", (user, timeline, UNLISTED))
        made.append(Deletion(before + len(made) + 1, name, UNLISTED, last_seq))
    yield from _insert(user, timeline, made)
    return DeletionChange(before, made)


def delete_messages(user: str, name: str, seqs: Sequence[int], time: int) -> Operation[DeletionChange]:
    """Insert the rows of deleted messages."""
    before = yield from _locked(user)
    row = yield from first_row(_EXTENT, name, user)
    if row is None:
        return DeletionChange(before)
    timeline, last_seq, floor = row
    wanted = sorted({seq for seq in seqs if floor <= seq <= last_seq})
    made: list[Deletion] = []
    for seq in wanted:
        entry = yield from first_row(
            f"SELECT e.kind FROM entries e WHERE e.timeline=? AND e.seq=?{NOT_DELETED}", timeline, seq, user
        )
        if entry is not None and entry[0] != ACTION:
            made.append(Deletion(before + len(made) + 1, name, DELETED, seq))
    if made:
        yield from _insert(user, timeline, made)
        yield Execute("UPDATE contacts SET read_time=? WHERE user_id=? AND timeline=?", (time, user, timeline))
    return DeletionChange(before, made)


def hide(user: str, timeline: int, name: str, seq: int, time: int) -> Operation[DeletionChange]:
    """Delete a new entry for one user of its timeline. A conversation that the user did not have does not become listed."""
    before = yield from _locked(user)
    new = yield Execute(
        "INSERT INTO contacts(user_id, timeline) VALUES(?,?) ON CONFLICT(user_id, timeline) DO NOTHING RETURNING timeline",
        (user, timeline),
    )
    made = [Deletion(before + 1, name, DELETED, seq)]
    if new or (yield Execute(_WITHOUT_HISTORY, (user, timeline, seq))):
        made.append(Deletion(before + 2, name, UNLISTED, seq))
        yield Execute("DELETE FROM deletions WHERE user_id=? AND timeline=? AND kind=?", (user, timeline, UNLISTED))
    yield from _insert(user, timeline, made)
    yield Execute("UPDATE contacts SET read_time=? WHERE user_id=? AND timeline=?", (time, user, timeline))
    return DeletionChange(before, made)


def _insert(user: str, timeline: int, made: Sequence[Deletion]) -> Operation[None]:
    if made:
        yield ExecuteMany(_INSERT, [(user, timeline, one.kind, one.seq, one.number) for one in made])
        yield Execute("UPDATE deletion_logs SET last=? WHERE user_id=?", (made[-1].number, user))


def keep_cleared(users: Iterable[str], timelines: str, value: int | str) -> Operation[None]:
    """Raise the floors of users who join again above the messages that they have cleared.

    Args:
        users: The users.
        timelines: Condition of SQL on the column `timeline`, with one parameter.
        value: Its value.
    """
    yield ExecuteMany(
        f"UPDATE contacts SET floor={_CLEARED_SEQ}+1 WHERE user_id=? AND timeline {timelines} AND floor<={_CLEARED_SEQ}",
        [(user, value) for user in users],
    )


def _locked(user: str) -> Operation[int]:
    """Lock the log of a user until the commit, and return its last number."""
    row = yield from first_row(
        "INSERT INTO deletion_logs(user_id, last) VALUES(?,0) ON CONFLICT(user_id) DO UPDATE SET last=deletion_logs.last"
        " RETURNING last",
        user,
    )
    assert row is not None
    return int(row[0])
