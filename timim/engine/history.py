"""What was said before: from the local store where the intervals hold it, from the server exactly where they do not.

The two sides of a hole are never shown as neighbours: a page ends where what is held ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from ..errors import InvalidArgument, NetworkError, NotLoggedIn
from ..history import HistoryCoverage, Page, known_of
from ..ids import ConversationKey
from ..local_store.fulltext import SearchQuery
from ..message import Message
from ..protocol.coverage import Interval
from ..storage import ANY_SEQ, IngestBatch, LocalStore, RowPosition, SearchRows
from .decoding import split
from .fetcher import Fetched, Fetcher
from .inbox import Inbox

log = logging.getLogger("timim")
PAGE_LIMIT = 1000
FILL = 200  # seqs that `fill` asks for at once: between two, others get their turn


@dataclass(slots=True)
class _Turn:
    """Callers who need the server for one conversation at once: one at a time, and the next finds what was fetched.

    `answers` counts how often the server said what is the last; who came before an answer takes it for its own.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0
    answers: int = 0
    newest: int = 0


@dataclass(slots=True)
class _Asking:
    """One question for history: what it cost, and what it learned of the timeline."""

    key: ConversationKey
    floor: int = 1
    requests: int = 0
    local: bool = False

    def heard(self, part: Fetched) -> None:
        self.requests += 1
        self.floor = max(self.floor, part.floor)

    def page(self, messages: Sequence[Message], proven: Interval, *, complete: bool) -> Page:
        source: Literal["local", "server", "both"] = "local"
        if self.requests:
            source = "both" if self.local else "server"
        interval = proven if proven.first <= proven.last else None
        return Page(messages, complete=complete, interval=interval, source=source, requests=self.requests)


class History:
    def __init__(
        self, store: LocalStore, fetcher: Fetcher, inbox: Inbox, *, user_id: str, bind: Callable[[Message], Message]
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._inbox = inbox
        self._user_id = user_id
        self._bind = bind
        self._turns: dict[ConversationKey, _Turn] = {}

    async def local(self, key: ConversationKey, count: int, before: Message | None) -> Page:
        """What is held, newest first, holes and all; no network."""
        place = await self._place(key, before) if before is not None else None
        messages = await self._store.page(key, checked_count(count), before=place)
        coverage = await self._store.coverage(key)
        seqs = [m.seq for m in messages if m.seq]
        interval = Interval(min(seqs), max(seqs)) if seqs else None
        whole = interval is None or coverage.covers(*interval)
        return Page(self._bound(messages), complete=whole, interval=interval, source="local", requests=0)

    async def roaming(self, key: ConversationKey, count: int, before: Message | int | None) -> Page:
        """The newest `count` before `before`, without holes; asks the server for exactly what is missing."""
        count = checked_count(count)
        place = await self._place(key, before) if before is not None else None
        asking = await self._asking(key)
        if place is None:
            last, sure = await self._newest(asking, count)
        else:  # what was never numbered stands behind the seq of its position
            numbered = isinstance(before, int) or (before is not None and before.seq)
            last, sure = place.position - (1 if numbered else 0), True
        first = max(1, last - count + 1)
        while True:
            await self._fill(asking, max(first, asking.floor), last)
            held = (await self._store.coverage(key)).interval_of(last) if last else None
            lowest = held.first if held is not None else last + 1
            low = max(first, lowest)
            # what was never numbered may stand right before the lowest that is held; below that is another page's
            bottom = low - 1 if lowest >= first else low
            messages = await self._store.page(key, count, before=place, low=bottom, high=last)
            if len(messages) >= count or held is None or lowest > first or (lowest == first and first <= asking.floor):
                break
            first = max(1, first - count + len(messages))  # some of these seqs hold nothing any more
        whole = len(messages) >= count
        if whole:  # it ends with its last message: what stands between that and `low` was asked for by nobody
            low = max(low, min((m.seq for m in messages if m.seq), default=last + 1))
        return asking.page(self._bound(messages), Interval(low, last), complete=sure and (whole or low <= asking.floor))

    async def newer(self, key: ConversationKey, count: int, after: Message | int) -> Page:
        """The oldest `count` after `after`, newest first, without holes; asks for exactly what is missing."""
        count = checked_count(count)
        place = await self._place(key, after)
        asking = await self._asking(key)
        newest, sure = await self._newest(asking, count)
        low = place.position + 1
        last = min(newest, low + count - 1)
        while True:
            await self._fill(asking, max(low, asking.floor), last)
            coverage = await self._store.coverage(key)
            if low not in coverage:
                low = max(low, asking.floor)
            held = coverage.interval_of(low)
            high = min(last, held.last) if held is not None else low - 1
            messages = await self._store.page_up(key, count, after=place, low=low - 1, high=high)
            if len(messages) >= count or high < last or last >= newest:
                break
            last = min(newest, last + count - len(messages))  # some of these seqs hold nothing any more
        whole = len(messages) >= count
        if whole:
            high = min(high, max((m.seq for m in messages if m.seq), default=low - 1))
        complete = sure and (whole or high >= newest)
        return asking.page(self._bound(messages[::-1]), Interval(low, high), complete=complete)

    async def fill(self, key: ConversationKey, progress: Callable[[int, int], None] | None = None) -> HistoryCoverage:
        """Fetch all that is not held, the newest first; `progress` hears of seqs done, and of how many there are.

        Raises NetworkError, NotLoggedIn, ServerRefused: what came until then is kept.
        """
        asking = await self._asking(key)
        newest, sure = await self._newest(asking, FILL)
        if not sure:
            self._fetcher.check()
        done = total = 0
        while gaps := (await self._store.coverage(key)).missing(asking.floor, newest):
            left = sum(gap.size for gap in gaps)
            done, total = max(total, done + left) - left, max(total, done + left)
            if progress is not None:
                progress(done, total)
            await self._fetch(asking, max(gaps[-1].first, gaps[-1].last - FILL + 1), gaps[-1].last)
            if (await self._store.coverage(key)).missing(asking.floor, newest) == gaps:
                break  # the server has no more of it
        if progress is not None:
            progress(total, total)
        return await self.known(key)

    async def hold(self, key: ConversationKey, seq: int) -> None:
        """Fetch one message that is known to be there. Raises NetworkError, NotLoggedIn, ServerRefused."""
        await self._keep(key, await self._fetcher.newest_of(key, seq, seq, 1))

    async def known(self, key: ConversationKey) -> HistoryCoverage:
        """What is held and what is not; no network."""
        row = await self._store.conversation(key)
        if row is None:
            return HistoryCoverage((), (), 1, 0)
        return known_of(row.coverage, row.floor, row.last_seq)

    async def found(self, question: SearchQuery, count: int) -> tuple[SearchRows, list[Message]]:
        """What of all that is held matches, newest first; no network."""
        found = await self._store.search(question, count)
        return found, self._bound(found.messages)

    async def fill_some(self, key: ConversationKey | None, limit: int) -> int:
        """Fetch what is missing of a conversation, or of all that are known; how many requests that were.

        The newest part of each first, `limit` seqs in all; it stops where the server cannot be asked.
        """
        requests = 0
        for place in [key] if key is not None else [row.key for row in await self._store.known()]:
            asking = await self._asking(place)
            newest, _ = await self._newest(asking, 1)
            for gap in reversed((await self._store.coverage(place)).missing(asking.floor, newest)):
                first = max(gap.first, gap.last - limit + 1)
                await self._fill(asking, first, gap.last)
                limit -= gap.last - first + 1
                if limit <= 0:
                    return requests + asking.requests
            requests += asking.requests
        return requests

    async def seq_at(self, key: ConversationKey, time: float) -> int:
        """The last seq of this server time or an earlier one: by what is held where it proves it, else by the server.

        Offline, the last of those that are held.
        """
        if time < 1:
            return 0
        asking = await self._asking(key)
        newest, sure = await self._newest(asking, 1)
        held, proven = await self._store.seq_at(key, int(time), newest)
        if proven and sure:
            return held
        try:
            fetched = await self._fetcher.newest_of(key, 1, ANY_SEQ, 1, until=int(time))
        except (NetworkError, NotLoggedIn):
            return held
        await self._keep(key, fetched)
        return fetched.covered.last if fetched.covered is not None else 0

    async def _place(self, key: ConversationKey, at: Message | int) -> RowPosition:
        if not isinstance(at, int) and at.conversation != key:
            raise InvalidArgument(f"this is a message of {at.conversation}, not of {key}")
        return await self._store.place(key, at)

    @asynccontextmanager
    async def _turn(self, key: ConversationKey) -> AsyncIterator[_Turn]:
        """One caller at a time for each conversation."""
        turn = self._turns.setdefault(key, _Turn())
        turn.callers += 1
        try:
            async with turn.lock:
                yield turn
        finally:
            turn.callers -= 1
            if not turn.callers:
                del self._turns[key]

    async def _asking(self, key: ConversationKey) -> _Asking:
        return _Asking(key, floor=await self._store.floor(key))

    async def _newest(self, asking: _Asking, count: int) -> tuple[int, bool]:
        """The last seq that there is; offline, the last that is held, and False."""
        key = asking.key
        told = await self._inbox.last_seq(key)
        coverage = await self._store.coverage(key)
        if told is not None:  # our own messages are held a moment before the inbox hears of their acks
            above = coverage.interval_of(told + 1)
            return above.last if above is not None else told, True
        known = self._turns.get(key)
        before = known.answers if known is not None else 0
        try:
            async with self._turn(key) as turn:
                if turn.answers > before:
                    return turn.newest, True
                newest = await self._fetcher.newest_of(key, coverage.last + 1, ANY_SEQ, count)
                asking.heard(newest)
                await self._keep(key, newest)
                turn.answers += 1
                turn.newest = newest.last_seq
                return newest.last_seq, True
        except (NetworkError, NotLoggedIn):
            return coverage.last, False

    async def _fill(self, asking: _Asking, first: int, last: int) -> None:
        """Fetch what of this interval is not held; stops where the server cannot be asked."""
        try:
            await self._fetch(asking, first, last)
        except (NetworkError, NotLoggedIn) as exc:
            log.info("history of %s is not to be had now: %s", asking.key, exc)

    async def _fetch(self, asking: _Asking, first: int, last: int) -> None:
        """Fetch what of this interval is not held, the newest part first."""
        if first > last:
            return
        gaps = (await self._store.coverage(asking.key)).missing(first, last)
        asking.local = asking.local or sum(gap.size for gap in gaps) < last - first + 1
        if not gaps:
            return
        async with self._turn(asking.key):
            for gap in reversed((await self._store.coverage(asking.key)).missing(first, last)):
                async for part in self._fetcher.all_down(asking.key, gap):
                    asking.heard(part)
                    await self._keep(asking.key, part)

    async def _keep(self, key: ConversationKey, part: Fetched) -> None:
        incoming, acts = split(part.entries, self._user_id)
        covered = [part.covered] if part.covered is not None else []
        await self._store.add([IngestBatch(key, incoming, covered, last_seq=part.last_seq, floor=part.floor, acts=acts)])

    def _bound(self, messages: Sequence[Message]) -> list[Message]:
        return [self._bind(message) for message in messages]


def checked_count(count: int) -> int:
    """`count` if it is one: 1 to 1000. Raises InvalidArgument."""
    if not isinstance(count, int) or not 1 <= count <= PAGE_LIMIT:  # type: ignore[redundant-expr]  # users need not run a checker
        raise InvalidArgument(f"count must be 1 to {PAGE_LIMIT}, not {count!r}")
    return count


def seq_in(key: ConversationKey, message: Message) -> int:
    """Where a message stands in this conversation. Raises InvalidArgument for another's, or one without a number."""
    if message.conversation != key:
        raise InvalidArgument(f"this is a message of {message.conversation}, not of {key}")
    if not message.seq:
        raise InvalidArgument("this message has no seq: it was not sent, or it was an online message")
    return message.seq
