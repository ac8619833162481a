"""Device slots limit the devices of a user that are online together. The latest login gets the slot and ends the older session.

A device that reconnects does not take the slot from a device that has logged in since, on any node. The store records the
holder of each slot; a login announced by another node makes this node check the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from ...errors import KickedOffline, TimimError
from ...protocol.session import PLATFORMS
from ..bus.base import LoginAnnouncement
from ..store.device_slots import DeviceSlotStore
from .fanout import Fanout
from .session import SUPERSEDED, Session

log = logging.getLogger("timim.server")
Policy = Literal["all", "platform", "one"]
USER_LOCKS = 256  # logins of one user are sequential; logins of this many users can wait for the store at once


class DeviceSlots:
    """The device slots of users with sessions on this node.

    Args:
        policy: "all" for any number of devices, "platform" for one device of each platform, "one" for one device.
        store: Store of the slots' holders, shared by all nodes.
        fanout: The sessions of this node.
    """

    def __init__(self, policy: Policy, store: DeviceSlotStore, fanout: Fanout) -> None:
        self._policy = policy
        self._store = store
        self._fanout = fanout
        self._user_locks = [asyncio.Lock() for _ in range(USER_LOCKS)]
        self._rechecks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def acquire(self, session: Session, *, by_token: bool) -> AsyncIterator[None]:
        """Take the slot for a new session, end the user's other sessions in that slot, and run the block.

        An older session of the same device ends under every policy.

        Args:
            session: The new session.
            by_token: The device logged in with a token, so its login began earlier.

        Raises:
            KickedOffline: A device reconnects or uses a token, but another device has taken its slot, or a later login of the
                same device has overtaken this one.
            StorageError: The store did not respond.
        """
        client = session.client
        of_its_run = (other for other in self._fanout.of(session.user) if client.run and other.client.run == client.run)
        if any(other.client.attempt > client.attempt for other in of_its_run):
            raise KickedOffline("a later login of this device was processed first; this login was refused")
        slot = self._slot(client.platform)
        async with self._user_lock(session.user):
            if slot is not None and not await self._store.acquire(
                session.user,
                slot,
                client.device,
                resumed=client.resumed,
                begun_ms=session.login.begun_ms,
                by_token=by_token,
            ):
                raise KickedOffline("another device took the device slot; log in again to take it back")
            for other in self._fanout.of(session.user):
                if other.client.device == client.device:
                    other.kick("this device logged in again")
                elif slot is not None and self._slot(other.client.platform) == slot:
                    other.kick("another device logged in")
                    session.kicked_platforms.append(other.client.platform)
            yield

    def on_remote_login(self, login: LoginAnnouncement) -> None:
        """End an older session of the device that logged in on another node, and check the holder of its slot."""
        for other in self._fanout.of(login.user):
            if other.client.device == login.device and other.started_at < login.at:
                if login.resumed:
                    other.close(SUPERSEDED)  # its connection was lost, so there is nobody to notify
                else:
                    other.kick("this device logged in again")
        self._spawn_recheck(login.user, login.platform)

    def recheck_session(self, session: Session) -> None:
        """Check the holder of a session's slot after a loss of events: a login on another node may have taken the slot."""
        self._spawn_recheck(session.user, session.client.platform)

    async def recheck(self, user: str, platform: str) -> None:
        """End the user's sessions on this node whose slot another device has taken."""
        slot = self._slot(platform)
        if slot is None:
            return
        async with self._user_lock(user):  # a concurrent login here must not be compared with an outdated holder
            try:
                holder = await self._store.holder(user, slot)
            except TimimError as exc:
                log.warning("cannot read the device slot of %s; no session was closed: %s", user, exc)
                return
            for session in self._fanout.of(user):
                if holder is not None and self._slot(session.client.platform) == slot and session.client.device != holder:
                    session.kick("another device logged in")

    def _spawn_recheck(self, user: str, platform: str) -> None:
        if self._policy != "all":
            task = asyncio.create_task(self.recheck(user, platform), name=f"timim device slot of {user}")
            self._rechecks.add(task)
            task.add_done_callback(self._rechecks.discard)

    async def release(self, session: Session) -> None:
        """Free the slot of a device that logged out. Errors of the store are logged only."""
        slot = self._slot(session.client.platform)
        if slot is not None:
            try:
                await self._store.release(session.user, slot, session.client.device)
            except TimimError as exc:
                log.debug("cannot release the device slot of %s: %s", session, exc)  # the next login takes it anyway

    async def close(self) -> None:
        """Cancel the checks in progress."""
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
    """Return the name of the platform for device slots: `name` if it is known, otherwise "other"."""
    return name if name in PLATFORMS else "other"
