"""Fan-out of bus events to the sessions of this node. Sessions are indexed by user id, so no event scans all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable

from ...protocol.session import EVENT_FOREIGN
from ..bus.base import Event
from .session import Session

LAST_OF_TENCENT = 10_000  # Event numbers above this one are timim extensions
COMPARE_AFTER_S = 0.1  # time for all NATS servers to learn of a renewed subscription; later messages are received
COMPARE_WITHIN_S = 1.0  # sessions compare at random times in this interval, so that they do not query the store at once


class Fanout:
    """The sessions of this node, by user."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[int, Session]] = {}
        self._comparing: dict[int, asyncio.TimerHandle] = {}  # session → timer of its gap announcement

    def add(self, session: Session) -> None:
        """Add a session, which receives events from now on."""
        self._sessions.setdefault(session.user, {})[session.number] = session

    def remove(self, session: Session) -> None:
        """Remove a session, if it is registered."""
        devices = self._sessions.get(session.user)
        if devices is not None:
            devices.pop(session.number, None)
            if not devices:
                del self._sessions[session.user]
        if (handle := self._comparing.pop(session.number, None)) is not None:
            handle.cancel()

    def of(self, user: str) -> list[Session]:
        """Return the sessions of a user on this node."""
        return list(self._sessions.get(user, {}).values())

    def online(self, user: str) -> bool:
        """Return True if a user has a session on this node that is not being closed."""
        return any(not session.closed_because for session in self._sessions.get(user, {}).values())

    def platforms(self, user: str) -> set[str]:
        """Return the platforms of a user's sessions on this node that are not being closed."""
        return {session.client.platform for session in self._sessions.get(user, {}).values() if not session.closed_because}

    def all(self) -> list[Session]:
        """Return all sessions of this node."""
        return [session for devices in self._sessions.values() for session in devices.values()]

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))

    def receive(self, event: Event) -> None:
        """Push an event to all sessions of its users, except the session that caused it."""
        for user in event.users:
            for number, session in self._sessions.get(user, {}).items():
                if number == event.origin:
                    continue
                if event.kind != EVENT_FOREIGN and (session.client.is_timim or event.kind <= LAST_OF_TENCENT):
                    session.push(event.kind, event.payload)
                elif event.plain is not None and not session.client.is_timim:
                    session.notify(event.plain)

    def compare(self, users: Iterable[str]) -> None:
        """Make the devices of users compare their seqs with the server now, because events may have been lost."""
        for user in users:
            for session in self.of(user):
                session.announce_gap()

    def compare_all(self, rng: random.Random, also: Callable[[Session], None]) -> None:
        """Make every device compare its seqs once, at a random time from COMPARE_AFTER_S to COMPARE_WITHIN_S from now.

        Args:
            rng: Source of the random times.
            also: Called with each session at its time.
        """
        loop = asyncio.get_running_loop()
        first = loop.time() + COMPARE_AFTER_S
        for session in self.all():
            due = self._comparing.get(session.number)
            if due is not None and due.when() >= first:
                continue
            if due is not None:
                due.cancel()
            at = first + rng.random() * (COMPARE_WITHIN_S - COMPARE_AFTER_S)
            self._comparing[session.number] = loop.call_at(at, self._compare, session, also)

    def _compare(self, session: Session, also: Callable[[Session], None]) -> None:
        del self._comparing[session.number]
        session.announce_gap()
        also(session)
