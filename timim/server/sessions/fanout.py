"""Bus events to the sessions of this node. A user's devices are found by the user's id, never by scanning."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable

from ...protocol.codec import decode
from ...protocol.session import RawEvent
from ..bus.base import Event
from .session import Session

LAST_OF_TENCENT = 10_000  # Event numbers above it are timim's own
COMPARE_AFTER_S = 0.1  # a subscription made anew is known to all NATS servers by then: what is posted later is heard
COMPARE_WITHIN_S = 1.0  # sessions are told over so long, so that they do not all ask the store at once


class Fanout:
    """Who is online on this node."""

    def __init__(self) -> None:
        self._sessions: dict[str, dict[int, Session]] = {}
        self._comparing: dict[int, asyncio.TimerHandle] = {}  # session → when it will be told

    def add(self, session: Session) -> None:
        self._sessions.setdefault(session.user, {})[session.number] = session

    def remove(self, session: Session) -> None:
        devices = self._sessions.get(session.user)
        if devices is not None:
            devices.pop(session.number, None)
            if not devices:
                del self._sessions[session.user]
        if (handle := self._comparing.pop(session.number, None)) is not None:
            handle.cancel()

    def of(self, user: str) -> list[Session]:
        return list(self._sessions.get(user, {}).values())

    def online(self, user: str) -> bool:
        """Whether a device is logged in. One that logged out is not, while its socket is being closed."""
        return any(not session.closed_because for session in self._sessions.get(user, {}).values())

    def all(self) -> list[Session]:
        return [session for devices in self._sessions.values() for session in devices.values()]

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))

    def receive(self, event: Event) -> None:
        """Hand an event to every device it is for."""
        for user in event.users:
            for number, session in self._sessions.get(user, {}).items():
                if number == event.origin:
                    continue
                if session.client.is_timim or event.kind <= LAST_OF_TENCENT:
                    session.push(event.kind, event.payload)
                elif event.plain is not None:
                    session.notify(decode(RawEvent, event.plain))

    def compare(self, users: Iterable[str]) -> None:
        """Tell the devices of these to ask what is new: hints may have been lost."""
        for user in users:
            for session in self.of(user):
                session.announce_gap()

    def compare_all(self, rng: random.Random, also: Callable[[Session], None]) -> None:
        """Tell every device, once between COMPARE_AFTER_S and COMPARE_WITHIN_S from now, however many doubts there are.

        `also` is called with each session then.
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
