"""The login of a client, for as long as it lasts: each time the link is up, what was missed is brought first.

Nothing that is pushed flows before that is done. Whatever runs while a client is logged in ends with its login.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from ..errors import AuthError, KickedOffline, StorageError, StoreCorrupted, TimimError
from ..events import ConnectionLost, ConnectionRestored, KickedOut
from ..protocol import session
from ..transport.connection import Connection
from .conversations import Roster
from .dispatcher import Dispatcher
from .inbox import Inbox

log = logging.getLogger("timim")
SYNC_RETRY_S = 1.0
SHOWN_AT_LOGIN = 500  # last messages read from disk before a login returns; those of more conversations follow at once


class Login:
    """`recent_contacts`: the conversations of the list have their last messages at hand when it returns."""

    def __init__(self, connection: Connection, roster: Roster, dispatcher: Dispatcher, *, recent_contacts: bool) -> None:
        self._connection = connection
        self._roster = roster
        self._dispatcher = dispatcher
        self._recent_contacts = recent_contacts
        self._inbox: Inbox | None = None
        self._ready = asyncio.Event()
        self._stale = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._syncing: asyncio.Task[None] | None = None
        self._entering: asyncio.Future[None] | None = None  # waits for its first sync
        self._restored = False
        self.epoch = ""  # the server's, as it was told last

    async def enter(self, inbox: Inbox) -> None:
        """Returns when new messages begin to flow into the inbox. When it raises, `rest` ends what it began."""
        self._inbox = inbox
        entering = self._entering = asyncio.get_running_loop().create_future()
        try:
            self.own(inbox.run(self._ready), "timim inbox")
            self.own(self._compare(), "timim compare")
            await self._connection.start()
            await entering
        finally:
            self._entering = None

    async def rest(self) -> None:
        """Nothing of a login is left."""
        self._ready.clear()
        self._restored = False
        others = self._tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._inbox is not None:
            self._inbox.leave()

    def own(self, work: Any, name: str) -> asyncio.Task[None]:
        """Carry on what ends with the login."""
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended: %r", task.get_name(), error)

    def up(self, reply: session.LoginReply) -> None:
        """The server let this device in."""
        self.epoch = reply.server.epoch if not isinstance(reply.server, msgspec.UnsetType) else ""
        self._syncing = self.own(self._sync(), "timim sync")

    def down(self, error: TimimError, final: bool) -> None:
        """The link is lost; `final`: nobody looks for another."""
        self._ready.clear()
        if self._syncing is not None:
            self._syncing.cancel()
        if self._inbox is not None:
            self._inbox.offline()
        if final and self._entering is not None and not self._entering.done():
            self._entering.set_exception(error)
            self._entering.exception()  # the login may be failing by itself
        self._dispatcher.event(KickedOut(error) if isinstance(error, AuthError) else ConnectionLost(error))

    def kicked(self, why: str) -> None:
        """Another login took this device's place; no other link is looked for."""
        self._connection.give_up(KickedOffline(why or "another login took this device's place"))

    def stale(self) -> None:
        """Pushes may have been lost."""
        self._stale.set()

    async def _sync(self) -> None:
        """Bring what was missed; nothing flows before it is done."""
        if not await self._bring():
            return
        if self._recent_contacts and not self._restored:
            await self._show_last()
        self._ready.set()
        if self._entering is not None and not self._entering.done():
            self._entering.set_result(None)
        if self._restored:
            self._dispatcher.event(ConnectionRestored())
        self._restored = True

    async def _compare(self) -> None:
        """Whenever pushes may have been lost, bring what changed since the last sync."""
        while True:
            await self._stale.wait()
            await self._ready.wait()
            self._stale.clear()
            await self._bring()

    async def _bring(self) -> bool:
        """One sync, tried again while the connection lasts; False if it did not: the next login does it."""
        assert self._inbox is not None
        while True:
            try:
                await self._inbox.sync(self.epoch)
            except StoreCorrupted as exc:
                log.exception("the local store is not whole; the next login sets it aside")
                self._connection.give_up(exc)
                return False
            except TimimError as exc:
                if not self._connection.online:
                    log.info("the connection was lost during the sync: %s", exc)
                    return False
                log.warning("the sync with the server failed, and is tried again: %s", exc)
                await asyncio.sleep(SYNC_RETRY_S)
            else:
                return self._connection.online

    async def _show_last(self) -> None:
        """Each conversation of the list has its last message at hand: those that the sync did not name, as they are held."""
        wanted = self._roster.without_last()
        try:
            await self._roster.show_last(wanted[:SHOWN_AT_LOGIN])
        except StorageError as exc:
            log.warning("the last messages are not at hand: %s", exc)  # whoever reads them hears it again
        if wanted[SHOWN_AT_LOGIN:]:
            self.own(self._roster.show_last(wanted[SHOWN_AT_LOGIN:]), "timim last messages")
