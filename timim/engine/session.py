"""The login of a client. After each connect a sync runs, and pushes are delivered after the sync.

Invariant: each task of a login is owned by `ClientSession` and ends with the login.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

import msgspec

from ..errors import AuthError, ConnectionFailed, ServerRefused, StorageError, StoreCorrupted, TimimError
from ..events import ConnectionLost, ConnectionRestored, KickedOut, RateLimitReached, SignatureExpiring
from ..ids import ConversationKey
from ..protocol import session
from ..protocol.group_members import JOIN_GROUP, JoinGroupRequest
from ..storage import LocalStore
from ..transport.connection import Connection
from ..transport.signature import UserSig
from .config import ClientConfig
from .conversations import ConversationIndex
from .dispatcher import Dispatcher
from .inbox import Inbox
from .push_router import PushRouter
from .sync_failures import LIST, concerns_one_conversation

log = logging.getLogger(__name__)
SYNC_RETRY_S = 1.0
LIST_PAUSE_LIMIT_S = 60.0  # between attempts to fetch the conversation list
LOADED_AT_LOGIN = 500  # last messages read from disk before a login returns; the others are read in the background
LOADED_AT_ONCE = 500  # last messages read from disk by one query


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
        self._user_id = config.user_id
        self._account = config.account
        self._recent_contacts = config.recent_contacts
        self._store = store
        self._connection = connection
        self._conversations = conversations
        self._dispatcher = dispatcher
        self._inbox = inbox
        self._push_router = push_router
        self._failures = inbox.failures
        self._instance = f"{random.getrandbits(63):x}"  # the id of this device, unless the store has one
        self._ready = asyncio.Event()  # the connection is up and synced
        self._push_gap = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._syncing: asyncio.Task[None] | None = None
        self._first_sync: asyncio.Future[None] | None = None  # `start` waits for this future
        self._restored = False
        self._paused_until = 0.0  # loop time until which refused requests wait
        self._epoch = ""  # the server's epoch in the last login reply

    async def start(self, user_sig: UserSig) -> None:
        """Log in; return when new messages are being delivered. After an exception, call `cancel_tasks`.

        Raises:
            AuthError: The server refused the credentials.
            ConnectionFailed, RequestTimeout: The server cannot be reached, or did not reply.
            InvalidArgument: The URL is not a websocket URL.
            StorageError: The local store cannot be read or written.
            WrongStore: The local store belongs to another account.
        """
        await self.cancel_tasks()  # tasks of an earlier login that the server ended
        self._conversations.live_rooms.clear()
        first_sync = self._first_sync = asyncio.get_running_loop().create_future()
        try:
            instance = await self._store.meta.claim(self._account, self._instance)
            await self._failures.load()
            self._dispatcher.begin_login(self.spawn(self._inbox.run(self._ready), "timim inbox"))
            self.spawn(self._push_router.run(), "timim notices")
            self.spawn(self._compare_after_gaps(), "timim compare")
            self.spawn(self._redeliver_to_later_handlers(), "timim unhandled")
            self.spawn(self._inbox.retry_failed(self._ready), "timim retries")
            await self._connection.start(self, user_sig=user_sig, instance=instance)
            await first_sync
        finally:
            self._first_sync = None

    async def cancel_tasks(self) -> None:
        """Cancel all tasks of the login, except the calling one."""
        self._ready.clear()
        self._restored = False
        others = self._tasks - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._inbox.reset()
        self._push_router.reset()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` as a task that is cancelled when the login ends."""
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s of %s failed: %r", task.get_name(), self._user_id, error)

    def on_connected(self, reply: session.LoginReply) -> None:
        """Start the sync after the server accepted the login."""
        self._epoch = reply.server.epoch if not isinstance(reply.server, msgspec.UnsetType) else ""
        self._syncing = self.spawn(self._sync(), "timim sync")

    def on_disconnected(self, error: TimimError, final: bool) -> None:
        """Stop delivering. If `final`, the connection will not be restored."""
        self._ready.clear()
        if self._syncing is not None:
            self._syncing.cancel()
        self._inbox.on_disconnected()
        if final and self._first_sync is not None and not self._first_sync.done():
            self._first_sync.set_exception(error)
            self._first_sync.exception()  # mark as retrieved: `start` may be raising another error
        self._dispatcher.deliver_event(KickedOut(error) if final and isinstance(error, AuthError) else ConnectionLost(error))

    def on_push(self, push: session.DecodedPush) -> None:
        """Route a push; sync if notices had to be dropped."""
        if not self._push_router.route(push):
            self._push_gap.set()

    def on_signature_expiring(self, expires_at: float) -> None:
        """Deliver SignatureExpiring."""
        self._dispatcher.deliver_event(SignatureExpiring(expires_at))

    def on_rate_limited(self, error: TimimError, wait_s: float) -> None:
        """Deliver RateLimitReached, once for requests that wait at the same time."""
        now = asyncio.get_running_loop().time()
        if now >= self._paused_until:
            self._paused_until = now + wait_s
            self._dispatcher.deliver_event(RateLimitReached(error, wait_s))

    def on_push_gap(self) -> None:
        """Start a sync, because pushes may have been lost."""
        self._push_gap.set()

    async def _redeliver_to_later_handlers(self) -> None:
        """Deliver unhandled messages of earlier runs also to a handler that was added after the login."""
        while True:
            await self._dispatcher.messages.handler_added.wait()
            await self._ready.wait()
            self._dispatcher.messages.handler_added.clear()
            await self._dispatcher.redeliver()

    async def _sync(self) -> None:
        await self._dispatcher.redeliver()
        if self._restored:
            await self._join_live_rooms_again()
        if not await self._sync_once():
            return
        if self._recent_contacts and not self._restored:
            await self._load_last_messages()
        self._set_ready()
        if self._restored:
            self._dispatcher.deliver_event(ConnectionRestored())
        self._restored = True

    async def _join_live_rooms_again(self) -> None:
        """Join the live rooms of this login again, because the server removes members without a connection."""
        for room in sorted(self._conversations.live_rooms):
            try:
                await self._connection.call(JOIN_GROUP, JoinGroupRequest(group_id=room, back=1))
            except ServerRefused as exc:
                self._conversations.live_rooms.discard(room)
                log.warning("%s is in the live room %s no more: %s", self._user_id, room, exc)
            except TimimError as exc:
                log.debug("joining the live room %s again was interrupted; the next connection repeats it: %s", room, exc)

    def _set_ready(self) -> None:
        """Let the login return, and new messages be delivered."""
        self._ready.set()
        if self._first_sync is not None and not self._first_sync.done():
            self._first_sync.set_result(None)

    async def _compare_after_gaps(self) -> None:
        while True:
            await self._push_gap.wait()
            await self._ready.wait()
            self._push_gap.clear()
            await self._sync_once()

    async def _sync_once(self) -> bool:
        """Sync, retrying while the connection is up; return False if it was lost, since the next connect syncs again."""
        while True:
            try:
                await self._inbox.sync(self._epoch)
            except StoreCorrupted as exc:
                log.exception("the local store of %s is corrupt; the next login replaces it", self._user_id)
                self._connection.give_up(exc)
                return False
            except Exception as exc:  # noqa: BLE001  # an answer of an unforeseen form must not keep the login waiting
                if not self._connection.online:
                    log.debug("the sync of %s was interrupted; the next connection repeats it: %s", self._user_id, exc)
                    return False
                if concerns_one_conversation(exc):  # the list itself failed: new messages can be delivered without it
                    pause_s = await self._failures.fail(LIST, exc, since=0)
                    self._set_ready()
                    await asyncio.sleep(min(pause_s, LIST_PAUSE_LIMIT_S))
                    continue
                # a connection that was just lost is still online here, and its loss is logged by the connection
                level = logging.DEBUG if isinstance(exc, ConnectionFailed) else logging.WARNING
                log.log(level, "the sync of %s failed; trying again in %g s: %s", self._user_id, SYNC_RETRY_S, exc)
                await asyncio.sleep(SYNC_RETRY_S)
            else:
                return self._connection.online

    async def _load_last_messages(self) -> None:
        """Read from disk the last messages of listed conversations that the sync did not report."""
        wanted = self._conversations.without_messages()
        try:
            await self._load(wanted[:LOADED_AT_LOGIN])
        except StorageError as exc:
            log.warning("reading the last messages of %s's conversations failed: %s", self._user_id, exc)
        if wanted[LOADED_AT_LOGIN:]:
            self.spawn(self._load(wanted[LOADED_AT_LOGIN:]), "timim last messages")

    async def _load(self, keys: list[ConversationKey]) -> None:
        for first in range(0, len(keys), LOADED_AT_ONCE):
            for message in await self._store.messages.last_of(keys[first : first + LOADED_AT_ONCE]):
                assert message.key is not None
                recent = self._conversations.get(message.key).recent
                if recent.newest is None:
                    recent.add(message)
