"""The history of one conversation: pages, iteration, coverage and search. The base class of Conversation."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable

from ..errors import InvalidArgument
from ..ids import ConversationKey, UserId
from ..local_store.fulltext import ElemTypes
from ..message import Message, MessageStatus
from ..results.dataframes import DataFrame, dataframe_of
from ..results.history import HistoryCoverage, Page
from ..results.search import SearchCursor, SearchResult
from ..util.arguments import Number, Text, Timestamp, checked
from ..util.displayed import Displayed
from ..util.read_only import refusing
from .conversations import ConversationState
from .engine import Engine
from .history import checked_count
from .recent_messages import LIMIT

PAGE = 100  # messages that `history` fetches at once


@refusing("take another conversation of the client")
@checked(InvalidArgument)
class ConversationHistory(Displayed):
    """History and search of one conversation."""

    __slots__ = ("_engine", "_state")

    def __init__(self, state: ConversationState, engine: Engine) -> None:
        self._state = state
        self._engine = engine

    @property
    def key(self) -> ConversationKey:
        """The type and the peer, which identify the conversation."""
        return self._state.key

    async def get_messages(self, count: Number = 20, *, before: Message | None = None, after: Message | None = None) -> Page:
        """Return a page of messages without gaps, newest first, fetching from the server the ones not stored locally.

        Without a connection the page has only messages without a gap between them, and its `complete` is False. Cancelling
        keeps the messages that were fetched. Tencent IM SDK guide, 获取会话漫游消息.

        Args:
            count: Number of messages, 1 to 1000.
            before: Return the newest messages before this one; None returns the newest of all.
            after: Return the oldest messages after this one.

        Raises:
            InvalidArgument: `count` is out of range, both `before` and `after` are given, or one is of another conversation.
            NotLoggedIn: The client is not open.
            ServerRefused: The server refused the request, as with NotAMember.
            StorageError: The local store failed.
        """
        history = self._opened().history
        if after is None:
            return await history.page_before(self.key, count, before)
        if before is not None:
            raise InvalidArgument("give before= or after=, not both")
        return await history.page_after(self.key, count, after)

    async def get_local_messages(self, count: Number = 20, *, before: Message | None = None) -> Page:
        """Return a page of locally stored messages, newest first, without the network and also when logged out.

        The page can span gaps in the local history; see `page.complete`.

        Raises:
            InvalidArgument: `count` is not 1 to 1000, or `before` is of another conversation.
            NotLoggedIn: The client is not open.
            StorageError: The local store failed.
        """
        return await self._opened().history.local_page(self.key, count, before)

    def get_cached_messages(self, count: Number = LIMIT, *, before: Message | None = None) -> list[Message]:
        """Return up to 20 of the last messages from memory, newest first, deleted ones included, without I/O.

        The memory has the last message of the conversation at login and the messages since. It is empty before the first
        login and, without `recent_contacts`, until a message arrives (Tencent IM SDK guide, 同步获取会话最后的消息).

        Raises:
            InvalidArgument: `count` is not 1 to 20.
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
        limit: Number | None = None,
        oldest_first: bool = False,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
        include_deleted: bool = False,
    ) -> AsyncIterator[Message]:
        """Iterate over all messages, newest first, fetching pages as they are needed.

        The iteration ends only where this device knows no further message: a missing part that cannot be fetched raises.
        Without a connection the newest messages on this device count as the newest of all. Ending or cancelling the
        iteration early keeps the messages that were fetched.

        Args:
            limit: Largest number of messages to yield; None for no limit.
            oldest_first: True iterates from the oldest message on.
            since: First time to include, in server seconds.
            until: Last time to include, in server seconds.
            include_deleted: True yields messages that are marked as deleted too.

        Raises:
            InvalidArgument: `limit` is negative.
            NotLoggedIn: The client is not open, or it is logged out and messages are missing on this device.
            ServerRefused: The server refused a request, as with NotAMember.
            NetworkError: Messages are missing on this device, and the server did not answer or there is no connection.
                Iterate again later; messages on this device are returned by `get_local_messages` meanwhile.
            StorageError: The local store failed.
        """
        if limit is not None and limit < 0:
            raise InvalidArgument(f"limit must be 0 or more, not {limit}")
        if limit == 0:
            return
        left = limit
        async for message in self._oldest_first(since) if oldest_first else self._newest_first(until):
            early = since is not None and message.timestamp < since
            late = until is not None and message.timestamp > until
            if message.seq and (late if oldest_first else early):
                return  # seqs and server times rise together; a message without a seq has this device's time
            if not early and not late and (message.status is not MessageStatus.DELETED or include_deleted):
                yield message
                left = left - 1 if left is not None else None
                if left == 0:
                    return  # before the next page is fetched

    async def to_dataframe(
        self,
        *,
        limit: Number | None = 10_000,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
        include_deleted: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> DataFrame:
        """Return the newest messages as a data frame of pandas, the oldest first, fetching pages as they are needed.

        docs/how-to/analyse_messages.md has the columns. Cancelling keeps the messages that were fetched.

        Args:
            limit: Largest number of messages; None for no limit.
            since: First time to include, in server seconds.
            until: Last time to include, in server seconds.
            include_deleted: True includes messages that are marked as deleted.
            progress: Called with the number of messages read, and the largest number: `limit`, or the last seq if that is
                lower. It is called a last time with the number of messages in both places.

        Raises:
            InvalidArgument: `limit` is negative, or pandas is not installed; install `timim[dataframe]`.
            TimimError: The errors of `history`.
        """
        last = self._state.recent.shown
        most = min(limit, last.seq) if limit is not None and last is not None and last.seq else limit or 0
        found: list[Message] = []
        async for message in self.history(limit=limit, since=since, until=until, include_deleted=include_deleted):
            found.append(message)
            if progress is not None and len(found) % PAGE == 0:
                progress(len(found), max(most, len(found)))
        if progress is not None:
            progress(len(found), len(found))
        return await dataframe_of(found)

    async def _newest_first(self, until: float | None) -> AsyncIterator[Message]:
        history = self._opened().history
        before: Message | int | None = await history.seq_at(self.key, until) + 1 if until is not None else None
        while page := await history.next_before(self.key, PAGE, before):
            for message in page:
                yield message
            before = page[-1]

    async def _oldest_first(self, since: float | None) -> AsyncIterator[Message]:
        history = self._opened().history
        after: Message | int = await history.seq_at(self.key, math.ceil(since) - 1) if since is not None else 0
        while page := await history.next_after(self.key, PAGE, after):
            for message in reversed(page):
                yield message
            after = page[0]

    async def fetch_missing(self, progress: Callable[[int, int], None] | None = None) -> HistoryCoverage:
        """Fetch and store all history that this device is missing, the newest first, and return the coverage.

        The fetched messages are not delivered to handlers. Messages fetched before an error or a cancellation remain stored;
        call again to continue.

        Args:
            progress: Called with the number of seqs done and the number of seqs in all.

        Raises:
            InvalidArgument: 4096 requests wait for replies already.
            NetworkError: The server did not answer.
            NotLoggedIn: The client is not logged in.
            NotAMember: This account is not in the group.
            ServerRefused: The server refused the request for another reason.
            StorageError: The local store failed.
        """
        return await self._opened().history.fetch_missing(self.key, progress)

    async def coverage(self) -> HistoryCoverage:
        """Return the intervals of seqs that are stored locally, and the gaps, without the network.

        Raises:
            NotLoggedIn: The client is not open.
            InvalidArgument: The client belongs to another event loop.
            StorageError: The local store failed.
        """
        return await self._opened().history.coverage(self.key)

    async def search(
        self,
        words: Text | None = None,
        *,
        sender: UserId | None = None,
        elem: ElemTypes | None = None,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
        include_deleted: bool = False,
        count: Number = 20,
        after: SearchCursor | None = None,
        fetch_missing: bool = False,
    ) -> SearchResult:
        """Return the newest locally stored messages that contain all of `words`; see docs/how-to/search_history.md.

        Words match whole words, ignoring case; `invo*` matches the words with this beginning. Chinese, Japanese and
        Korean words match any sequence of characters. Cancelling keeps the messages that were fetched.

        Args:
            words: Words that the text must contain; None if `elem` is enough.
            sender: Search messages of this user only.
            elem: Search messages with an elem of this class, or of one of these classes.
            since: First time to include, in server seconds.
            until: Last time to include, in server seconds.
            include_deleted: True finds messages that are marked as deleted too.
            count: Number of messages, 1 to 1000.
            after: The `next` of a result, to get the next page.
            fetch_missing: True first fetches up to 10,000 messages that are not stored locally.

        Raises:
            InvalidArgument: There is nothing to search for, or `count` is out of range.
            NotLoggedIn: The client is not open.
            StorageError: The local store failed.
            NetworkError: With `fetch_missing`, the server did not answer.
            ServerRefused: With `fetch_missing`, the server refused a request.
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

    def _opened(self) -> Engine:
        """Return the engine of an open client.

        Raises:
            NotLoggedIn: The client is not open.
            InvalidArgument: The client belongs to another event loop.
        """
        self._engine.check_open()
        return self._engine
