"""Times without offline pushes in SQL, one for each account that has set one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...protocol.do_not_disturb import DAY_S, DoNotDisturb
from .operation import Execute, Operation, SqlEngine, first_row


class DoNotDisturbStore:
    """Times without offline pushes. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def put(self, user: str, quiet: DoNotDisturb | None) -> None:
        """Store the time of a user, or remove it."""
        await self._engine.write(partial(put, user, quiet))

    async def get(self, user: str) -> DoNotDisturb | None:
        """Return the time of a user, None if there is none."""
        return await self._engine.read(partial(quiet_time_of, user))

    async def users_at(self, time: float, users: Sequence[str]) -> set[str]:
        """Return those of `users` who get no offline pushes at a time in server seconds."""
        return await self._engine.read(partial(users_at, time, users))


def put(user: str, quiet: DoNotDisturb | None) -> Operation[None]:
    """Insert, update or delete the row of a user."""
    if quiet is None:
        yield Execute("DELETE FROM quiet_times WHERE user_id=?", (user,))
        return
    yield Execute(
        "INSERT INTO quiet_times(user_id, begin_time, end_time, daily) VALUES(?,?,?,?) ON CONFLICT(user_id) DO UPDATE"
        " SET begin_time=excluded.begin_time, end_time=excluded.end_time, daily=excluded.daily",
        (user, quiet.start, quiet.end, int(quiet.daily)),
    )


def quiet_time_of(user: str) -> Operation[DoNotDisturb | None]:
    """Select the row of a user."""
    row = yield from first_row("SELECT begin_time, end_time, daily FROM quiet_times WHERE user_id=?", user)
    return DoNotDisturb(int(row[0]), int(row[1]), bool(row[2])) if row is not None else None


def covers(quiet: DoNotDisturb, time: float) -> bool:
    """Return True if this time in server seconds is without pushes."""
    if not quiet.daily or time < quiet.start:
        return quiet.start <= time < quiet.end
    return (time - quiet.start) % DAY_S < quiet.end - quiet.start


def users_at(time: float, users: Sequence[str]) -> Operation[set[str]]:
    """Select those of `users` whose time covers this one."""
    found: set[str] = set()
    for user in users:
        quiet = yield from quiet_time_of(user)
        if quiet is not None and covers(quiet, time):
            found.add(user)
    return found
