"""The client: one account on one device. It opens and closes, logs in and out, and gives conversations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, overload

from .conversation import Conversation, ConversationRegistry
from .conversation_list import ConversationList
from .engine.config import ClientConfig, account_folder
from .engine.dispatcher import EventDecorator, EventStream, HandlerResult
from .engine.engine import Engine
from .errors import InvalidArgument
from .events import ClientEvent
from .friends import Friends
from .groups import Groups
from .ids import ConversationType, checked_user_id
from .local_store.fulltext import ElemTypes
from .message import Message
from .profiles import OwnProfile, Profiles
from .protocol import session
from .search import SearchCursor, SearchResult

__all__ = ["Client", "Platform"]

Platform = Literal["desktop", "mobile", "pad", "web", "other"]
MessagesHandler = TypeVar("MessagesHandler", bound=Callable[[list[Message]], Awaitable[None] | None])
E1 = TypeVar("E1", bound=ClientEvent)
E2 = TypeVar("E2", bound=ClientEvent)
E3 = TypeVar("E3", bound=ClientEvent)
E4 = TypeVar("E4", bound=ClientEvent)
E5 = TypeVar("E5", bound=ClientEvent)
K1 = TypeVar("K1", bound=ClientEvent | Message)
K2 = TypeVar("K2", bound=ClientEvent | Message)
K3 = TypeVar("K3", bound=ClientEvent | Message)


class Client:
    """One account on one device, kept in `data_dir`.

    `url`: `ws://` or `wss://`. `user_sig`: from `timim.sign_user` or your own back end. `data_dir`: None, a folder of
    the platform's habit; a path, there; ":memory:", nothing is kept. `recent_contacts` False: no conversation list at
    login; C2C messages missed meanwhile come either way. `resend` False: what an earlier run left unsent does not go out
    at login; it becomes FAILED, or SUCCEEDED if the server has it. `timeout`: seconds for one request. `reconnect_limit`:
    seconds between two tries to find a lost link again, at the most; the waits are random, and grow to it. `platform`:
    what this device is, where the server lets one of each be online (KickedOut tells the one that loses its place).
    `media_cache_bytes`: keep downloaded content in `data_dir` up to so many bytes, the longest unused goes first; 0: each
    call downloads again (source: 接收图片消息).
    `now`: the wall clock, in Unix seconds; it counts only until a server has told its time.

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
        reconnect_limit: float = 30.0,
        platform: Platform = "other",
        media_cache_bytes: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.user_id: str = checked_user_id(user_id)
        for name, seconds in (("timeout", timeout), ("reconnect_limit", reconnect_limit)):
            if seconds <= 0:
                raise InvalidArgument(f"{name} must be more than 0 seconds, not {seconds}")
        if media_cache_bytes < 0:
            raise InvalidArgument(f"media_cache_bytes must not be less than 0, but is {media_cache_bytes}")
        if platform not in session.PLATFORMS:
            raise InvalidArgument(f"platform must be one of {', '.join(session.PLATFORMS)}, not {platform!r}")
        self._user_sig = user_sig
        self._engine = Engine(
            ClientConfig(
                url=url,
                app_id=app_id,
                user_id=self.user_id,
                folder=account_folder(data_dir, app_id, self.user_id),
                platform=platform,
                recent_contacts=recent_contacts,
                resend=resend,
                timeout_s=timeout,
                reconnect_limit_s=reconnect_limit,
                media_cache_bytes=media_cache_bytes,
                now=now,
            )
        )
        connection = self._engine.connection
        self._registry = ConversationRegistry(self._engine)
        self.conversations: ConversationList = ConversationList(self._engine.conversations, self._registry)
        self.groups: Groups = Groups(connection, self._registry)
        self.friends: Friends = Friends(connection)
        self.profiles: Profiles = Profiles(connection, self._engine.profiles)
        self.profile: OwnProfile = OwnProfile(connection, self.profiles, self.user_id)

    def c2c(self, user_id: str) -> Conversation:
        """Return the conversation with a user. No I/O. Raises InvalidArgument for an id that cannot exist."""
        return self.conversation(ConversationType.C2C, user_id)

    def group(self, group_id: str) -> Conversation:
        """Return the conversation of a group. No I/O. Raises InvalidArgument for an id that cannot exist."""
        return self.conversation(ConversationType.GROUP, group_id)

    def system(self) -> Conversation:
        """Return the conversation of system notices; nobody can send there."""
        return self.conversation(ConversationType.SYSTEM, "")

    def conversation(self, type: ConversationType, peer: str) -> Conversation:
        """Return the conversation of this type and peer, the same object for the same pair. Raises InvalidArgument."""
        return self._registry.get(type, peer)

    def on_new_message(self, handler: MessagesHandler) -> MessagesHandler:
        """Register a function (sync or async) for lists of new messages; before login, so that none is missed.

        A list is of one conversation, in order, one list at a time; other conversations run concurrently. It gets
        every message that this device never had, once, also those read elsewhere (source: 接收消息).
        """
        self._engine.dispatcher.on_new_message(handler)
        return handler

    @overload
    def on(self, event: type[E1], /) -> EventDecorator[E1]: ...
    @overload
    def on(self, event: type[E1], second: type[E2], /) -> EventDecorator[E1 | E2]: ...
    @overload
    def on(self, event: type[E1], second: type[E2], third: type[E3], /) -> EventDecorator[E1 | E2 | E3]: ...
    @overload
    def on(
        self, event: type[E1], second: type[E2], third: type[E3], fourth: type[E4], /
    ) -> EventDecorator[E1 | E2 | E3 | E4]: ...
    @overload
    def on(
        self, event: type[E1], second: type[E2], third: type[E3], fourth: type[E4], fifth: type[E5], /
    ) -> EventDecorator[E1 | E2 | E3 | E4 | E5]: ...
    @overload
    def on(self, *events: type[ClientEvent]) -> EventDecorator[ClientEvent]: ...
    def on(self, *events: type[ClientEvent]) -> EventDecorator[Any]:
        """Register a function (sync or async) for events of these classes (ConnectionLost, GroupChanged, …).

        A type checker wants the function to take each of the classes; past five of them, any ClientEvent.

        Raises:
            InvalidArgument: no class is given.
        """
        if not events:
            raise InvalidArgument("name at least one event class")

        def register(handler: Callable[[Any], HandlerResult]) -> Callable[[Any], HandlerResult]:
            for event in events:
                self._engine.dispatcher.on(event, handler)
            return handler

        return register

    def wait_for(self, predicate: Callable[[Message], bool], *, timeout: float | None = None) -> asyncio.Future[Message]:
        """Return a future of the next new message, of any conversation, that matches; it is armed when this returns.

        After `timeout` seconds it raises RequestTimeout; cancel it to stop waiting.
        """
        return self._engine.dispatcher.wait_for(None, predicate, timeout=timeout)

    @overload
    def events(self) -> EventStream[ClientEvent | Message]: ...
    @overload
    def events(self, kind: type[K1], /) -> EventStream[K1]: ...
    @overload
    def events(self, kind: type[K1], second: type[K2], /) -> EventStream[K1 | K2]: ...
    @overload
    def events(self, kind: type[K1], second: type[K2], third: type[K3], /) -> EventStream[K1 | K2 | K3]: ...
    @overload
    def events(self, *kinds: type[ClientEvent | Message]) -> EventStream[ClientEvent | Message]: ...
    def events(self, *kinds: type[Any]) -> EventStream[Any]:
        """Open a stream of new messages (`Message`) and events of these classes, or of all; it receives from now on.

        `async with client.events(timim.Message) as new: async for message in new: …`. It ends at logout.
        """
        return self._engine.dispatcher.open_stream(*kinds or (ClientEvent, Message))

    async def open(self) -> None:
        """Open the local store without logging in, so that local queries work. Raises StoreInUse, StorageError."""
        await self._engine.open()

    async def login(self, *, user_sig: str | None = None) -> None:
        """Log in, and stay logged in until `logout()`: a lost connection is restored. Return when new messages flow.

        `user_sig` is a new signature, after the old one has expired. When this raises, or is cancelled, the client is
        logged out, and can log in again; its local store stays open for local queries, until `close()`. A local store that
        turns out to be corrupt is replaced, as by `open()`.

        Raises:
            AuthError: the server refused the signature (70001 to 70014); give a new one.
            ConnectionFailed, RequestTimeout: the server cannot be reached, or did not answer in time; try again.
            InvalidArgument: the URL is not one of a websocket.
            StoreInUse: another process has this account's local store open.
            StorageError: the local store cannot be read or written.
        """
        if user_sig is not None:
            self._user_sig = user_sig
        await self._engine.login(self._user_sig)

    async def logout(self) -> None:
        """Log out. Unsent messages stay on disk and are sent after the next login.

        Running handlers finish first, however long they take (`wait_for` and `expect` in them raise NotLoggedIn);
        cancelling this cancels them.
        """
        await self._engine.logout()

    async def close(self) -> None:
        """Log out and close the local store."""
        await self._engine.close()

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
        key = self.conversation(type, peer).key
        engine = self._opened()
        listed = await engine.store.conversations.delete(key, messages=messages)
        engine.conversations.on_conversation_deleted(key, messages=messages)
        return listed

    async def search(
        self,
        words: str | None = None,
        *,
        sender: str | None = None,
        elem: ElemTypes | None = None,
        since: float | None = None,
        until: float | None = None,
        include_deleted: bool = False,
        count: int = 20,
        after: SearchCursor | None = None,
        fetch_missing: bool = False,
    ) -> SearchResult:
        """`Conversation.search` over all conversations that this device knows."""
        return await self._opened().search.search(
            words,
            key=None,
            sender=sender,
            elem=elem,
            since=since,
            until=until,
            include_deleted=include_deleted,
            count=count,
            after=after,
            fetch_missing=fetch_missing,
        )

    @property
    def unread(self) -> int:
        """How many messages are unread in all listed conversations but the muted ones."""
        return sum(conversation.unread for conversation in self.conversations if not conversation.muted)

    async def mark_all_read(self) -> None:
        """Everything that this device was told of is read, in every conversation. Raises NetworkError, NotLoggedIn."""
        rows = [row for row in await self._opened().store.conversations.all() if row.listed]
        last = [(row.key, max(row.last_seq, row.coverage.last)) for row in rows]
        unread = [(key, seq) for (key, seq), row in zip(last, rows, strict=True) if seq > row.read_seq]
        await self._engine.settings.mark_read(unread)

    def _opened(self) -> Engine:
        """Return the engine. Raises NotLoggedIn when the client is not open."""
        self._engine.store.check_open()
        return self._engine

    @property
    def engine(self) -> Engine:
        """The parts behind this client, for tools and tests; they may change in any version."""
        return self._engine

    def __repr__(self) -> str:
        connection = self._engine.connection
        state = "online" if connection.online else "offline" if connection.running else "logged out"
        return f"<Client {self.user_id} {state}, {self._engine.outbox.sending} sending>"
