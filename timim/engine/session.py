"""The login of a client: after each connect, the sync runs first, and pushes are delivered after it.

Invariant: every task of a login is owned here and ends with the login.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

import msgspec

from ..errors import AuthError, StorageError, StoreCorrupted, TimimError
from ..events import ConnectionLost, ConnectionRestored, KickedOut
from ..ids import ConversationKey
from ..protocol import session
from ..storage import LocalStore
from ..transport.connection import Connection
from .config import ClientConfig
from .conversations import ConversationIndex
from .dispatcher import Dispatcher
from .inbox import Inbox
from .push_router import PushRouter

log = logging.getLogger("timim")
SYNC_RETRY_S = 1.0
LOADED_AT_LOGIN = 500  # last messages read from disk before a login returns; those of more conversations follow at once
LOADED_AT_ONCE = 500  # last messages read from disk in one query


class ClientSession:
    """The state machine of a login; implements `timim.transport.pushes.ConnectionListener`."""

    def __init__(
        self,
        config: ClientConfig,
        store: LocalStore,
        connection: Connection,
        conversations: ConversationIndex,
        dispatcher: Dispatcher,
        inbox: Inbox,
        push_router: PushRouter,
    ) -> None:
        self._recent_contacts = config.recent_contacts
        self._store = store
        self._connection = connection
        self._conversations = conversations
        self._dispatcher = dispatcher
        self._inbox = inbox
        self._push_router = push_router
        self._instance = f"{random.getrandbits(63):x}"  # the name of this device, unless the store has one
        self._ready = asyncio.Event()  # the connection is up and synced
        self._push_gap = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._syncing: asyncio.Task[None] | None = None
        self._first_sync: asyncio.Future[None] | None = None  # a call of `start` waits for it
        self._restored = False
        self._epoch = ""  # the server's, as the last login reply told it

    async def start(self, user_sig: str) -> None:
        """Log in; return when new messages are being delivered. When this raises, call `cancel_tasks`.

        Raises AuthError, ConnectionFailed, RequestTimeout, InvalidArgument, StorageError.
        """
        await self.cancel_tasks()  # those of a login that ended by itself
        first_sync = self._first_sync = asyncio.get_running_loop().create_future()
        try:
            instance = await self._store.meta.get("instance", self._instance)
            self.spawn(self._inbox.run(self._ready), "timim inbox")
            self.spawn(self._push_router.run(), "timim notices")
            self.spawn(self._compare_after_gaps(), "timim compare")
            await self._connection.start(self, user_sig=user_sig, instance=instance)
            await first_sync
        finally:
            self._first_sync = None

    async def cancel_tasks(self) -> None:
        """End every task of the login, except the one that calls this."""
        self._ready.clear()
        self._restored = False
        others = self._tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._inbox.reset()
        self._push_router.reset()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` until it ends or the login does."""
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended: %r", task.get_name(), error)

    def on_connected(self, reply: session.LoginReply) -> None:
        """Start the sync: the server accepted the login."""
        self._epoch = reply.server.epoch if not isinstance(reply.server, msgspec.UnsetType) else ""
        self._syncing = self.spawn(self._sync(), "timim sync")

    def on_disconnected(self, error: TimimError, final: bool) -> None:
        """Stop delivering; with `final`, the connection does not come back."""
        self._ready.clear()
        if self._syncing is not None:
            self._syncing.cancel()
        self._inbox.on_disconnected()
        if final and self._first_sync is not None and not self._first_sync.done():
            self._first_sync.set_exception(error)
            self._first_sync.exception()  # the login may be failing by itself
        self._dispatcher.deliver_event(KickedOut(error) if isinstance(error, AuthError) else ConnectionLost(error))

    def on_push(self, push: session.DecodedPush) -> None:
        """Route a push."""
        self._push_router.route(push)

    def on_push_gap(self) -> None:
        """Compare with the server soon: pushes may have been lost."""
        self._push_gap.set()

    async def _sync(self) -> None:
        if not await self._sync_once():
            return
        if self._recent_contacts and not self._restored:
            await self._load_last_messages()
        self._ready.set()
        if self._first_sync is not None and not self._first_sync.done():
            self._first_sync.set_result(None)
        if self._restored:
            self._dispatcher.deliver_event(ConnectionRestored())
        self._restored = True

    async def _compare_after_gaps(self) -> None:
        while True:
            await self._push_gap.wait()
            await self._ready.wait()
            self._push_gap.clear()
            await self._sync_once()

    async def _sync_once(self) -> bool:
        """Sync, trying again while the connection lasts; return False when it ended: the next connect syncs."""
        while True:
            try:
                await self._inbox.sync(self._epoch)
            except StoreCorrupted as exc:
                log.exception("the local store is corrupt; the next login replaces it")
                self._connection.give_up(exc)
                return False
            except TimimError as exc:
                if not self._connection.online:
                    log.info("the connection was lost during the sync: %s", exc)
                    return False
                log.warning("the sync with the server failed, trying again: %s", exc)
                await asyncio.sleep(SYNC_RETRY_S)
            else:
                return self._connection.online

    async def _load_last_messages(self) -> None:
        """Read from disk the last messages of listed conversations that the sync did not name."""
        wanted = self._conversations.without_messages()
        try:
            await self._load(wanted[:LOADED_AT_LOGIN])
        except StorageError as exc:
            log.warning("the last messages could not be read: %s", exc)  # a query that reads them raises it again
        if wanted[LOADED_AT_LOGIN:]:
            self.spawn(self._load(wanted[LOADED_AT_LOGIN:]), "timim last messages")

    async def _load(self, keys: list[ConversationKey]) -> None:
        for first in range(0, len(keys), LOADED_AT_ONCE):
            for message in await self._store.messages.last_of(keys[first : first + LOADED_AT_ONCE]):
                assert message.conversation is not None
                recent = self._conversations.get(message.conversation).recent
                if recent.newest is None:
                    recent.add(message)
