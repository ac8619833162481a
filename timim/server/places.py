"""Which devices of a user may be online together. Who comes last has the place; who lost it is told, and stays away.

A device that comes back by itself after a cut does not take a place from one that was logged in meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Literal

from ..errors import KickedOffline
from ..wire import forms
from ..wire.status import EVENT_C2C_NOTICE, PLATFORMS, SUB_KICKED, KickNotice, PushEvent
from .session import LOST_ITS_PLACE, Session

Policy = Literal["all", "platform", "one"]
LEAVE_S = 2.0  # a log-out's round trip, on a slow line
KEPT = 100_000  # places whose devices are away; the oldest go first, and may then be taken by whoever comes back


class Places:
    """`policy`: all devices at once, one of each platform, or one."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._holders: dict[tuple[str, str], str] = {}  # user and place → the device that logged in there last

    def claim(self, session: Session, others: Iterable[Session], *, resumed: bool) -> None:
        """Give the session its place, and end those of the user's other sessions that stood there.

        The same device's older session ends in any case. Raises KickedOffline for a device that comes back (`resumed`) to a
        place that is another's now, and for a login that the same device gave up and overtook by a later one: a server that is
        busy may come to it after that, and must not end the later one for it.
        """
        others = list(others)
        if session.run and any(other.run == session.run and other.attempt > session.attempt for other in others):
            raise KickedOffline("a later login of this device came first")
        place = self._place(session)
        if place is not None:
            holder = self._holders.get(place)
            if resumed and holder is not None and holder != session.device:
                raise KickedOffline("another login took this device's place")
            self._holders.pop(place, None)
            self._holders[place] = session.device
            if len(self._holders) > KEPT:
                del self._holders[next(iter(self._holders))]
        for other in others:
            if other.device == session.device:
                _end(other, "this device logged in once more")
            elif place is not None and self._place(other) == place:
                _end(other, "another device logged in")

    def leave(self, session: Session) -> None:
        """The device logged out: its place is free."""
        place = self._place(session)
        if place is not None and self._holders.get(place) == session.device:
            del self._holders[place]

    def _place(self, session: Session) -> tuple[str, str] | None:
        match self._policy:
            case "all":
                return None
            case "platform":
                return session.user, session.platform
            case "one":
                return session.user, ""


def known_platform(name: str) -> str:
    """A platform that counts as one of its own; everything else is "other"."""
    return name if name in PLATFORMS else "other"


def _end(session: Session, why: str) -> None:
    kick = KickNotice(reason=why)
    event = PushEvent(event=EVENT_C2C_NOTICE, sub_msg_type=SUB_KICKED, kick=kick, notices=[forms.kicked_out(kick)])
    session.notify(event)
    if session.ours:
        session.close(LOST_ITS_PLACE)
    else:  # other clients log out first, and tell their users only when that is answered
        asyncio.get_running_loop().call_later(LEAVE_S, session.close, LOST_ITS_PLACE)
