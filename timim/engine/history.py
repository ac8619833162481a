"""What was said before: from the local store where the intervals hold it, from the server exactly where they do not.

The two sides of a hole are never shown as neighbours: a page ends where what is held ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, overload

from ..errors import InvalidArgument, NetworkError, NotLoggedIn
from ..ids import ConversationKey
from ..message import Message
from ..storage import Batch, LocalStore
from ..wire.coverage import Interval
from ..wire.entries import Entry
from .fetcher import PAGE, Fetcher
from .inbox import Inbox, incoming_of

PAGE_LIMIT = 1000


class Page(Sequence[Message]):
    """Messages, newest first, and what is proven of them.

    `interval`: the seqs that this page covers without a hole (None: none); `complete`: nothing of what was asked is
    missing, so a page shorter than asked for reaches the beginning; `source`: where its messages came from;
    `requests`: how many the server was asked.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        *,
        complete: bool,
        interval: Interval | None,
        source: Literal["local", "server", "both"],
        requests: int,
    ) -> None:
        self._messages = tuple(messages)
        self.complete = complete
        self.interval = interval
        self.source = source
        self.requests = requests

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def __repr__(self) -> str:
        held = f"{self.interval.first} to {self.interval.last}" if self.interval else "nothing"
        state = "complete" if self.complete else "incomplete"
        return f"<Page {len(self)} messages, {held}, {state}, {self.source}, {self.requests} requests>"


class History:
    def __init__(
        self, store: LocalStore, fetcher: Fetcher, inbox: Inbox, *, user_id: str, bind: Callable[[Message], Message]
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._inbox = inbox
        self._user_id = user_id
        self._bind = bind

    async def local(self, key: ConversationKey, count: int, before: Message | None) -> Page:
        """What is held, newest first, holes and all; no network."""
        messages = await self._store.page(key, checked_count(count), before=before)
        coverage = await self._store.coverage(key)
        seqs = [m.seq for m in messages if m.seq]
        interval = Interval(min(seqs), max(seqs)) if seqs else None
        whole = interval is None or coverage.covers(*interval)
        return Page(self._bound(messages), complete=whole, interval=interval, source="local", requests=0)

    async def roaming(self, key: ConversationKey, count: int, before: Message | None) -> Page:
        """The newest `count` before `before`, without holes; asks the server for exactly what is missing."""
        count = checked_count(count)
        requests, floor = 0, 1
        last = await self._last(key, before)
        row = await self._store.conversation(key)
        if row is not None:
            floor = max(floor, row.floor)
        if last is None:
            try:
                newest = await self._fetcher.newest_of(key, 1, 1 << 62, count)
            except (NetworkError, NotLoggedIn):
                last = (await self._store.coverage(key)).last
            else:
                requests, floor, last = 1, max(floor, newest.floor), newest.last_seq
                await self._keep(key, newest.entries, newest.covered, newest.floor, last)
        first = max(floor, last - count + 1)
        reached = True
        for gap in reversed((await self._store.coverage(key)).missing(first, last)) if last >= first else ():
            try:
                for low, high in _chunks_down(gap):
                    fetched = await self._fetcher.newest_of(key, low, high)
                    requests += 1
                    floor = max(floor, fetched.floor)
                    await self._keep(key, fetched.entries, fetched.covered, fetched.floor, fetched.last_seq)
            except (NetworkError, NotLoggedIn):
                reached = False
                break
        return await self._page(key, count, before, max(first, floor), last, requests, reached)

    async def _page(
        self,
        key: ConversationKey,
        count: int,
        before: Message | None,
        first: int,
        last: int,
        requests: int,
        reached: bool,
    ) -> Page:
        held = (await self._store.coverage(key)).interval_of(last) if last else None
        low = max(first, held.first) if held else last + 1
        messages = await self._store.page(key, count, before=before, floor_seq=low)
        interval = Interval(low, last) if held and low <= last else None
        complete = reached and (low <= first or last < first)
        source: Literal["local", "server"] = "server" if requests else "local"
        return Page(self._bound(messages), complete=complete, interval=interval, source=source, requests=requests)

    async def _last(self, key: ConversationKey, before: Message | None) -> int | None:
        """The highest seq that the page may hold; None when only the server knows."""
        if before is not None:
            if before.conversation != key:
                raise InvalidArgument(f"before= is a message of {before.conversation}, not of {key}")
            if before.seq:
                return before.seq - 1
        told = self._inbox.last_seq(key)
        return told if told > 0 else None

    async def _keep(
        self, key: ConversationKey, entries: Sequence[Entry], covered: Interval | None, floor: int, last_seq: int
    ) -> None:
        if covered is None:
            return
        incoming = [incoming_of(entry, self._user_id) for entry in entries if not entry.tombstone]
        await self._store.add([Batch(key=key, incoming=incoming, covered=[covered], last_seq=last_seq, floor=floor)])

    def _bound(self, messages: Sequence[Message]) -> list[Message]:
        return [self._bind(message) for message in messages]


def checked_count(count: int) -> int:
    """`count` if it is one: 1 to 1000. Raises InvalidArgument."""
    if not isinstance(count, int) or not 1 <= count <= PAGE_LIMIT:  # type: ignore[redundant-expr]  # users need not run a checker
        raise InvalidArgument(f"count must be 1 to {PAGE_LIMIT}, not {count!r}")
    return count


def _chunks_down(gap: Interval) -> Iterator[tuple[int, int]]:
    last = gap.last
    while last >= gap.first:
        first = max(gap.first, last - PAGE + 1)
        yield first, last
        last = first - 1
