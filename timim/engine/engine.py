"""The engine of a client: creates the client's parts, and opens and closes them in order."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from functools import partial

from ..elems import TextElem
from ..errors import StoreCorrupted
from ..events import StoreReplaced
from ..profiles import ProfileCache
from ..protocol.backoff import Backoff
from ..storage import LocalStore
from ..transport.connection import Connection, Device
from ..transport.home_loop import HomeLoop
from ..transport.media_cache import MediaCache
from ..transport.media_transfer import MediaTransfer
from ..transport.signature import UserSig
from .attachments import Attachments
from .binding import ClientBinder
from .config import ClientConfig
from .conversation_settings import ConversationSettings
from .conversations import ConversationIndex
from .deletions import Deletions
from .dispatcher import Dispatcher
from .fetcher import Fetcher
from .handler_calls import leaving
from .handler_sends import HandlerSends
from .handling_record import HandlingRecord
from .history import History
from .inbox import Inbox
from .ingest import Ingest
from .live_messages import LiveMessages
from .message_actions import MessageActions
from .once import OnceKeys
from .online_messages import OnlineMessages
from .outbox import Outbox
from .pending_changes import PendingChanges
from .push_router import PushRouter
from .scheduler import Scheduler
from .search import Search
from .session import ClientSession
from .shared_task import SharedTask
from .sync import PATIENCE, Sync
from .takeover import take_over
from .unsent_messages import UnsentMessages

log = logging.getLogger(__name__)


class Engine:
    """The parts of a client, created once by the client's constructor."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        device = Device(config.app_id, config.user_id, config.platform)
        self.connection: Connection = Connection(
            config.url,
            device,
            timeout_s=config.timeout_s,
            backoff=Backoff(limit_s=config.reconnect_limit_s),
            now=config.now,
            network=config.network,
        )
        self.media: MediaTransfer = MediaTransfer(
            self.connection.server_info, timeout_s=config.timeout_s, cache=_cache(config), network=config.network
        )
        self.attachments: Attachments = Attachments(self.media, config.folder and config.folder / "outgoing")
        live = LiveMessages()
        self.binder: ClientBinder = ClientBinder(self.attachments, live)
        self.store: LocalStore = LocalStore(config.database, self.binder)
        self.handling: HandlingRecord = HandlingRecord(config, self.store)
        self.dispatcher: Dispatcher = Dispatcher(self.handling, config.concurrency)
        self.profiles: ProfileCache = ProfileCache()
        self.conversations: ConversationIndex = ConversationIndex(config.user_id, live)
        self.settings: ConversationSettings = ConversationSettings(
            self.store, self.connection, self.conversations, self.dispatcher
        )
        self.changes: PendingChanges = PendingChanges(config, self.store, self.connection, self.conversations, self.settings)
        ingest = Ingest(self.store, self.conversations, self.profiles, self.dispatcher)
        hasty = Fetcher(self.connection, timeout_s=config.timeout_s * PATIENCE)  # one conversation must not delay the others
        sync = Sync(config, self.store, hasty, ingest, self.changes, self.conversations, self.dispatcher)
        self.inbox: Inbox = Inbox(config, self.store, hasty, sync, ingest, self.dispatcher, self.binder)
        store, connection, attachments, conversations = self.store, self.connection, self.attachments, self.conversations
        self.outbox: Outbox = Outbox(store, connection, attachments, conversations, self.inbox, self.binder, self.dispatcher)
        self.unsent: UnsentMessages = UnsentMessages(
            store, connection, attachments, conversations, self.outbox, self.dispatcher
        )
        self.scheduler: Scheduler = Scheduler(self.store, self.connection, self.attachments, self.outbox, self.binder)
        self.deletions: Deletions = Deletions(store, conversations, self.outbox, attachments, self.settings.deletions)
        fetcher = Fetcher(self.connection, timeout_s=config.timeout_s)
        self.history: History = History(config, self.store, fetcher, self.inbox, self.conversations)
        self.sends: HandlerSends = HandlerSends(store, self.outbox, self.unsent, self.history, self.deletions, self.scheduler)
        self.binder.message_verbs = MessageActions(
            store, connection, attachments, conversations, self.inbox, self.sends, self.deletions
        )
        self.online_messages: OnlineMessages = OnlineMessages(config, store, connection, attachments, self.binder)
        self.search: Search = Search(self.store, self.history)
        router = PushRouter(config, self.connection, self.inbox, self.settings, self.dispatcher)
        self.session: ClientSession = ClientSession(
            config, store, connection, conversations, self.dispatcher, self.inbox, router
        )
        self.once: OnceKeys = OnceKeys(self.store)
        self._open = False
        self.home: HomeLoop = self.connection.home
        self._turn = asyncio.Lock()  # held while the store is opened or closed
        self._login_task = SharedTask()

    async def open(self) -> None:
        """Open the local store and load the conversation list. Raises StoreInUse, WrongStore, StorageError."""
        self.check_loop()
        async with self._turn:
            await self._open_store()

    async def _open_store(self) -> None:
        if self._open:
            return
        self.home.enter()
        if not TextElem.__pydantic_complete__:  # pydantic searches all installed packages for plugins at the first elem
            await asyncio.to_thread(TextElem.model_rebuild)
        await take_over(self.config.folder, self)
        await self.store.open()
        self.binder.live.clear()  # the local_ids of a store in memory begin again
        self._open = True
        try:
            await self.store.meta.check_account(self.config.account)
            self.conversations.load(await self.store.conversations.flagged(), await self.store.conversations.listed())
            scheduled = await self.scheduler.load()
            await self.attachments.remove_orphans([*await self.store.messages.outgoing(), *scheduled])
            if self.store.set_aside is not None:
                log.warning("moved the corrupt local store to %s and created a new one", self.store.set_aside)
                self.dispatcher.deliver_event(StoreReplaced(self.store.set_aside))
        except BaseException:
            await self._close()
            raise

    async def login(self, user_sig: UserSig) -> None:
        """Open the store, log in, and resume sending; return when new messages are being delivered.

        If the store is found to be corrupt, replace it and log in again, once. Raises the errors that `Client.login` documents.
        Calls at the same time share one login, which ends when all of them are cancelled.
        """
        self.check_loop()
        with leaving():  # a login that fails logs out, which must not wait for the handler that awaits this login
            await self._login_task.run(partial(self._login_once, user_sig), name="timim login")

    async def _login_once(self, user_sig: UserSig) -> None:
        await self.open()
        if self.connection.running:
            return
        try:
            await self._login(user_sig)
        except StoreCorrupted:
            async with self._turn:
                await self._close()
                await self._open_store()
            await self._login(user_sig)

    async def _login(self, user_sig: UserSig) -> None:
        try:
            await self.session.start(user_sig)
            self.session.spawn(self.scheduler.run(), "timim scheduled messages")
            if self.config.resend:
                await self.unsent.resume()
            else:
                await self.unsent.resolve(self.history)
        except BaseException:
            await self._logout()
            raise

    async def logout(self) -> None:
        """Log out, also during a login, and wait for running handlers; cancelling this method cancels the handlers."""
        self.check_loop()
        with leaving():
            await self._login_task.cancel()
            await self._logout()

    async def _logout(self) -> None:
        async with AsyncExitStack() as steps:  # each step is taken also if an earlier one is cancelled or fails
            steps.push_async_exit(self._end_handlers)
            steps.push_async_callback(self.changes.close)
            steps.push_async_callback(self.session.cancel_tasks)
            steps.push_async_callback(self.outbox.close)
            await self.connection.stop()

    async def _end_handlers(self, error: type[BaseException] | None, *_: object) -> None:
        """Wait until the handlers have returned; if the logout was cancelled before, cancel them."""
        try:
            await self.dispatcher.drain(cancel=error is asyncio.CancelledError)
        finally:
            self.outbox.reopen()

    async def drain(self, limit_s: float) -> bool:
        """Let no more messages be stored, let handlers finish, and send the messages that wait.

        Returns:
            False if that took longer than `limit_s`: the handlers are cancelled then, or messages remain unsent.
        """
        try:
            async with asyncio.timeout(limit_s):
                await self.dispatcher.finish()
                if self.connection.running:
                    await self.outbox.flush()
        except TimeoutError:
            return False
        return not self.outbox.sending

    async def close(self) -> None:
        """Log out and close the local store."""
        self.check_loop()
        with leaving():
            await self._login_task.cancel()
            async with self._turn:
                await self._close()

    async def _close(self) -> None:
        if not self._open:
            return
        try:
            await self._logout()
        finally:
            await self.media.aclose()
            await self.store.close()
            self._open = False

    def check_open(self) -> None:
        """Check that the client is open, and that this is its event loop. Raises NotLoggedIn, InvalidArgument."""
        self.home.check()
        self.store.check_open()

    def check_loop(self) -> None:
        """Check that this is the client's event loop; release the store if that loop has ended. Raises InvalidArgument."""
        if self.home.ended:
            self.release()
        self.home.check()

    def release(self) -> None:
        """Release the store of a client whose event loop has ended."""
        self.store.abandon()


def _cache(config: ClientConfig) -> MediaCache | None:
    if not config.media_cache_bytes:
        return None
    return MediaCache(config.folder and config.folder / "cache", config.media_cache_bytes)
