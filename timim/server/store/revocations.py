"""Revocations in SQL: the time up to which the logins of a user have ended, and the tokens that ended one by one.

Times of logins are in milliseconds since 1970, times of signatures in seconds. A time in a row never moves back.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from .operation import Execute, Operation, SqlEngine, first_row

TOKENS_LIMIT = 1000  # ended tokens kept for a user; with more of them, all tokens older than the newest of these end


class LoginState(NamedTuple):
    """State of the logins of a user in the store.

    Attributes:
        logins_until_ms: Logins that began until this time have ended.
        tokens_until_ms: Tokens of logins that began until this time have ended.
        signed_until: Signatures made until this time are revoked.
        token_ended: The token asked for has ended.
    """

    logins_until_ms: int = 0
    tokens_until_ms: int = 0
    signed_until: int = 0
    token_ended: bool = False


class RevocationStore:
    """The ended logins of users. Every method may raise StorageError."""

    def __init__(self, engine: SqlEngine) -> None:
        self._engine = engine

    async def state(self, user: str, token_id: str = "") -> LoginState:
        """Return the state of a user's logins, and of one token."""
        return await self._engine.read(partial(state, user, token_id))

    async def end_logins(self, user: str, *, until_ms: int, signed_until: int = 0) -> None:
        """End the logins that began until `until_ms`, with their tokens, and revoke signatures made until `signed_until`."""
        await self._engine.write(partial(end_logins, user, until_ms, signed_until))

    async def end_token(self, user: str, token_id: str, *, begun_ms: int, expires: int, now: int) -> None:
        """End one token. Ended tokens that have expired at `now` are forgotten."""
        await self._engine.write(partial(end_token, user, token_id, begun_ms, expires, now))


def state(user: str, token_id: str) -> Operation[LoginState]:
    """Select the state of a user's logins, and of one token."""
    row = yield from first_row("SELECT logins_until, tokens_until, signed_until FROM revocations WHERE user_id=?", user)
    ended = None
    if token_id:
        ended = yield from first_row("SELECT 1 FROM ended_tokens WHERE user_id=? AND token=?", user, token_id)
    return LoginState(int(row[0]), int(row[1]), int(row[2]), ended is not None) if row else LoginState(token_ended=bool(ended))


def end_logins(user: str, until_ms: int, signed_until: int) -> Operation[None]:
    """Raise the times of a user's ended logins and revoked signatures."""
    yield from _raise_times(user, until_ms, until_ms, signed_until)


def end_token(user: str, token_id: str, begun_ms: int, expires: int, now: int) -> Operation[None]:
    """Insert an ended token, and end all older ones if there are too many."""
    yield Execute("DELETE FROM ended_tokens WHERE user_id=? AND expires<?", (user, now))
    yield Execute(
        "INSERT INTO ended_tokens(user_id, token, begun, expires) VALUES(?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (user, token_id, begun_ms, expires),
    )
    oldest = yield from first_row(
        "SELECT begun FROM ended_tokens WHERE user_id=? ORDER BY begun DESC LIMIT 1 OFFSET ?", user, TOKENS_LIMIT
    )
    if oldest is not None:
        yield from _raise_times(user, 0, int(oldest[0]), 0)
        yield Execute("DELETE FROM ended_tokens WHERE user_id=? AND begun<=?", (user, int(oldest[0])))


def _raise_times(user: str, logins_until_ms: int, tokens_until_ms: int, signed_until: int) -> Operation[None]:
    higher = ", ".join(
        f"{name}=CASE WHEN excluded.{name}>revocations.{name} THEN excluded.{name} ELSE revocations.{name} END"
        for name in ("logins_until", "tokens_until", "signed_until")
    )
    yield Execute(
        "INSERT INTO revocations(user_id, logins_until, tokens_until, signed_until) VALUES(?, ?, ?, ?)"
        f" ON CONFLICT(user_id) DO UPDATE SET {higher}",
        (user, logins_until_ms, tokens_until_ms, signed_until),
    )
