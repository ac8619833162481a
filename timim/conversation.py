"""A conversation: what one does with a peer or a group. The same (type, peer) is the same object in a client.

Getting one does no I/O and does not put it into the conversation list; a message does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .elems import AnyElem, Progress
from .engine.dispatcher import Dispatcher
from .engine.fetcher import Fetcher
from .engine.history import History, Page, checked_count
from .engine.outbox import Outbox
from .errors import InvalidArgument, InvalidConversation, RequestTimeout
from .ids import ConversationKey, ConversationType
from .message import Message, MessageStatus, OfflinePush, Priority
from .net.connection import Connection
from .storage import LocalStore
from .wire import messages as wire
from .wire.coverage import Coverage

CACHE_LIMIT = 20  # source: 同步获取会话最后的消息


@dataclass(frozen=True, slots=True)
class Engine:
    """The parts that conversations work with; a client makes them, and gives no more of itself."""

    store: LocalStore
    connection: Connection
    outbox: Outbox
    history: History
    dispatcher: Dispatcher
    fetcher: Fetcher
    timeout_s: float


class Conversation:
    """`client.c2c("bob")`, `client.group("TGID1JYSZEAEQ")`, `client.system()`."""

    def __init__(self, key: ConversationKey, engine: Callable[[], Engine]) -> None:
        self.key = key
        self._engine = engine
        self._cache: deque[Message] = deque(maxlen=CACHE_LIMIT)  # newest first
        self.unread = 0

    @property
    def type(self) -> ConversationType:
        """C2C, GROUP or SYSTEM."""
        return self.key.type

    @property
    def peer(self) -> str:
        """The other user's id, or the group's."""
        return self.key.peer

    @property
    def last_message(self) -> Message | None:
        """The newest message of this session's cache; None before one arrived."""
        return self._cache[0] if self._cache else None

    async def send(
        self,
        *parts: str | AnyElem | Message,
        push: OfflinePush | None = None,
        progress: Progress | None = None,
        priority: Priority = Priority.NORMAL,
        timeout: float | None = None,
    ) -> Message:
        """Send text, elems, or one Message; returns it once the server has stored and numbered it.

        The row is on disk before the first byte leaves. Without a connection it waits, in order, and goes out after
        the next login, also of a later process; `timeout` (seconds) ends the waiting with RequestTimeout, cancelling
        ends it too, and the message still goes out once: `message.status` and the queries tell what became of it.

        Raises InvalidArgument and its kinds (nothing stored), MediaError, ServerRefused (status 3), NotLoggedIn,
        StorageError. Source: 消息发送.
        """
        message = self._message(parts)
        message.priority = priority
        try:
            async with asyncio.timeout(timeout):
                sent = await self._engine().outbox.send(self.key, message, progress=progress, push=push)
        except TimeoutError as exc:
            raise RequestTimeout(f"no ack within {timeout} s; the message {message.msg_id} stays queued") from exc
        self._noticed(sent)
        return sent

    async def send_red_packet(self, *parts: str | AnyElem | Message, timeout: float | None = None) -> Message:
        """Send to a group with HIGH priority. Raises InvalidConversation in C2C (source: 针对群组的红包和点赞消息)."""
        self._only(ConversationType.GROUP, "red packets go to groups")
        return await self.send(*parts, priority=Priority.HIGH, timeout=timeout)

    async def send_like(self, *parts: str | AnyElem | Message, timeout: float | None = None) -> Message:
        """Send to a group with LOW priority. Raises InvalidConversation in C2C."""
        self._only(ConversationType.GROUP, "likes go to groups")
        return await self.send(*parts, priority=Priority.LOW, timeout=timeout)

    async def send_online(self, *parts: str | AnyElem | Message) -> Message:
        """Send to the peer's devices that are online now; stored nowhere, numbered nowhere (source: 在线消息).

        Raises InvalidConversation for a group, ConnectionFailed when not connected at the moment.
        """
        self._only(ConversationType.C2C, "online messages go to one user")
        return await self._engine().outbox.send_online(self.key, self._message(parts))

    async def get_messages(self, count: int = 20, *, before: Message | None = None) -> Page:
        """The newest `count` (1 to 1000) before `before` (exclusive), newest first, without holes.

        What this device holds is not asked for; offline, the page holds the proven part and `complete` is False.
        Source: 获取会话漫游消息.
        """
        return await self._engine().history.roaming(self.key, count, before)

    async def get_local_messages(self, count: int = 20, *, before: Message | None = None) -> Page:
        """What this device holds, newest first; no network, works logged out. May span holes: see `page.complete`."""
        return await self._engine().history.local(self.key, count, before)

    def get_cached_messages(self, count: int = CACHE_LIMIT) -> list[Message]:
        """The last messages of this session, newest first, at most 20, deleted ones included; no I/O at all."""
        if checked_count(count) > CACHE_LIMIT:
            raise InvalidArgument(f"count must be at most {CACHE_LIMIT}, not {count}")
        return list(self._cache)[:count]

    async def history(self, *, limit: int | None = None, include_deleted: bool = False) -> AsyncIterator[Message]:
        """All messages, newest first, fetched as they are needed; ends at the beginning, or where what is held ends."""
        before: Message | None = None
        left = limit
        while left is None or left > 0:
            page = await self.get_messages(100, before=before)
            for message in page:
                if message.status is MessageStatus.DELETED and not include_deleted:
                    continue
                yield message
                if left is not None:
                    left -= 1
                    if left == 0:
                        return
            if len(page) == 0 or not page.complete or page[-1].seq == 1:
                return
            before = page[-1]

    async def coverage(self) -> Coverage:
        """The seqs that this device holds, as closed intervals."""
        return await self._engine().store.coverage(self.key)

    async def mark_read(self) -> None:
        """Everything held is read; other devices and a relogin know it. Raises NetworkError, NotLoggedIn."""
        engine = self._engine()
        seq = (await engine.store.coverage(self.key)).last
        if not seq:
            return
        link = engine.connection.link()
        match self.type:
            case ConversationType.C2C:
                item = wire.ReadItem(to_account=self.peer, read_seq=seq)
                body = wire.ReadC2C(read=wire.ReadItems(items=[item]))
                await link.call(wire.READ_C2C, body, timeout_s=engine.timeout_s)
            case ConversationType.GROUP:
                group = wire.ReadGroup(group_id=self.peer, read_seq=seq)
                await link.call(wire.READ_GROUP, group, timeout_s=engine.timeout_s)
            case ConversationType.SYSTEM:
                await link.call(wire.READ_SYSTEM, wire.ReadSystem(read_seq=seq), timeout_s=engine.timeout_s)
        await engine.store.set_read(self.key, seq)
        self.unread = await engine.store.unread(self.key)

    @asynccontextmanager
    async def expect(
        self, matches: Callable[[Message], bool], *, timeout: float | None = None
    ) -> AsyncIterator[asyncio.Future[Message]]:
        """A future for the next new message here that matches, armed before the body runs.

        `async with conv.expect(pred, timeout=5) as got: await conv.send(…)`, then `await got`. The time counts from
        entering; after it the future raises RequestTimeout.
        """
        future = self._engine().dispatcher.wait_for(self.key, matches)
        loop = asyncio.get_running_loop()
        error = RequestTimeout(f"no such message within {timeout} s")
        timer = loop.call_later(timeout, _fail, future, error) if timeout is not None else None
        if timer is not None:
            future.add_done_callback(lambda _: timer.cancel())
        try:
            yield future
        except BaseException:
            future.cancel()
            raise

    def _message(self, parts: tuple[str | AnyElem | Message, ...]) -> Message:
        if self.type is ConversationType.SYSTEM:
            raise InvalidConversation("nobody can send to the system conversation")
        if len(parts) == 1 and isinstance(parts[0], Message):
            return parts[0]
        message = Message()
        for part in parts:
            if isinstance(part, Message):
                raise InvalidArgument("send one Message, or strings and elems, not both")
            message.add(part)
        return message

    def _only(self, type: ConversationType, rule: str) -> None:
        if self.type is not type:
            raise InvalidConversation(f"{rule}; this is {self.key}")

    def _noticed(self, message: Message) -> None:
        """Keep it among the last messages, in the order of seqs."""
        if any(held.local_id == message.local_id and message.local_id for held in self._cache):
            return
        held = sorted((*self._cache, message), key=lambda m: (m.seq or 1 << 62, m.local_id), reverse=True)
        self._cache = deque(held[:CACHE_LIMIT], maxlen=CACHE_LIMIT)

    def __repr__(self) -> str:
        return f"<Conversation {self.key}, {self.unread} unread>"


def _fail(future: asyncio.Future[Message], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
