"""The outbox of callbacks in SQL. A callback is stored in the transaction of its cause, and deleted after its delivery.

Callbacks of one lane are delivered in the order of their ids. A callback that was given up is a dead letter until its replay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial

import msgspec

from .new_callbacks import NewCallback
from .operation import Execute, ExecuteMany, Operation, SqlEngine, first_row

DEAD_LIMIT = 10_000  # dead letters that are kept; older ones are deleted
_FIELDS = "id, lane, command, body, client_ip, platform, time, dead, reason"


class StoredCallback(msgspec.Struct, frozen=True, gc=False):
    """A callback in the outbox. `dead` is the time at which it was given up, in seconds, or 0."""

    id: int
    lane: str
    command: str
    body: bytes
    client_ip: str
    platform: str
    time: int
    dead: int = 0
    reason: str = ""


class CallbackStore:
    """The outbox of callbacks. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    def submit(self, rows: Sequence[NewCallback]) -> Awaitable[None]:
        """Queue callbacks whose cause is not stored, in the order of the calls. The awaitable returns after the commit."""
        return self._engine.submit(partial(insert, tuple(rows)))

    async def lanes(self, limit: int) -> list[str]:
        """Return at most `limit` lanes that have callbacks to deliver."""
        return await self._engine.read(partial(lanes, limit))

    async def next_of(self, lane: str, limit: int) -> list[StoredCallback]:
        """Return the oldest callbacks of a lane, dead letters excluded."""
        return await self._engine.read(partial(next_of, lane, limit))

    async def remove(self, ids: Sequence[int]) -> None:
        """Delete delivered callbacks."""
        await self._engine.write(partial(remove, tuple(ids)))

    async def bury(self, id: int, *, time: int, reason: str) -> None:
        """Give up a callback: it becomes a dead letter. The oldest dead letters over DEAD_LIMIT are deleted."""
        await self._engine.write(partial(bury, id, time, reason))

    async def discard_waiting(self) -> None:
        """Delete all callbacks that are not dead letters, because the server makes no callbacks any more."""
        await self._engine.write(discard_waiting)

    async def counts(self) -> list[tuple[str, int, int]]:
        """Return for each command the number of callbacks that wait, and the number of dead letters."""
        return await self._engine.read(counts)

    async def dead_letters(self, limit: int) -> list[StoredCallback]:
        """Return the oldest dead letters."""
        return await self._engine.read(partial(dead_letters, limit))

    async def replay(self, ids: Sequence[int], *, time: int) -> list[str]:
        """Make dead letters wait for delivery again, all of them if `ids` is empty. Return the lane of each."""
        return await self._engine.write(partial(replay, tuple(ids), time))


def insert(rows: Sequence[NewCallback], seq: int = 0, time: int = 0) -> Operation[None]:
    """Insert callbacks. The seq and time are those of the entry that causes them."""
    if rows:
        yield ExecuteMany(
            "INSERT INTO callbacks(lane, command, body, client_ip, platform, time) VALUES(?,?,?,?,?,?)",
            [(row.lane, row.command, row.content(seq, time), row.client_ip, row.platform, row.time) for row in rows],
        )


def lanes(limit: int) -> Operation[list[str]]:
    """Select lanes that have callbacks to deliver."""
    rows = yield Execute("SELECT DISTINCT lane FROM callbacks WHERE dead=0 LIMIT ?", (limit,))
    return [row[0] for row in rows]


def next_of(lane: str, limit: int) -> Operation[list[StoredCallback]]:
    """Select the oldest callbacks of a lane."""
    rows = yield Execute(f"SELECT {_FIELDS} FROM callbacks WHERE dead=0 AND lane=? ORDER BY id LIMIT ?", (lane, limit))
    return [StoredCallback(*row) for row in rows]


def remove(ids: Sequence[int]) -> Operation[None]:
    """Delete callbacks."""
    yield ExecuteMany("DELETE FROM callbacks WHERE id=?", [(id,) for id in ids])


def bury(id: int, time: int, reason: str) -> Operation[None]:
    """Mark a callback as a dead letter."""
    yield Execute("UPDATE callbacks SET dead=?, reason=? WHERE id=?", (time, reason, id))
    row = yield from first_row("SELECT id FROM callbacks WHERE dead>0 ORDER BY id DESC LIMIT 1 OFFSET ?", DEAD_LIMIT)
    if row is not None:
        yield Execute("DELETE FROM callbacks WHERE dead>0 AND id<=?", (row[0],))


def discard_waiting() -> Operation[None]:
    """Delete all callbacks that are not dead letters."""
    yield Execute("DELETE FROM callbacks WHERE dead=0")


def counts() -> Operation[list[tuple[str, int, int]]]:
    """Count the callbacks of each command that wait, and its dead letters."""
    rows = yield Execute(
        "SELECT command, sum(CASE WHEN dead=0 THEN 1 ELSE 0 END), sum(CASE WHEN dead=0 THEN 0 ELSE 1 END)"
        " FROM callbacks GROUP BY command ORDER BY command"
    )
    return [(command, int(waiting), int(dead)) for command, waiting, dead in rows]


def dead_letters(limit: int) -> Operation[list[StoredCallback]]:
    """Select the oldest dead letters."""
    rows = yield Execute(f"SELECT {_FIELDS} FROM callbacks WHERE dead>0 ORDER BY id LIMIT ?", (limit,))
    return [StoredCallback(*row) for row in rows]


def replay(ids: Sequence[int], time: int) -> Operation[list[str]]:
    """Make dead letters wait again."""
    sql = "UPDATE callbacks SET dead=0, reason='', time=? WHERE dead>0"
    if not ids:
        rows = yield Execute(f"{sql} RETURNING lane", (time,))
        return [row[0] for row in rows]
    found: list[str] = []
    for id in ids:
        row = yield from first_row(f"{sql} AND id=? RETURNING lane", time, id)
        found += [row[0]] if row is not None else []
    return found
