"""Cursors of delivery feeds in SQL: the last seq of each timeline that was delivered to the operator's back end.

There is no second queue: the backlog consists of the entries above a cursor, and a cursor advances after the delivery.
"""

from __future__ import annotations

from functools import partial

from .operation import Execute, Operation, SqlEngine, first_row


class DeliveryCursorStore:
    """Cursors of delivery feeds. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def enable(self, feed: str) -> None:
        """Enable a feed for entries stored from now on. A feed that is enabled already continues at its cursors."""
        await self._engine.write(partial(enable, feed))

    async def disable(self, feed: str) -> None:
        """Disable a feed. Entries stored until it is enabled again are not delivered."""
        await self._engine.write(partial(disable, feed))

    async def backlog(self, feed: str, limit: int) -> list[str]:
        """Return at most `limit` message timelines that have entries above the feed's cursor."""
        return await self._engine.read(partial(backlog, feed, limit))

    async def get(self, feed: str, timeline: str) -> int:
        """Return the last delivered seq, or 0 for none."""
        return await self._engine.read(partial(cursor, feed, timeline))

    async def advance(self, feed: str, timeline: str, seq: int) -> None:
        """Record that all entries up to this seq were delivered. A cursor never moves back."""
        await self._engine.write(partial(advance, feed, timeline, seq))


def backlog(feed: str, limit: int) -> Operation[list[str]]:
    """Select at most `limit` message timelines that have entries above the feed's cursor."""
    rows = yield Execute(
        "SELECT t.name FROM timelines t LEFT JOIN outlets o ON o.outlet=? AND o.timeline=t.id"
        " WHERE t.last_seq>coalesce(o.seq, 0) AND t.name NOT LIKE 'system%' LIMIT ?",
        (feed, limit),
    )
    return [row[0] for row in rows]


def cursor(feed: str, timeline: str) -> Operation[int]:
    """Select the last delivered seq, or 0 for none."""
    row = yield from first_row(
        "SELECT o.seq FROM outlets o JOIN timelines t ON t.id=o.timeline WHERE o.outlet=? AND t.name=?", feed, timeline
    )
    return int(row[0]) if row else 0


def advance(feed: str, timeline: str, seq: int) -> Operation[None]:
    """Record that all entries up to this seq were delivered."""
    yield Execute(
        "INSERT INTO outlets(outlet, timeline, seq) SELECT CAST(? AS TEXT), id, CAST(? AS INTEGER) FROM timelines WHERE name=?"
        " ON CONFLICT(outlet, timeline) DO UPDATE SET seq=excluded.seq WHERE outlets.seq<excluded.seq",
        (feed, seq, timeline),
    )


def enable(feed: str) -> Operation[None]:
    """Enable a feed. Entries stored while it was disabled are not delivered."""
    opened = yield Execute(
        "INSERT INTO meta(key, value) VALUES(?, 'open') ON CONFLICT(key) DO NOTHING RETURNING key", (_key(feed),)
    )
    if opened:
        yield Execute("DELETE FROM outlets WHERE outlet=?", (feed,))
        yield Execute(
            "INSERT INTO outlets(outlet, timeline, seq) SELECT CAST(? AS TEXT), id, last_seq FROM timelines"
            " WHERE name NOT LIKE 'system%'",
            (feed,),
        )


def disable(feed: str) -> Operation[None]:
    """Disable a feed. Its cursors are deleted when it is enabled again."""
    yield Execute("DELETE FROM meta WHERE key=?", (_key(feed),))


def _key(feed: str) -> str:
    return f"outlet-{feed}"
