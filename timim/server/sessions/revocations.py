"""Revocations: an administrator ends the logins of a user on all nodes, and revokes the user's signatures or keeps them.

Invariant: a revocation is in the store before it ends a session. A login that was checked before the revocation was stored
compares with the revocations that this node received meanwhile. After a possible loss of these, all sessions compare with
the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ...errors import TimimError
from ..bus.base import Bus, Invalidation, Revocation
from ..store.revocations import LoginState, RevocationStore
from .fanout import Fanout
from .session import ADMIN_ENDED, CUT_S, SIGNATURE_REVOKED, Session

log = logging.getLogger("timim.server")
CLOCKS_S = 1.0  # difference between the clocks of two nodes; a login that begins later gets a time after the revocation
RECENT_S = 60.0  # longest time from the check of a login to the begin of its session


class Revocations:
    """The ends of logins that administrators order.

    Args:
        store: The ended logins, shared by all nodes.
        fanout: The sessions of this node.
        bus: Announces a revocation to the other nodes.
        now: The server's clock, in seconds since 1970.
    """

    def __init__(self, store: RevocationStore, fanout: Fanout, bus: Bus, *, now: Callable[[], float]) -> None:
        self._store = store
        self._fanout = fanout
        self._bus = bus
        self._now = now
        self._recent: dict[str, tuple[float, Revocation]] = {}  # user → time on the loop's clock, and the revocation
        self._rechecks: set[asyncio.Task[None]] = set()

    async def kick(self, user: str) -> int:
        """End all logins of a user, with their tokens. The user can log in again with a signature that is still valid.

        Returns:
            The number of sessions that ended on this node; those on other nodes end within a second.

        Raises:
            StorageError: The store did not respond; nothing has ended.
        """
        return await self._end_logins(user, signed_until=0)

    async def revoke(self, user: str) -> int:
        """End all logins of a user, with their tokens and all signatures made until now.

        Returns:
            The number of sessions that ended on this node; those on other nodes end within a second.

        Raises:
            StorageError: The store did not respond; nothing has ended.
        """
        return await self._end_logins(user, signed_until=int(self._now()))

    async def _end_logins(self, user: str, *, signed_until: int) -> int:
        until_ms = int((self._now() + CLOCKS_S) * 1000)
        await self._store.end_logins(user, until_ms=until_ms, signed_until=signed_until)
        revocation = Revocation(user, until_ms, signed_until)
        ended = self.apply(revocation)
        self._bus.announce(Invalidation(revoked=[revocation]))
        log.warning("an administrator %s %s", "revoked the signatures of" if signed_until else "ended the logins of", user)
        return ended

    def apply(self, revocation: Revocation) -> int:
        """End the sessions of this node that a revocation concerns; return their number."""
        now = asyncio.get_running_loop().time()
        for user in [user for user, (at, _) in self._recent.items() if at < now - RECENT_S]:
            del self._recent[user]
        self._recent[revocation.user] = now, revocation
        return sum(self._compare(session, _state(revocation)) for session in self._fanout.of(revocation.user))

    def has_recent(self, user: str) -> bool:
        """Return True if this node has heard of a revocation of the user in the last seconds."""
        return user in self._recent

    def check_new(self, session: Session) -> None:
        """End a new session if its login was revoked after the login was checked."""
        if session.user in self._recent:
            self._compare(session, _state(self._recent[session.user][1]))

    def recheck_session(self, session: Session) -> None:
        """Compare a session with the store, after a possible loss of revocations."""
        task = asyncio.create_task(self._recheck(session), name=f"timim revocations of {session.user}")
        self._rechecks.add(task)
        task.add_done_callback(self._rechecks.discard)

    async def close(self) -> None:
        """Cancel the checks in progress."""
        for task in self._rechecks:
            task.cancel()
        await asyncio.gather(*self._rechecks, return_exceptions=True)

    async def _recheck(self, session: Session) -> None:
        try:
            state = await self._store.state(session.user)
        except TimimError as exc:
            log.warning("cannot read the revocations of %s; the session goes on: %s", session.user, exc)
            return
        self._compare(session, state)

    def _compare(self, session: Session, state: LoginState) -> bool:
        """End a session if its login has ended; return True if so."""
        error = session.login.end(state, self._now())
        if error is None:
            return False
        revoked = bool(state.signed_until) and session.login.signed_at <= state.signed_until
        session.drain_limit_s = CUT_S
        if revoked and session.client.is_timim:  # its next login shows whether it has a new signature
            session.refusal = error
            session.close(SIGNATURE_REVOKED)
        else:
            session.kick(error.info, SIGNATURE_REVOKED if revoked else ADMIN_ENDED, grace_s=CUT_S)
        return True


def _state(revocation: Revocation) -> LoginState:
    return LoginState(revocation.logins_until_ms, revocation.logins_until_ms, revocation.signed_until)
