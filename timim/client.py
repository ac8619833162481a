"""The client: one account on one device. It wires the parts together, logs in and out, and lists conversations."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import msgspec

from .conversation import Conversation, Engine
from .engine.content import Content
from .engine.dispatcher import Dispatcher
from .engine.fetcher import Fetcher
from .engine.history import History
from .engine.inbox import Inbox
from .engine.outbox import Outbox
from .engine.pushes import pushed_entries
from .errors import InvalidArgument, KickedOffline, NotLoggedIn, TimimError
from .events import ConnectionLost, ConnectionRestored, KickedOut, ProfileChanged, events_of, is_tip
from .friends import Friends
from .groups import Groups
from .ids import ConversationKey, ConversationType, checked_user_id, conversation_key
from .message import Message, MessageStatus
from .net.connection import Connection
from .net.transfer import Transfer
from .profiles import OwnProfile, Profiles
from .storage import LocalStore
from .wire import status
from .wire.backoff import Backoff

log = logging.getLogger("timim")
MessagesHandler = TypeVar("MessagesHandler", bound=Callable[[list[Message]], Awaitable[None] | None])
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[None] | None])


class Conversations(Sequence[Conversation]):
    """The conversation list, the newest first: `len`, index, iteration; local. Deleting while iterating is safe."""

    def __init__(self) -> None:
        self._listed: list[Conversation] = []

    @overload
    def __getitem__(self, index: int) -> Conversation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Conversation]: ...
    def __getitem__(self, index: int | slice) -> Conversation | Sequence[Conversation]:
        return self._listed[index]

    def __len__(self) -> int:
        return len(self._listed)

    def __iter__(self) -> Iterator[Conversation]:
        return iter(tuple(self._listed))

    def _first(self, conversation: Conversation) -> None:
        if not self._listed or self._listed[0] is not conversation:
            if conversation in self._listed:
                self._listed.remove(conversation)
            self._listed.insert(0, conversation)

    def _drop(self, conversation: Conversation) -> None:
        if conversation in self._listed:
            self._listed.remove(conversation)


class Client:
    """One account on one device, kept in `data_dir`.

    `url`: `ws://` or `wss://`. `user_sig`: from `timim.sign_user` or your own back end. `data_dir`: None, a folder of
    the platform's habit; a path, there; ":memory:", nothing is kept. `recent_contacts` False: no conversation list at
    login; C2C messages missed meanwhile come either way. `resend` False: what an earlier run left unsent becomes
    FAILED instead of going out. `timeout`: seconds for one request.

    `async with client:` logs in and out. Raises at login: AuthError (70001 to 70014), ConnectionFailed, RequestTimeout,
    InvalidArgument, StoreInUse, StorageError.
    """

    def __init__(
        self,
        url: str,
        *,
        app_id: int,
        user_id: str,
        user_sig: str,
        data_dir: str | Path | None = None,
        recent_contacts: bool = True,
        resend: bool = True,
        timeout: float = 10.0,
    ) -> None:
        self.user_id = checked_user_id(user_id)
        if timeout <= 0:
            raise InvalidArgument(f"timeout must be more than 0 seconds, not {timeout}")
        self._user_sig = user_sig
        self._recent_contacts = recent_contacts
        self._resend = resend
        self._timeout_s = timeout
        self._folder = _folder(data_dir, app_id, self.user_id)
        self._dispatcher = Dispatcher()
        self._store = LocalStore(self._folder and self._folder / "messages.db")
        self._known: dict[ConversationKey, Conversation] = {}
        self._engine: Engine | None = None
        self._inbox: Inbox | None = None
        self._ready = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._restored = False
        self._open = False
        self._connection = Connection(
            url,
            app_id=app_id,
            user_id=self.user_id,
            user_sig=lambda: self._user_sig,
            instance=f"{random.getrandbits(63):x}",
            on_push=self._on_push,
            on_up=self._on_up,
            on_down=self._on_down,
            timeout_s=timeout,
            backoff=Backoff(),
        )
        self._transfer = Transfer(
            token=lambda: self._connection.token, media_url=lambda: self._connection.media_url, timeout_s=timeout
        )
        self._content = Content(self._transfer, self._folder and self._folder / "outgoing")
        self.conversations = Conversations()
        self.groups = Groups(self._connection, self.group)
        self.friends = Friends(self._connection)
        self.profiles = Profiles(self._connection)
        self.profile = OwnProfile(self._connection, self.profiles, self.user_id)

    def c2c(self, user_id: str) -> Conversation:
        """The conversation with a user; local, no I/O."""
        return self.conversation(ConversationType.C2C, user_id)

    def group(self, group_id: str) -> Conversation:
        """The conversation of a group; local, no I/O."""
        return self.conversation(ConversationType.GROUP, group_id)

    def system(self) -> Conversation:
        """The conversation of system notices; nobody can send there."""
        return self.conversation(ConversationType.SYSTEM, "")

    def conversation(self, type: ConversationType, peer: str) -> Conversation:
        """The conversation of this (type, peer): the same one for the same pair. Raises InvalidArgument."""
        key = conversation_key(type, peer)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Conversation(key, self._parts)
        return found

    def on_new_message(self, handler: MessagesHandler) -> MessagesHandler:
        """Register a function (sync or async) for lists of new messages; before login, so that none is missed.

        A list is of one conversation, in order, one list at a time; other conversations run concurrently. It gets
        every message that this device never had, once, also those read elsewhere (source: 接收消息).
        """
        self._dispatcher.on_new_message(handler)
        return handler

    def on(self, *events: type[Any]) -> Callable[[Handler], Handler]:
        """Register a function for event classes of timim.events: ConnectionLost, GroupChanged, RelationChanged …"""
        if not events:
            raise InvalidArgument("name at least one event class")

        def register(handler: Handler) -> Handler:
            for event in events:
                self._dispatcher.on(event, handler)
            return handler

        return register

    async def open(self) -> None:
        """Open the local store without logging in: local queries work."""
        if self._open:
            return
        await self._store.open()
        self._open = True
        try:
            fetcher = Fetcher(self._connection, timeout_s=self._timeout_s)
            self._inbox = Inbox(
                self._store,
                fetcher,
                user_id=self.user_id,
                recent_contacts=self._recent_contacts,
                throw=self._throw,
                changed=self._changed,
                bind=self._bind,
            )
            outbox = Outbox(
                self._store,
                self._connection,
                user_id=self.user_id,
                prepare=self._content.prepare,
                numbered=self._inbox.numbered,
                listed=self._changed,
                timeout_s=self._timeout_s,
                rng=random.SystemRandom(),
            )
            history = History(self._store, fetcher, self._inbox, user_id=self.user_id, bind=self._bind)
            self._engine = Engine(self._store, self._connection, outbox, history, self._dispatcher, fetcher, self._timeout_s)
            for row in reversed(await self._store.conversations()):
                conversation = self.conversation(row.key.type, row.key.peer)
                conversation.unread = await self._store.unread(row.key)
                self.conversations._first(conversation)
            if not self._resend:
                for message in await self._store.outgoing():
                    await self._store.fail(message, NotLoggedIn.code, "not sent before the program ended")
        except BaseException:
            await self.close()
            raise

    async def login(self) -> None:
        """Log in, and stay so: a lost link is found again, until `logout()`. Returns when new messages begin to flow."""
        await self.open()
        if self._connection.running:
            return
        assert self._inbox is not None
        self._own(self._inbox.run(self._ready), "timim inbox")
        await self._connection.start()
        assert self._engine is not None
        await self._ready.wait()
        if self._resend:
            await self._engine.outbox.resume()

    async def logout(self) -> None:
        """Log out. What is unsent stays on disk and goes out after the next login; handlers under way finish."""
        await self._connection.stop()
        self._ready.clear()
        self._restored = False
        if self._engine is not None:
            await self._engine.outbox.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._dispatcher.drain()

    async def close(self) -> None:
        """Log out and close the local store."""
        if not self._open:
            return
        await self.logout()
        await self._transfer.aclose()
        await self._store.close()
        self._open, self._engine = False, None

    async def __aenter__(self) -> Self:
        try:
            await self.login()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def delete_conversation(self, type: ConversationType, peer: str, *, messages: bool = False) -> bool:
        """Take it off the list, or with `messages` its messages on this device too; True if it was listed."""
        conversation = self.conversation(type, peer)
        existed = await self._parts().store.delete_conversation(conversation.key, messages=messages)
        self.conversations._drop(conversation)
        if messages:
            conversation._cache.clear()
            conversation.unread = 0
        return existed

    async def set_custom_int(self, message: Message, value: int) -> None:
        """See Message.set_custom_int."""
        await self._parts().store.set_custom_int(message.local_id, value)
        message.custom_int = value

    async def set_custom_data(self, message: Message, value: bytes) -> None:
        """See Message.set_custom_data."""
        await self._parts().store.set_custom_data(message.local_id, value)
        message.custom_data = bytes(value)

    async def remove(self, message: Message) -> bool:
        """See Message.remove."""
        done = await self._parts().store.mark_deleted(message.local_id)
        if done:
            message.status = MessageStatus.DELETED
        return done

    async def delete_from_storage(self, message: Message) -> bool:
        """See Message.delete_from_storage."""
        done = await self._parts().store.delete_message(message.local_id)
        if done and message.conversation is not None:
            conversation = self._known.get(message.conversation)
            if conversation is not None:
                kept = [m for m in conversation._cache if m.local_id != message.local_id]
                conversation._cache.clear()
                conversation._cache.extend(kept)
        return done

    def _parts(self) -> Engine:
        if self._engine is None:
            raise NotLoggedIn("the client is not open: log in first, or open() it for local queries")
        return self._engine

    def _bind(self, message: Message) -> Message:
        message._actions = self
        for elem in message.elems if message._elems is not None else ():
            self._content.bind(elem)
        if message._elem_source is not None:
            source = message._elem_source
            message._elem_source = lambda: tuple(map(self._content.bind, source()))
        return message

    def _throw(self, messages: Sequence[Message]) -> None:
        for message in messages:
            assert message.conversation is not None
            if message.seq:
                conversation = self.conversation(message.conversation.type, message.conversation.peer)
                conversation._noticed(message)
                conversation.unread += not (message.is_read or message.is_self or is_tip(message))
        self._dispatcher.messages(messages)
        for event in (event for message in messages for event in events_of(message)):
            if isinstance(event, ProfileChanged):
                self.profiles.changed(event)
            self._dispatcher.event(event)

    def _changed(self, key: ConversationKey) -> None:
        self.conversations._first(self.conversation(key.type, key.peer))

    def _on_up(self, reply: status.LoginReply) -> None:
        self._own(self._sync(), "timim sync")

    async def _sync(self) -> None:
        assert self._inbox is not None
        try:
            await self._inbox.sync()
        except TimimError as exc:
            log.warning("the login's sync failed, and is tried at the next one: %s", exc)
            if not self._connection.online:
                return
        self._ready.set()
        if self._restored:
            self._dispatcher.event(ConnectionRestored())
        self._restored = True

    def _on_down(self, error: TimimError, final: bool) -> None:
        self._ready.clear()
        self._dispatcher.event(KickedOut(error) if final else ConnectionLost(error))

    def _on_push(self, push: status.Push) -> None:
        assert self._inbox is not None
        for event in push.events:
            for key, entry in pushed_entries(event, self.user_id):
                self._inbox.push(key, entry)
            match event.event:
                case status.EVENT_READ if not isinstance(event.read, msgspec.UnsetType):
                    self._own(self._read_elsewhere(event.read), "timim read")
                case status.EVENT_C2C_NOTICE if event.sub_msg_type == status.SUB_KICKED:
                    why = event.kick.reason if not isinstance(event.kick, msgspec.UnsetType) else ""
                    self._connection.kick(KickedOffline(why or "another login took this device's place"))
                case _:
                    pass  # entries, or an event that this version does not know

    async def _read_elsewhere(self, notice: status.ReadNotice) -> None:
        type = ConversationType.GROUP if notice.group_id else ConversationType.C2C
        conversation = self.system() if notice.system else self.conversation(type, notice.group_id or notice.peer)
        await self._store.set_read(conversation.key, notice.read_seq)
        conversation.unread = await self._store.unread(conversation.key)
        for message in conversation._cache:
            message.is_read = message.is_read or 0 < message.seq <= notice.read_seq

    def _own(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended: %r", task.get_name(), error)

    def __repr__(self) -> str:
        state = "online" if self._connection.online else "offline" if self._connection.running else "logged out"
        sending = self._engine.outbox.sending if self._engine else 0
        return f"<Client {self.user_id} {state}, {sending} sending>"


def _folder(data_dir: str | Path | None, app_id: int, user_id: str) -> Path | None:
    """The account's own folder; None keeps nothing."""
    if data_dir == ":memory:":
        return None
    if data_dir is None:
        from platformdirs import user_data_path

        base = user_data_path("timim", appauthor=False)
    else:
        base = Path(data_dir)
    return base / str(app_id) / user_id.encode().hex()
