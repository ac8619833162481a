"""Which devices of a user may be online together. Who logs in last has the place; who lost it is told, and stays away.

A device that comes back by itself after a cut does not take a place from one that logged in meanwhile, on whichever node:
the store says whose a place is, and another node's login is a hint to look there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Literal

from ...errors import KickedOffline, TimimError
from ...protocol import tencent_events
from ...protocol.session import EVENT_C2C_NOTICE, PLATFORMS, SUB_KICKED, KickNotice, PushEvent
from ..bus.base import Login
from ..store.device_slots import PlaceStore
from .session import LOST_ITS_PLACE, SUPERSEDED, Session

log = logging.getLogger("timim.server")
Policy = Literal["all", "platform", "one"]
LEAVE_S = 2.0  # a log-out's round trip, on a slow line
TURNS = 256  # logins of so many users at once wait for the store; those of one user come one after the other


class Places:
    """`policy`: all devices at once, one of each platform, or one. `sessions_of`: a user's on this node."""

    def __init__(self, policy: Policy, store: PlaceStore, sessions_of: Callable[[str], Iterable[Session]]) -> None:
        self._policy = policy
        self._store = store
        self._sessions_of = sessions_of
        self._turns = [asyncio.Lock() for _ in range(TURNS)]
        self._looking: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def claimed(self, session: Session) -> AsyncIterator[None]:
        """Inside, the place is the session's, and those of the user's other sessions that stood there are ended.

        The same device's older session ends in any case. Raises KickedOffline for a device that comes back to a place that is
        another's now, and for a login that the same device gave up and overtook by a later one: a server that is busy may come
        to it after that, and must not end the later one for it. Raises StorageError.
        """
        of_its_run = (other for other in self._sessions_of(session.user) if session.run and other.run == session.run)
        if any(other.attempt > session.attempt for other in of_its_run):
            raise KickedOffline("a later login of this device came first")
        place = self._place(session.platform)
        async with self._turn(session.user):
            if place is not None and not await self._store.take(session.user, place, session.device, resumed=session.resumed):
                raise KickedOffline("another login took this device's place")
            for other in self._sessions_of(session.user):
                if other.device == session.device:
                    _end(other, "this device logged in once more")
                elif place is not None and self._place(other.platform) == place:
                    _end(other, "another device logged in")
            yield

    def hear(self, login: Login) -> None:
        """A session began on another node: one of its device here is over, and a place may be another's now."""
        for other in self._sessions_of(login.user):
            if other.device == login.device and other.began < login.at:
                if login.resumed:
                    other.close(SUPERSEDED)  # the rest of a connection that was cut
                else:
                    _end(other, "this device logged in once more")
        self._begin_to_look(login.user, login.platform)

    def doubt(self, session: Session) -> None:
        """Another node's login may have gone unheard."""
        self._begin_to_look(session.user, session.platform)

    async def look(self, user: str, platform: str) -> None:
        """End the user's sessions of this node that stand in a place that is another device's."""
        place = self._place(platform)
        if place is None:
            return
        async with self._turn(user):  # a login here that takes the place meanwhile must not be judged by what was read before
            try:
                holder = await self._store.holder(user, place)
            except TimimError as exc:
                log.warning("whose place it is was not found, so nobody of %s is put out: %s", user, exc)
                return
            for session in self._sessions_of(user):
                if holder is not None and self._place(session.platform) == place and session.device != holder:
                    _end(session, "another device logged in")

    def _begin_to_look(self, user: str, platform: str) -> None:
        if self._policy != "all":
            task = asyncio.create_task(self.look(user, platform), name=f"timim place of {user}")
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def leave(self, session: Session) -> None:
        """The device logged out: its place is free."""
        place = self._place(session.platform)
        if place is not None:
            try:
                await self._store.leave(session.user, place, session.device)
            except TimimError as exc:
                log.warning("the place of %s is kept: %s", session, exc)  # a login takes it all the same

    async def close(self) -> None:
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)

    def _turn(self, user: str) -> asyncio.Lock:
        return self._turns[hash(user) % TURNS]

    def _place(self, platform: str) -> str | None:
        match self._policy:
            case "all":
                return None
            case "platform":
                return platform
            case "one":
                return ""


def known_platform(name: str) -> str:
    """A platform that counts as one of its own; everything else is "other"."""
    return name if name in PLATFORMS else "other"


def _end(session: Session, why: str) -> None:
    kick = KickNotice(reason=why)
    notices = [tencent_events.kick_event(kick)]
    session.notify(PushEvent(event=EVENT_C2C_NOTICE, sub_msg_type=SUB_KICKED, kick=kick, notices=notices))
    if session.ours:
        session.close(LOST_ITS_PLACE)
    else:  # other clients log out first, and tell their users only when that is answered
        asyncio.get_running_loop().call_later(LEAVE_S, session.close, LOST_ITS_PLACE)
