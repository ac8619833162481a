"""The client: one account on one device. It opens and closes, logs in and out, and gives conversations."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from .conversation import Conversation, Engine
from .elems import TextElem
from .engine.actions import Actions
from .engine.attachments import Attachments
from .engine.binding import MessageBinder
from .engine.conversation_settings import Marking
from .engine.conversations import Roster
from .engine.dispatcher import Dispatcher, EventStream
from .engine.engine import wired
from .engine.facts import Facts
from .engine.inbox import Inbox
from .engine.message_actions import Acting
from .engine.push_router import Pushes
from .engine.session import Login
from .errors import InvalidArgument, NotLoggedIn, StoreCorrupted, TimimError
from .events import StoreReplaced
from .friends import Friends
from .groups import Groups
from .ids import ConversationKey, ConversationType, checked_user_id, conversation_key
from .local_store.fulltext import ElemTypes
from .message import Message
from .profiles import OwnProfile, Profiles
from .protocol import session
from .protocol.backoff import Backoff
from .search import SearchCursor, SearchResult
from .storage import LocalStore
from .transport.connection import Connection
from .transport.media_cache import MediaCache
from .transport.media_transfer import MediaTransfer

log = logging.getLogger("timim")
Platform = Literal["desktop", "mobile", "pad", "web", "other"]
MessagesHandler = TypeVar("MessagesHandler", bound=Callable[[list[Message]], Awaitable[None] | None])
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[None] | None])


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
        self.user_id = checked_user_id(user_id)
        for name, seconds in (("timeout", timeout), ("reconnect_limit", reconnect_limit)):
            if seconds <= 0:
                raise InvalidArgument(f"{name} must be more than 0 seconds, not {seconds}")
        if media_cache_bytes < 0:
            raise InvalidArgument(f"media_cache_bytes must not be less than 0, but is {media_cache_bytes}")
        if platform not in session.PLATFORMS:
            raise InvalidArgument(f"platform must be one of {', '.join(session.PLATFORMS)}, not {platform!r}")
        self._user_sig = user_sig
        self._recent_contacts = recent_contacts
        self._resend = resend
        self._timeout_s = timeout
        self._folder = _folder(data_dir, app_id, self.user_id)
        self._dispatcher = Dispatcher()
        self._store = LocalStore(self._folder and self._folder / "messages.db")
        self._engine: Engine | None = None
        self._inbox: Inbox | None = None
        self._pushes: Pushes | None = None
        self._acting: Acting | None = None
        self._instance = f"{random.getrandbits(63):x}"
        self._open = False
        self._connection = Connection(
            url,
            app_id=app_id,
            user_id=self.user_id,
            user_sig=lambda: self._user_sig,
            instance=lambda: self._instance,
            platform=platform,
            on_push=self._on_push,
            on_up=self._on_up,
            on_down=self._on_down,
            on_stale=self._on_stale,
            timeout_s=timeout,
            backoff=Backoff(limit_s=reconnect_limit),
            now=now,
        )
        self._transfer = MediaTransfer(
            self._connection.server_info,
            timeout_s=timeout,
            cache=MediaCache(self._folder and self._folder / "cache", media_cache_bytes) if media_cache_bytes else None,
        )
        self._content = Attachments(self._transfer, self._folder and self._folder / "outgoing")
        self.groups = Groups(self._connection, self.group)
        self.friends = Friends(self._connection)
        self.profiles = Profiles(self._connection)
        self.profile = OwnProfile(self._connection, self.profiles, self.user_id)
        self._roster = Roster(
            self._store,
            self._dispatcher,
            user_id=self.user_id,
            engine=self._parts,
            bind=self._bind,
            profile=self.profiles.changed,
        )
        self.conversations = self._roster.listed
        self._actions = Actions(self._store, gone=self._roster.gone, changed=self._roster.touched, acting=self._acting_now)
        self._binder = MessageBinder(self._actions, self._content)
        self._marking = Marking(self._store, self._connection, read=self._roster.read, tell=self._roster.told)
        self._login = Login(self._connection, self._roster, self._dispatcher, recent_contacts=recent_contacts)
        self._facts = Facts(self._marking, own=self._login.own)

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
        if type.__class__ is ConversationType and peer.__class__ is str:
            known = self._roster.find(ConversationKey(type, peer))
            if known is not None:
                return known  # its names were looked at when it was new
        return self._roster.of(conversation_key(type, peer))

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

    def wait_for(self, predicate: Callable[[Message], bool], *, timeout: float | None = None) -> asyncio.Future[Message]:
        """A future for the next new message, of any conversation, that matches; armed when this returns.

        After `timeout` seconds it raises RequestTimeout; cancel it to stop waiting.
        """
        return self._dispatcher.wait_for(None, predicate, timeout=timeout)

    def events(self, *kinds: type[Any]) -> EventStream:
        """A stream of new messages (`Message`) and events, of these classes or of all; it hears from now on.

        `async with client.events(timim.Message) as new: async for message in new: …`. It ends at logout.
        """
        return self._dispatcher.stream(*kinds)

    async def open(self) -> None:
        """Open the local store without logging in: local queries work."""
        if self._open:
            return
        if not TextElem.__pydantic_complete__:  # for the first elem pydantic looks for plugins in all that is installed
            await asyncio.to_thread(TextElem.model_rebuild)
        await self._store.open()
        self._open = True
        try:
            self._instance = await self._store.meta("instance", self._instance)
            parts = wired(
                self._store,
                self._connection,
                self._dispatcher,
                user_id=self.user_id,
                recent_contacts=self._recent_contacts,
                timeout_s=self._timeout_s,
                roster=self._roster,
                marking=self._marking,
                content=self._content,
                login=self._login,
                facts=self._facts,
                bind=self._bind,
            )
            self._engine, self._inbox = parts.engine, parts.inbox
            self._pushes, self._acting = parts.pushes, parts.acting
            await self._roster.load()
            await self._content.remove_orphans(await self._store.outgoing())
            if self._store.set_aside is not None:
                log.warning("the local store was not whole: it lies at %s now", self._store.set_aside)
                self._dispatcher.event(StoreReplaced(self._store.set_aside))
        except BaseException:
            await self.close()
            raise

    async def login(self, *, user_sig: str | None = None) -> None:
        """Log in, and stay so: a lost link is found again, until `logout()`. Returns when new messages begin to flow.

        `user_sig`: a new signature, when the old one has expired. When it raises, or is cancelled, the client is logged
        out, and may try again. A store that turns out not to be whole is set aside, as by `open()`.
        """
        if user_sig is not None:
            self._user_sig = user_sig
        await self.open()
        if self._connection.running:
            return
        try:
            await self._enter()
        except StoreCorrupted:
            await self.close()
            await self.open()
            await self._enter()

    async def _enter(self) -> None:
        await self._login.rest()  # what a login that ended by itself left running
        assert self._inbox is not None
        assert self._engine is not None
        try:
            await self._login.enter(self._inbox)
            if self._resend:
                await self._engine.outbox.resume()
            else:
                await self._engine.outbox.resolve(self._engine.history.hold)
            self._login.own(self._marking.send_drafts(), "timim drafts")
        except BaseException:
            await self.logout()
            raise

    async def logout(self) -> None:
        """Log out. What is unsent stays on disk and goes out after the next login.

        Handlers under way finish first, however long they take (`wait_for` and `expect` in them raise NotLoggedIn);
        cancelling this cancels them.
        """
        await self._connection.stop()
        if self._engine is not None:
            await self._engine.outbox.close()
        await self._login.rest()
        await self._dispatcher.drain()

    async def close(self) -> None:
        """Log out and close the local store."""
        if not self._open:
            return
        try:
            await self.logout()
        finally:
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
            conversation._emptied()
        return existed

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
        return await self._parts().search.search(
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
        rows = [row for row in await self._parts().store.known() if row.listed]
        last = [(row.key, max(row.last_seq, row.coverage.last)) for row in rows]
        unread = [(key, seq) for (key, seq), row in zip(last, rows, strict=True) if seq > row.read_seq]
        await self._marking.mark_read(unread)

    def _parts(self) -> Engine:
        if self._engine is None:
            raise NotLoggedIn("the client is not open: log in first, or open() it for local queries")
        return self._engine

    def _bind(self, message: Message) -> Message:
        return self._binder.bind(message)

    def _on_push(self, push: session.DecodedPush) -> None:
        assert self._pushes is not None
        self._pushes.receive(push)

    def _on_up(self, reply: session.LoginReply) -> None:
        self._login.up(reply)

    def _on_down(self, error: TimimError, final: bool) -> None:
        self._login.down(error, final)

    def _on_stale(self) -> None:
        self._login.stale()

    def _acting_now(self) -> Acting:
        if self._acting is None:
            raise NotLoggedIn("the client is not open: log in first")
        return self._acting

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
