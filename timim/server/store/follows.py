"""Followed users in SQL. A user follows others without asking them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ...errors import LimitReached
from . import callbacks
from .new_callbacks import NewCallback
from .operation import Execute, Operation, SqlEngine, first_row

_MUTUAL = " AND EXISTS (SELECT 1 FROM follows b WHERE b.follower=f.followed AND b.followed=f.follower)"


class Followed(NamedTuple):
    """A user of a list of followers or followed users, and the time in seconds at which the following began."""

    user: str
    time: int


class FollowNumbers(NamedTuple):
    """The numbers of a user's followers, of the users whom that user follows, and of those in both lists."""

    followers: int
    following: int
    mutual: int


class FollowTie(NamedTuple):
    """The tie of a user to another: whether the user follows the other one, and whether the other one follows the user."""

    follows: bool
    followed: bool


class FollowStore:
    """Followers and followed users. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def add(
        self, user: str, other: str, *, time: int, limit: int, reports: Sequence[NewCallback] = ()
    ) -> FollowTie | None:
        """Follow a user, and store the callbacks. Return the tie after that, or None if the user was followed already.

        Raises:
            LimitReached: The user follows `limit` others.
        """
        return await self._engine.write(partial(add, user, other, time, limit, reports))

    async def remove(self, user: str, other: str, *, reports: Sequence[NewCallback] = ()) -> FollowTie | None:
        """Stop following a user, and store the callbacks. Return the tie after that, or None if the user was not followed."""
        return await self._engine.write(partial(remove, user, other, reports))

    async def followers(self, user: str, after: str, limit: int) -> list[Followed]:
        """Return followers of a user in the order of their ids, from the one after `after` on."""
        return await self._engine.read(partial(followers, user, after, limit))

    async def following(self, user: str, after: str, limit: int, *, mutual: bool = False) -> list[Followed]:
        """Return the users whom a user follows, all or those who follow back, in the order of their ids, after `after`."""
        return await self._engine.read(partial(following, user, after, limit, mutual))

    async def counts(self, user: str) -> FollowNumbers:
        """Count the followers of a user, and the users whom that user follows."""
        return await self._engine.read(partial(counts, user))

    async def ties(self, user: str, others: Sequence[str]) -> list[FollowTie]:
        """Return the tie of a user to each of some others."""
        return await self._engine.read(partial(ties, user, others))


def add(user: str, other: str, time: int, limit: int, reports: Sequence[NewCallback]) -> Operation[FollowTie | None]:
    """Insert a row and the callbacks of it. Raises LimitReached."""
    added = yield Execute(
        "INSERT INTO follows(follower, followed, time) VALUES(?,?,?) ON CONFLICT(follower, followed) DO NOTHING RETURNING time",
        (user, other, time),
    )
    if not added:
        return None
    row = yield from first_row("SELECT count(*) FROM follows WHERE follower=?", user)
    if row is not None and int(row[0]) > limit:
        raise LimitReached(f"{user!r} follows {limit} users, which is the limit; unfollow one first", code=10014)
    yield from callbacks.insert(reports)
    return (yield from tie(user, other))


def remove(user: str, other: str, reports: Sequence[NewCallback]) -> Operation[FollowTie | None]:
    """Delete a row, and insert the callbacks of it."""
    gone = yield Execute("DELETE FROM follows WHERE follower=? AND followed=? RETURNING time", (user, other))
    if not gone:
        return None
    yield from callbacks.insert(reports)
    return (yield from tie(user, other))


def followers(user: str, after: str, limit: int) -> Operation[list[Followed]]:
    """Select a page of followers."""
    sql = "SELECT follower, time FROM follows WHERE followed=? AND follower>? ORDER BY follower LIMIT ?"
    rows = yield Execute(sql, (user, after, limit))
    return [Followed(*row) for row in rows]


def following(user: str, after: str, limit: int, mutual: bool) -> Operation[list[Followed]]:
    """Select a page of followed users."""
    sql = (
        "SELECT f.followed, f.time FROM follows f WHERE f.follower=? AND f.followed>?"
        f"{_MUTUAL if mutual else ''} ORDER BY f.followed LIMIT ?"
    )
    rows = yield Execute(sql, (user, after, limit))
    return [Followed(*row) for row in rows]


def counts(user: str) -> Operation[FollowNumbers]:
    """Count the rows of a user."""
    found: list[int] = []
    for where in ("f.followed=?", "f.follower=?", f"f.follower=?{_MUTUAL}"):
        row = yield from first_row(f"SELECT count(*) FROM follows f WHERE {where}", user)
        found.append(int(row[0]) if row is not None else 0)
    return FollowNumbers(*found)


def ties(user: str, others: Sequence[str]) -> Operation[list[FollowTie]]:
    """Select the ties to some users."""
    found: list[FollowTie] = []
    for other in others:
        found += [(yield from tie(user, other))]
    return found


def tie(user: str, other: str) -> Operation[FollowTie]:
    """Select the tie of a user to another."""
    sql = "SELECT 1 FROM follows WHERE follower=? AND followed=?"
    mine = yield from first_row(sql, user, other)
    theirs = yield from first_row(sql, other, user)
    return FollowTie(mine is not None, theirs is not None)
