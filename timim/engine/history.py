"""Pages of history: covered seqs are read from the local store, missing ones are fetched from the server.

Invariant: the seqs of a page have no gap between them. A page ends where a covered interval ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..errors import InvalidArgument, NetworkError, NotLoggedIn
from ..ids import ConversationKey
from ..message import Message, QuotedMessage, embed_quote
from ..protocol.coverage import Coverage, Interval
from ..results.history import AsOf, HistoryCoverage, Page, history_coverage
from ..storage import ANY_SEQ, IngestBatch, LocalStore, RowPosition
from .config import ClientConfig
from .conversations import ConversationIndex
from .decoding import partition
from .fetcher import EmptyReplies, Fetcher, ProvenEntries
from .inbox import Inbox

log = logging.getLogger(__name__)
PAGE_LIMIT = 1000
FETCH_SIZE = 200  # seqs of one request of `fetch_missing`; other callers can run between two requests


@dataclass(slots=True)
class _FetchTurn:
    """A lock for the callers that fetch history of one conversation, so that no part is fetched twice.

    `answers` counts the replies with the last seq; a caller that waited during such a reply uses its `newest`.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0
    answers: int = 0
    newest: int = 0


class _Newest(NamedTuple):
    """The last seq that exists. `fresh` means that the server named it after the call had begun."""

    seq: int
    known: bool  # False offline: then it is the last covered seq
    fresh: bool

    def as_of(self, messages: Sequence[Message]) -> AsOf | None:
        """Return the proof of a page that ends with this seq."""
        return None if self.fresh else AsOf(self.seq, max((m.timestamp for m in messages if m.seq), default=0))


@dataclass(slots=True)
class _HistoryQuery:
    """A query for history: the number of its requests, and the first visible seq according to their replies.

    `coverage` has the seqs that were stored when `History` had fetched `parts` parts. `error` is that of the last request
    that failed; `stale` means that the request for the newest messages failed.
    """

    key: ConversationKey
    first_visible_seq: int = 1
    coverage: Coverage = field(default_factory=Coverage)
    parts: int = 0
    requests: int = 0
    local: bool = False
    error: NetworkError | NotLoggedIn | None = None
    stale: bool = False
    empty: EmptyReplies = field(default_factory=EmptyReplies)

    def add_reply(self, part: ProvenEntries) -> None:
        """Note a reply. Raises ProtocolError if too many replies in a row have no message."""
        self.requests += 1
        self.empty.add(part.entries)
        self.first_visible_seq = max(self.first_visible_seq, part.first_visible_seq)

    def page(self, messages: Sequence[Message], proven: Interval, *, complete: bool, as_of: AsOf | None) -> Page:
        source: Literal["local", "server", "both"] = "local"
        if self.requests:
            source = "both" if self.local else "server"
        interval = proven if proven.first <= proven.last else None
        return Page(messages, complete=complete, interval=interval, source=source, requests=self.requests, as_of=as_of)

    def check(self, page: Page) -> None:
        """Raise the error of the request without which the page is empty, or lacks the newest messages."""
        if self.error is not None and (self.stale or not page):
            raise self.error


class History:
    """Reads the history of conversations from the local store, and from the server where it is missing."""

    def __init__(
        self, config: ClientConfig, store: LocalStore, fetcher: Fetcher, inbox: Inbox, conversations: ConversationIndex
    ) -> None:
        self._user_id = config.user_id
        self._store = store
        self._conversations = conversations
        self._fetcher = fetcher
        self._inbox = inbox
        self._turns: dict[ConversationKey, _FetchTurn] = {}
        self._parts = 0  # that were fetched, of all conversations; counted when their storing begins

    async def local_page(self, key: ConversationKey, count: int, before: Message | None) -> Page:
        """Return stored messages, newest first, also across gaps, without network access.

        The page is complete if the store has all seqs between `before`, or the newest message, and the oldest message of the
        page, or the begin of the history if the page has fewer messages than requested.
        """
        position = await self._position(key, before) if before is not None else None
        messages = await self._store.messages.page(key, checked_count(count), before=position)
        coverage = await self._store.conversations.coverage(key)
        seqs = [m.seq for m in messages if m.seq]
        if before is None or position is None:
            newest = await self._inbox.last_seq(key)
        else:
            newest = before.seq - 1 if before.seq else position.position
        interval = Interval(min(seqs), max(seqs)) if seqs else None
        last = max(newest or coverage.last, max(seqs, default=0))
        first = min(seqs, default=last + 1)
        if len(messages) < count:
            first = min(first, await self._store.conversations.first_visible_seq(key))
        gaps = coverage.missing(first, last) if first <= last else ()
        whole = newest is not None and not gaps
        return Page(messages, complete=whole, interval=interval, source="local", requests=0, gaps=gaps)

    async def page_before(self, key: ConversationKey, count: int, before: Message | int | None) -> Page:
        """Return the newest `count` messages before `before`, without gaps; fetch only the missing part."""
        return await self._page_before(await self._new_query(key), count, before)

    async def page_after(self, key: ConversationKey, count: int, after: Message | int) -> Page:
        """Return the oldest `count` messages after `after`, newest first, without gaps; fetch only the missing part."""
        return await self._page_after(await self._new_query(key), count, after)

    async def next_before(self, key: ConversationKey, count: int, before: Message | int | None) -> Page:
        """Return a page as `page_before` does; raise the error of a request without which the page is empty or stale."""
        query = await self._new_query(key)
        page = await self._page_before(query, count, before)
        query.check(page)
        return page

    async def next_after(self, key: ConversationKey, count: int, after: Message | int) -> Page:
        """Return a page as `page_after` does; raise the error of a request without which the page is empty or stale."""
        query = await self._new_query(key)
        page = await self._page_after(query, count, after)
        query.check(page)
        return page

    async def _page_before(self, query: _HistoryQuery, count: int, before: Message | int | None) -> Page:
        key = query.key
        count = checked_count(count)
        position = await self._position(key, before) if before is not None else None
        newest: _Newest | None = None
        if position is None:
            newest = await self._newest(query, count)
            last, is_newest_known = newest.seq, newest.known
        else:  # a message without a seq is sorted after the message whose seq equals its position
            has_seq = isinstance(before, int) or (before is not None and before.seq)
            last, is_newest_known = position.position - (1 if has_seq else 0), True
        first = max(1, last - count + 1)
        while True:
            await self._fill(query, max(first, query.first_visible_seq), last)
            covered = (await self._store.conversations.coverage(key)).interval_of(last) if last else None
            lowest = covered.first if covered is not None else last + 1
            low = max(first, lowest)
            # a message without a seq may be sorted directly before the lowest covered seq
            bottom = low - 1 if lowest >= first else low
            messages = await self._store.messages.page(key, count, before=position, low=bottom, high=last)
            if (
                len(messages) >= count
                or covered is None
                or lowest > first
                or (lowest == first and first <= query.first_visible_seq)
            ):
                break
            first = max(1, first - count + len(messages))  # some of these seqs have no message
        whole = len(messages) >= count
        if whole:  # the page ends with its last message, although the seqs down to `low` are covered
            low = max(low, min((m.seq for m in messages if m.seq), default=last + 1))
        complete = is_newest_known and (whole or low <= query.first_visible_seq)
        as_of = newest.as_of(messages) if newest is not None else None
        return query.page(messages, Interval(low, last), complete=complete, as_of=as_of)

    async def _page_after(self, query: _HistoryQuery, count: int, after: Message | int) -> Page:
        key = query.key
        count = checked_count(count)
        position = await self._position(key, after)
        newest, is_newest_known, _ = known = await self._newest(query, count)
        low = position.position + 1
        last = min(newest, low + count - 1)
        while True:
            await self._fill(query, max(low, query.first_visible_seq), last)
            coverage = await self._store.conversations.coverage(key)
            if low not in coverage:
                low = max(low, query.first_visible_seq)
            covered = coverage.interval_of(low)
            high = min(last, covered.last) if covered is not None else low - 1
            messages = await self._store.messages.page_after(key, count, after=position, low=low - 1, high=high)
            if len(messages) >= count or high < last or last >= newest:
                break
            last = min(newest, last + count - len(messages))  # some of these seqs have no message
        whole = len(messages) >= count
        if whole:
            high = min(high, max((m.seq for m in messages if m.seq), default=low - 1))
        complete = is_newest_known and (whole or high >= newest)
        as_of = None if whole else known.as_of(messages)
        return query.page(messages[::-1], Interval(low, high), complete=complete, as_of=as_of)

    async def fetch_missing(self, key: ConversationKey, progress: Callable[[int, int], None] | None = None) -> HistoryCoverage:
        """Fetch all missing history, newest first; call `progress` with the number of fetched seqs and their total.

        An error does not undo the parts that were fetched before it.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            ServerRefused: The account may not read this conversation.
        """
        query = await self._new_query(key)
        newest, is_newest_known, _ = await self._newest(query, FETCH_SIZE)
        if query.error is not None:
            raise query.error
        if not is_newest_known:
            self._fetcher.check_online()
        done = total = 0
        while gaps := (await self._store.conversations.coverage(key)).missing(query.first_visible_seq, newest):
            left = sum(gap.size for gap in gaps)
            done, total = max(total, done + left) - left, max(total, done + left)
            if progress is not None:
                progress(done, total)
            await self._fetch(query, max(gaps[-1].first, gaps[-1].last - FETCH_SIZE + 1), gaps[-1].last)
            if (await self._store.conversations.coverage(key)).missing(query.first_visible_seq, newest) == gaps:
                break  # the server has no more entries
        if progress is not None:
            progress(total, total)
        return await self.coverage(key)

    async def fetch_one(self, key: ConversationKey, seq: int) -> None:
        """Fetch and store one message. Raises NetworkError, NotLoggedIn, ServerRefused."""
        await self._store_part(key, await self._fetcher.fetch_newest(key, seq, seq, 1))

    async def coverage(self, key: ConversationKey) -> HistoryCoverage:
        """Return the covered intervals and the gaps, without network access."""
        row = await self._store.conversations.get(key)
        if row is None:
            return HistoryCoverage((), (), 1, 0, self.synced(key))
        return history_coverage(row.coverage, row.first_visible_seq, row.last_seq, synced=self.synced(key))

    def synced(self, key: ConversationKey) -> bool:
        """Return False while a conversation waits for a retry of its sync, so that later messages may exist."""
        return not self._inbox.failures.blocks(key)

    async def fetch_some_missing(self, key: ConversationKey | None, limit: int) -> int:
        """Fetch missing history of a conversation, or of all known ones; return the number of requests.

        At most `limit` seqs are fetched, the newest of each conversation first. A gap is skipped if the server cannot be
        reached.
        """
        requests = 0
        for one in [key] if key is not None else [row.key for row in await self._store.conversations.all()]:
            query = await self._new_query(one)
            newest = (await self._newest(query, 1)).seq
            for gap in reversed((await self._store.conversations.coverage(one)).missing(query.first_visible_seq, newest)):
                first = max(gap.first, gap.last - limit + 1)
                await self._fill(query, first, gap.last)
                limit -= gap.last - first + 1
                if limit <= 0:
                    return requests + query.requests
            requests += query.requests
        return requests

    async def seq_at(self, key: ConversationKey, time: float) -> int:
        """Return the last seq at or before a server time, or 0 for none.

        The seq is read from the store if the coverage suffices, and requested from the server otherwise. Offline, the last
        stored seq is returned.
        """
        if time < 1:
            return 0
        query = await self._new_query(key)
        newest, is_newest_known, _ = await self._newest(query, 1)
        stored, proven = await self._store.conversations.seq_at(key, int(time), newest)
        if proven and is_newest_known:
            return stored
        try:
            fetched = await self._fetcher.fetch_newest(key, 1, ANY_SEQ, 1, until=int(time))
        except (NetworkError, NotLoggedIn):
            return stored
        await self._store_part(key, fetched)
        return fetched.covered.last if fetched.covered is not None else 0

    async def _position(self, key: ConversationKey, at: Message | int) -> RowPosition:
        if not isinstance(at, int) and at.key != key:
            raise InvalidArgument(f"the message belongs to {at.key}, not to {key}")
        return await self._store.messages.position_of(key, at)

    @asynccontextmanager
    async def _turn(self, key: ConversationKey) -> AsyncIterator[_FetchTurn]:
        """Let one caller at a time fetch history of a conversation."""
        turn = self._turns.setdefault(key, _FetchTurn())
        turn.callers += 1
        try:
            async with turn.lock:
                yield turn
        finally:
            turn.callers -= 1
            if not turn.callers:
                del self._turns[key]

    async def _new_query(self, key: ConversationKey) -> _HistoryQuery:
        parts = self._parts
        coverage, first_visible_seq = await self._store.conversations.proof(key)
        return _HistoryQuery(key, first_visible_seq, coverage, parts)

    async def _coverage(self, query: _HistoryQuery) -> Coverage:
        """Return the stored seqs: those that the query has read, if no part was fetched since."""
        return query.coverage if query.parts == self._parts else await self._store.conversations.coverage(query.key)

    async def _newest(self, query: _HistoryQuery, count: int) -> _Newest:
        """Return the last seq that exists; offline, the last covered seq."""
        key = query.key
        last_seq = await self._inbox.last_seq(key)
        query.parts = self._parts
        coverage = query.coverage = await self._store.conversations.coverage(key)
        if last_seq is not None:  # an own message is covered shortly before the inbox is notified of its ack
            above = coverage.interval_of(last_seq + 1)
            return _Newest(above.last if above is not None else last_seq, known=True, fresh=False)
        if not self._fetcher.online:
            return _Newest(coverage.last, known=False, fresh=False)
        known = self._turns.get(key)
        before = known.answers if known is not None else 0
        try:
            async with self._turn(key) as turn:
                if turn.answers > before:
                    return _Newest(turn.newest, known=True, fresh=False)  # asked before this call
                newest = await self._fetcher.fetch_newest(key, coverage.last + 1, ANY_SEQ, count)
                query.add_reply(newest)
                await self._store_part(key, newest)
                turn.answers += 1
                turn.newest = newest.last_seq
                return _Newest(newest.last_seq, known=True, fresh=True)
        except (NetworkError, NotLoggedIn) as exc:
            query.error, query.stale = exc, True
            return _Newest(coverage.last, known=False, fresh=False)

    async def _fill(self, query: _HistoryQuery, first: int, last: int) -> None:
        """Fetch the missing part of an interval; keep the error if the server cannot be reached."""
        try:
            await self._fetch(query, first, last)
        except (NetworkError, NotLoggedIn) as exc:
            query.error = exc
            log.debug("fetching history of %s failed: %s", query.key, exc)

    async def _fetch(self, query: _HistoryQuery, first: int, last: int) -> None:
        """Fetch the missing part of an interval, the newest part first."""
        if first > last:
            return
        parts = self._parts
        gaps = (await self._coverage(query)).missing(first, last)
        query.local = query.local or sum(gap.size for gap in gaps) < last - first + 1
        if not gaps:
            return
        async with self._turn(query.key):
            if self._parts != parts:  # another caller has fetched meanwhile
                gaps = (await self._store.conversations.coverage(query.key)).missing(first, last)
            for gap in reversed(gaps):
                async for part in self._fetcher.fetch_downward(query.key, gap):
                    await self._store_part(query.key, part)
                    query.add_reply(part)

    async def _store_part(self, key: ConversationKey, part: ProvenEntries) -> None:
        rows, actions = partition(part.entries, self._user_id)
        covered = part.intervals
        batch = IngestBatch(
            key,
            rows,
            covered,
            last_seq=part.last_seq,
            first_visible_seq=part.first_visible_seq,
            actions=actions,
            user_id=self._user_id,
        )
        self._parts += 1
        for result in await self._store.messages.ingest([batch]):
            self._conversations.apply(result)


def checked_count(count: int) -> int:
    """Return `count` if it is an integer of 1 to 1000. Raises InvalidArgument otherwise."""
    if not isinstance(count, int) or not 1 <= count <= PAGE_LIMIT:  # type: ignore[redundant-expr]  # users need not run a checker
        raise InvalidArgument(f"count must be 1 to {PAGE_LIMIT}, not {count!r}")
    return count


def seq_in(key: ConversationKey, message: Message) -> int:
    """Return the seq of a message of this conversation.

    Raises:
        InvalidArgument: The message belongs to another conversation, or has no seq.
    """
    if message.key != key:
        raise InvalidArgument(f"the message belongs to {message.key}, not to {key}")
    if not message.seq:
        raise InvalidArgument("the message has no seq: it was not sent yet, or it is an online message")
    return message.seq


def add_quote(answer: Message, key: ConversationKey, quoted: Message) -> None:
    """Let a new message quote another one of this conversation. An error leaves the new message unchanged.

    Raises:
        InvalidArgument: The quoted message belongs to another conversation or has no seq, or the new one has custom data of
            another form.
    """
    quote = QuotedMessage(seq_in(key, quoted), quoted.msg_id, quoted.sender, quoted.push_text, quoted.timestamp)
    answer._cloud_custom_data = embed_quote(quote, answer.cloud_custom_data)
