"""A conversation: sending, history and settings with one peer or group.

The same (type, peer) is the same object in a client. Getting one does no I/O and does not add it to the conversation list.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from .elems import AnyElem, Progress
from .engine.conversations import ConversationState
from .engine.engine import Engine
from .engine.history import checked_count, seq_in
from .engine.recent_messages import LIMIT
from .errors import InvalidArgument, InvalidConversation, RequestTimeout
from .history import HistoryCoverage, Page
from .ids import ConversationKey, ConversationType, checked_user_id, conversation_key
from .local_store.fulltext import ElemTypes
from .message import ALL, Message, MessageStatus, OfflinePush, Priority
from .protocol.merger import merge_messages
from .replies import QuotedMessage, embed_quote
from .search import SearchCursor, SearchResult

__all__ = ["Conversation"]

PAGE = 100  # messages that `history` takes at once
DRAFT_LIMIT_BYTES = 12 * 1024  # as long as a message


class Conversation:
    """`client.c2c("bob")`, `client.group("TGID1JYSZEAEQ")`, `client.system()`."""

    __slots__ = ("_engine", "_state")

    def __init__(self, state: ConversationState, engine: Engine) -> None:
        self._state = state
        self._engine = engine

    @property
    def key(self) -> ConversationKey:
        """Type and peer: the identity of the conversation."""
        return self._state.key

    @property
    def unread(self) -> int:
        """The number of unread messages."""
        return self._state.unread

    @property
    def mentioned(self) -> int:
        """The number of unread messages that mention this account, or everybody."""
        return self._state.mentioned

    @property
    def peer_read_seq(self) -> int:
        """In C2C: the seq up to which the peer has read; 0 before the peer told."""
        return self._state.peer_read_seq

    @property
    def pinned(self) -> bool:
        """Whether the conversation is kept above the others in the list."""
        return self._state.pinned_at > 0

    @property
    def muted(self) -> bool:
        """Whether new messages come without a notification and do not count in `client.unread`."""
        return self._state.muted

    @property
    def draft(self) -> str:
        """The draft, "" for none."""
        return self._state.draft

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
        return self._state.recent.newest

    async def send(
        self,
        *parts: str | AnyElem | Message,
        push: OfflinePush | None = None,
        progress: Progress | None = None,
        priority: Priority = Priority.NORMAL,
        timeout: float | None = None,
        mention: Sequence[str] = (),
        reply_to: Message | None = None,
        request_receipt: bool = False,
    ) -> Message:
        """Send text, elems, or one Message; returns it once the server has stored and numbered it.

        `mention`: user ids, or `timim.ALL`, at most 30; everybody by the owner and admins only (10007). `reply_to`: a
        message that this one quotes. `request_receipt`: its readers are counted (`message.read_receipt_count`,
        `message.readers()`); mentions and receipts are for groups (InvalidConversation), receipts for those of up to 200
        members (10004).

        The row is on disk before the first byte leaves. Without a connection it waits, in order, and goes out after
        the next login, also of a later process; `timeout` (seconds) ends the waiting with RequestTimeout, cancelling
        ends it too, and the message still goes out once: `message.status` and the queries tell what became of it.

        Raises InvalidArgument and its kinds (nothing stored), MediaError, ServerRefused (status 3), NotLoggedIn,
        StorageError. Source: 消息发送.
        """
        message = self._message(parts)
        self._ask_for(message, mention, reply_to, request_receipt=request_receipt)
        message.priority = priority
        sending = self._opened().outbox.send(self.key, message, progress=progress, push=push)
        if timeout is None:
            sent = await sending
        else:
            try:
                async with asyncio.timeout(timeout):
                    sent = await sending
            except TimeoutError as exc:
                raise RequestTimeout(f"no ack within {timeout} s; the message {message.msg_id} stays queued") from exc
        self._state.recent.add(sent)
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
        return await self._opened().outbox.send_online(self.key, self._message(parts))

    async def forward(
        self,
        messages: Sequence[Message],
        *,
        title: str,
        to: Conversation | None = None,
        abstracts: Sequence[str] | None = None,
        compatible_text: str = "",
    ) -> Message:
        """Send messages as one MergerElem, oldest first as given, `to` another conversation or to this one.

        `abstracts`: lines that show what is in it; None makes them of the first three. Raises InvalidArgument for none or
        more than 300 messages, or one that was recalled or not sent; InvalidElem past 100 layers; and as `send`.
        """
        merger = merge_messages(messages, title=title, abstracts=abstracts, compatible_text=compatible_text)
        return await (to or self).send(merger)

    async def get_messages(self, count: int = 20, *, before: Message | None = None, after: Message | None = None) -> Page:
        """Return the newest `count` (1 to 1000) before `before`, or the oldest after `after`, newest first, without gaps.

        `before` and `after` are exclusive. What this device holds is not asked for; offline, the page holds the proven
        part and `complete` is False. Source: 获取会话漫游消息.
        """
        history = self._opened().history
        if after is None:
            return await history.page_before(self.key, count, before)
        if before is not None:
            raise InvalidArgument("give before= or after=, not both")
        return await history.page_after(self.key, count, after)

    async def get_local_messages(self, count: int = 20, *, before: Message | None = None) -> Page:
        """Return stored messages, newest first; no network, works logged out. The page may span gaps: see `page.complete`."""
        return await self._opened().history.local_page(self.key, count, before)

    def get_cached_messages(self, count: int = LIMIT, *, before: Message | None = None) -> list[Message]:
        """Return the last messages in memory, newest first, at most 20, deleted ones included; no I/O at all.

        After a login it is the last one of each conversation, and what came since; empty while the client has not been
        online since its start, and without `recent_contacts` until a message comes (source: 同步获取会话最后的消息).
        """
        if checked_count(count) > LIMIT:
            raise InvalidArgument(f"count must be at most {LIMIT}, not {count}")
        held = self._state.recent.all()
        if before is not None:
            ids = [message.local_id for message in held]
            at = ids.index(before.local_id) + 1 if before.local_id in ids else 0
            held = held[at:] if at else [message for message in held if 0 < message.seq < before.seq]
        return held[:count]

    async def history(
        self,
        *,
        limit: int | None = None,
        oldest_first: bool = False,
        since: float | None = None,
        until: float | None = None,
        include_deleted: bool = False,
    ) -> AsyncIterator[Message]:
        """All messages, newest first, fetched as they are needed; ends at the last one, or where what is held ends.

        `since` and `until` (server seconds, both included) bound it; `limit` (0 or more) counts what is yielded.
        """
        if limit is not None and limit < 0:
            raise InvalidArgument(f"limit must be 0 or more, not {limit}")
        left = limit
        async for message in self._oldest_first(since) if oldest_first else self._newest_first(until):
            if left == 0:
                return
            early = since is not None and message.timestamp < since
            late = until is not None and message.timestamp > until
            if message.seq and (late if oldest_first else early):
                return  # numbers and times rise together; what has no number yet is dated by this device
            if not early and not late and (message.status is not MessageStatus.DELETED or include_deleted):
                yield message
                left = left - 1 if left is not None else None

    async def _newest_first(self, until: float | None) -> AsyncIterator[Message]:
        history = self._opened().history
        before: Message | int | None = await history.seq_at(self.key, until) + 1 if until is not None else None
        while page := await history.page_before(self.key, PAGE, before):
            for message in page:
                yield message
            before = page[-1]

    async def _oldest_first(self, since: float | None) -> AsyncIterator[Message]:
        history = self._opened().history
        after: Message | int = await history.seq_at(self.key, math.ceil(since) - 1) if since is not None else 0
        while page := await history.page_after(self.key, PAGE, after):
            for message in reversed(page):
                yield message
            after = page[0]

    async def fetch_missing(self, progress: Callable[[int, int], None] | None = None) -> HistoryCoverage:
        """Fetch all history that this device does not hold, the newest first; returns what is held then.

        `progress(done, total)` counts seqs. Nothing of it is thrown by on_new_message. Raises NetworkError, NotLoggedIn,
        NotAMember; what came until then is kept, also when it is cancelled: call it again.
        """
        return await self._opened().history.fetch_missing(self.key, progress)

    async def coverage(self) -> HistoryCoverage:
        """Return the intervals of seqs that this device has, and the gaps; no network."""
        return await self._opened().history.coverage(self.key)

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
        """Return the newest `count` (1 to 1000) stored messages that have all of `words`; no network unless `fetch_missing`.

        Letters match whole words, whatever their case; Chinese, Japanese and Korean any run of characters; `invo*` all
        words that begin so. `elem`: messages with such an elem, also without words; `since` and `until` are server
        seconds, both included. `after`: a result's `next`. `fetch_missing` first fetches the missing messages, at most 10,000.

        Raises InvalidArgument for nothing to look for, StorageError. See docs/how-to/search_history.md.
        """
        return await self._opened().search.search(
            words,
            key=self.key,
            sender=sender,
            elem=elem,
            since=since,
            until=until,
            include_deleted=include_deleted,
            count=count,
            after=after,
            fetch_missing=fetch_missing,
        )

    async def mark_read(self, upto: Message | None = None) -> None:
        """Everything held is read, or all up to a message; other devices, the peer and a relogin know it.

        Raises NetworkError, NotLoggedIn, InvalidArgument for a message of another conversation, or one without a number.
        """
        engine = self._opened()
        seq = seq_in(self.key, upto) if upto is not None else (await engine.store.conversations.coverage(self.key)).last
        if seq:
            await engine.settings.mark_read([(self.key, seq)])

    async def set_pinned(self, pinned: bool) -> None:
        """Keep the conversation above the others in the list, or no longer, on all devices.

        Raises NetworkError, NotLoggedIn, NotAMember; nothing has changed then.
        """
        await self._opened().settings.set_flags(self.key, pinned=pinned)

    async def set_muted(self, muted: bool) -> None:
        """Mute or unmute the conversation on all devices; see `muted`. Raises the errors of `set_pinned`."""
        await self._opened().settings.set_flags(self.key, muted=muted)

    async def set_draft(self, text: str) -> None:
        """Keep a draft ("": none), on this device at once, on the others as soon as there is a connection.

        At most 12 KB (InvalidArgument). Of two devices the one that wrote last wins.
        """
        engine = self._opened()
        if (size := len(text.encode())) > DRAFT_LIMIT_BYTES:
            raise InvalidArgument(f"a draft of {size} bytes is over the limit of {DRAFT_LIMIT_BYTES}")
        await engine.settings.set_draft(self.key, text)

    def wait_for(self, predicate: Callable[[Message], bool], *, timeout: float | None = None) -> asyncio.Future[Message]:
        """Return a future of the next new message here that matches; it is armed when this returns.

        After `timeout` seconds it raises RequestTimeout; cancel it to stop waiting.
        """
        return self._opened().dispatcher.wait_for(self.key, predicate, timeout=timeout)

    @asynccontextmanager
    async def expect(
        self, predicate: Callable[[Message], bool], *, timeout: float | None = None
    ) -> AsyncIterator[asyncio.Future[Message]]:
        """Give the body a future of the next new message here that matches; it is armed before the body runs.

        `async with conv.expect(pred, timeout=5) as got: await conv.send(…)`, then `await got`. The time counts from
        entering; after it the future raises RequestTimeout.
        """
        future = self.wait_for(predicate, timeout=timeout)
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

    def _ask_for(self, message: Message, mention: Sequence[str], reply_to: Message | None, *, request_receipt: bool) -> None:
        """Set mentions, quote and receipt request. Raises InvalidArgument, InvalidConversation; nothing is changed then."""
        if isinstance(mention, str):
            raise InvalidArgument("mention= is a list of user ids")
        if message.status is not None or not (mention or reply_to or request_receipt):
            return  # one that was sent before is refused by the outbox
        if mention or request_receipt:
            self._only(ConversationType.GROUP, "mentions and receipts are for groups")
        users = tuple(dict.fromkeys(user if user == ALL else checked_user_id(user) for user in mention))
        if reply_to is not None:
            quote = QuotedMessage(
                seq_in(self.key, reply_to), reply_to.msg_id, reply_to.sender, reply_to.push_text, reply_to.timestamp
            )
            message.cloud_custom_data = embed_quote(quote, message.cloud_custom_data)
        message.mentions, message.receipt_requested = users, request_receipt

    def _only(self, type: ConversationType, rule: str) -> None:
        if self.type is not type:
            raise InvalidConversation(f"{rule}; this is {self.key}")

    def _opened(self) -> Engine:
        """Return the engine. Raises NotLoggedIn when the client is not open."""
        self._engine.store.check_open()
        return self._engine

    def __repr__(self) -> str:
        return f"<Conversation {self.key}, {self.unread} unread>"


class ConversationRegistry:
    """The conversation objects of a client: one for each (type, peer), for as long as the client lives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._conversations: dict[ConversationKey, Conversation] = {}

    def get(self, type: ConversationType, peer: str) -> Conversation:
        """Return the conversation of this type and peer. Raises InvalidArgument for a peer that cannot exist."""
        if type.__class__ is ConversationType and peer.__class__ is str:
            known = self._conversations.get(ConversationKey(type, peer))
            if known is not None:
                return known  # its names were checked when it was new
        return self.of(self._engine.conversations.get(conversation_key(type, peer)))

    def of(self, state: ConversationState) -> Conversation:
        """Return the conversation with this state."""
        found = self._conversations.get(state.key)
        if found is None:
            found = self._conversations[state.key] = Conversation(state, self._engine)
        return found
