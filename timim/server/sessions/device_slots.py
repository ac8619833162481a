"""Which devices of a user may be online together. The latest login holds the slot; the device that lost it is told so.

A device that comes back by itself after a cut does not take a slot from one that logged in meanwhile, on whichever node:
the store knows the holder of a slot, and the login on another node is a hint to look there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from ...errors import KickedOffline, TimimError
from ...protocol import tencent_events
from ...protocol.session import EVENT_C2C_NOTICE, PLATFORMS, SUB_KICKED, KickNotice, PushEvent
from ..bus.base import LoginAnnouncement
from ..store.device_slots import DeviceSlotStore
from .fanout import Fanout
from .session import LOST_DEVICE_SLOT, SUPERSEDED, Session

log = logging.getLogger("timim.server")
Policy = Literal["all", "platform", "one"]
LOGOUT_GRACE_S = 2.0  # a log-out's round trip, on a slow line
USER_LOCKS = 256  # logins of so many users at once wait for the store; those of one user come one after the other


class DeviceSlots:
    """The device slots of users with sessions on this node. `policy`: all devices at once, one of each platform, or one."""

    def __init__(self, policy: Policy, store: DeviceSlotStore, fanout: Fanout) -> None:
        self._policy = policy
        self._store = store
        self._fanout = fanout
        self._user_locks = [asyncio.Lock() for _ in range(USER_LOCKS)]
        self._rechecks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def acquire(self, session: Session) -> AsyncIterator[None]:
        """Hold the slot for a session that logs in, and end the user's other sessions in that slot.

        The same device's older session ends in any case.

        Raises:
            KickedOffline: The device comes back to a slot that another device holds now; or the same device gave this login
                up and overtook it by a later one, which a busy server must not end when it comes to this login after that.
            StorageError: The holder is not known.
        """
        client = session.client
        of_its_run = (other for other in self._fanout.of(session.user) if client.run and other.client.run == client.run)
        if any(other.client.attempt > client.attempt for other in of_its_run):
            raise KickedOffline("a later login of this device came first")
        slot = self._slot(client.platform)
        async with self._user_lock(session.user):
            if slot is not None and not await self._store.acquire(session.user, slot, client.device, resumed=client.resumed):
                raise KickedOffline("another login took this device's place")
            for other in self._fanout.of(session.user):
                if other.client.device == client.device:
                    _kick(other, "this device logged in once more")
                elif slot is not None and self._slot(other.client.platform) == slot:
                    _kick(other, "another device logged in")
            yield

    def on_remote_login(self, login: LoginAnnouncement) -> None:
        """End an older session of the device that logged in on another node, and check the holder of its slot."""
        for other in self._fanout.of(login.user):
            if other.client.device == login.device and other.started_at < login.at:
                if login.resumed:
                    other.close(SUPERSEDED)  # the rest of a connection that was cut
                else:
                    _kick(other, "this device logged in once more")
        self._spawn_recheck(login.user, login.platform)

    def recheck_session(self, session: Session) -> None:
        """Check the holder of a session's slot: the login on another node may have gone unheard."""
        self._spawn_recheck(session.user, session.client.platform)

    async def recheck(self, user: str, platform: str) -> None:
        """End the user's sessions of this node in a slot that another device holds."""
        slot = self._slot(platform)
        if slot is None:
            return
        async with self._user_lock(user):  # a login here that takes the slot meanwhile must not be judged by the older holder
            try:
                holder = await self._store.holder(user, slot)
            except TimimError as exc:
                log.warning("could not read the device slot of %s; no session was closed: %s", user, exc)
                return
            for session in self._fanout.of(user):
                if holder is not None and self._slot(session.client.platform) == slot and session.client.device != holder:
                    _kick(session, "another device logged in")

    def _spawn_recheck(self, user: str, platform: str) -> None:
        if self._policy != "all":
            task = asyncio.create_task(self.recheck(user, platform), name=f"timim device slot of {user}")
            self._rechecks.add(task)
            task.add_done_callback(self._rechecks.discard)

    async def release(self, session: Session) -> None:
        """Free the slot of a device that logged out."""
        slot = self._slot(session.client.platform)
        if slot is not None:
            try:
                await self._store.release(session.user, slot, session.client.device)
            except TimimError as exc:
                log.warning("the device slot of %s is kept: %s", session, exc)  # a login takes it all the same

    async def close(self) -> None:
        """Cancel the checks under way."""
        for task in self._rechecks:
            task.cancel()
        await asyncio.gather(*self._rechecks, return_exceptions=True)

    def _user_lock(self, user: str) -> asyncio.Lock:
        return self._user_locks[hash(user) % USER_LOCKS]

    def _slot(self, platform: str) -> str | None:
        match self._policy:
            case "all":
                return None
            case "platform":
                return platform
            case "one":
                return ""


def known_platform(name: str) -> str:
    """Return the platform that counts for device slots: a known one, or "other"."""
    return name if name in PLATFORMS else "other"


def _kick(session: Session, why: str) -> None:
    kick = KickNotice(reason=why)
    notices = [tencent_events.kick_event(kick)]
    session.notify(PushEvent(event=EVENT_C2C_NOTICE, sub_msg_type=SUB_KICKED, kick=kick, notices=notices))
    if session.client.is_timim:
        session.close(LOST_DEVICE_SLOT)
    else:  # other clients log out first, and tell their users only when that is answered
        asyncio.get_running_loop().call_later(LOGOUT_GRACE_S, session.close, LOST_DEVICE_SLOT)
