"""How far each outlet has told of each timeline. An outlet tells the operator's back end what was stored, in order.

There is no second queue: what is still to be told is what stands above the cursor, and a cursor moves after the telling.
"""

from __future__ import annotations

from .operation import Run, Steps, one


def behind(outlet: str, limit: int) -> Steps[list[str]]:
    """Timelines of messages that hold more than this outlet has told; at most `limit`."""
    rows = yield Run(
        "SELECT t.name FROM timelines t LEFT JOIN outlets o ON o.outlet=? AND o.timeline=t.id"
        " WHERE t.last_seq>coalesce(o.seq, 0) AND t.name NOT LIKE 'system%' LIMIT ?",
        (outlet, limit),
    )
    return [row[0] for row in rows]


def cursor(outlet: str, timeline: str) -> Steps[int]:
    """The last seq that was told, 0 for none."""
    row = yield from one(
        "SELECT o.seq FROM outlets o JOIN timelines t ON t.id=o.timeline WHERE o.outlet=? AND t.name=?", outlet, timeline
    )
    return int(row[0]) if row else 0


def told(outlet: str, timeline: str, seq: int) -> Steps[None]:
    """Everything up to this seq was told."""
    yield Run(
        "INSERT INTO outlets(outlet, timeline, seq) SELECT CAST(? AS TEXT), id, CAST(? AS INTEGER) FROM timelines WHERE name=?"
        " ON CONFLICT(outlet, timeline) DO UPDATE SET seq=excluded.seq WHERE outlets.seq<excluded.seq",
        (outlet, seq, timeline),
    )


def begin(outlet: str) -> Steps[None]:
    """Open an outlet: when it was not open, what is stored by now is not told."""
    opened = yield Run(
        "INSERT INTO meta(key, value) VALUES(?, 'open') ON CONFLICT(key) DO NOTHING RETURNING key", (_key(outlet),)
    )
    if opened:
        yield Run("DELETE FROM outlets WHERE outlet=?", (outlet,))
        yield Run(
            "INSERT INTO outlets(outlet, timeline, seq) SELECT CAST(? AS TEXT), id, last_seq FROM timelines"
            " WHERE name NOT LIKE 'system%'",
            (outlet,),
        )


def end(outlet: str) -> Steps[None]:
    """Close an outlet: what is stored from now on until it is opened is not told."""
    yield Run("DELETE FROM meta WHERE key=?", (_key(outlet),))


def _key(outlet: str) -> str:
    return f"outlet-{outlet}"
