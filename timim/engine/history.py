"""What was said before: from the local store where the intervals hold it, from the server exactly where they do not.

The two sides of a hole are never shown as neighbours: a page ends where what is held ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, overload

from ..errors import InvalidArgument, NetworkError, NotLoggedIn
from ..ids import ConversationKey
from ..message import Message
from ..storage import Batch, LocalStore
from ..wire.coverage import Interval
from .fetcher import Fetched, Fetcher
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


@dataclass(slots=True)
class _Turn:
    """Callers who ask for history of one conversation at once: one at a time."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0


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


@dataclass(frozen=True, slots=True)
class KnownHistory:
    """What a device knows of a conversation: `intervals` of seqs are held, `gaps` are not.

    `floor`: the first seq that this account may see; `last_seq`: the last there is, as far as this device was told.
    """

    intervals: tuple[Interval, ...]
    gaps: tuple[Interval, ...]
    floor: int
    last_seq: int

    @property
    def complete(self) -> bool:
        """All of it is held."""
        return not self.gaps


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
        messages = await self._store.page(key, checked_count(count), before=before)
        coverage = await self._store.coverage(key)
        seqs = [m.seq for m in messages if m.seq]
        interval = Interval(min(seqs), max(seqs)) if seqs else None
        whole = interval is None or coverage.covers(*interval)
        return Page(self._bound(messages), complete=whole, interval=interval, source="local", requests=0)

    async def roaming(self, key: ConversationKey, count: int, before: Message | int | None) -> Page:
        """The newest `count` before `before`, without holes; asks the server for exactly what is missing."""
        count = checked_count(count)
        async with self._turn(key):
            asking = await self._asking(key)
            if isinstance(before, Message):
                before = _seq_of(key, before) if before.seq else before
            last = before - 1 if isinstance(before, int) else await self._newest(asking, count)
            first = max(asking.floor, last - count + 1)
            while True:
                await self._fill(asking, first, last)
                first = max(first, asking.floor)
                held = (await self._store.coverage(key)).interval_of(last) if last else None
                low = max(first, held.first) if held is not None else last + 1
                beginning = low <= asking.floor  # what was never numbered may stand before all that was
                messages = await self._store.page(key, count, before=before, floor_seq=0 if beginning else low)
                if len(messages) >= count or low > first or first <= asking.floor:
                    break
                first = max(asking.floor, first - count + len(messages))  # some of these seqs hold nothing any more
            return asking.page(self._bound(messages), Interval(low, last), complete=low <= first or last < first)

    async def newer(self, key: ConversationKey, count: int, after: Message | int) -> Page:
        """The oldest `count` after `after`, newest first, without holes; asks for exactly what is missing."""
        count = checked_count(count)
        async with self._turn(key):
            asking = await self._asking(key)
            newest = await self._newest(asking, count)
            first = max(asking.floor, (after if isinstance(after, int) else _seq_of(key, after)) + 1)
            last = min(newest, first + count - 1)
            await self._fill(asking, first, last)
            first = max(first, asking.floor)
            held = (await self._store.coverage(key)).interval_of(first)
            high = min(last, held.last) if held is not None else first - 1
            messages = await self._store.between(key, first, high)
            return asking.page(self._bound(messages), Interval(first, high), complete=high >= last)

    async def known(self, key: ConversationKey) -> KnownHistory:
        """What is held and what is not; no network."""
        row = await self._store.conversation(key)
        if row is None:
            return KnownHistory((), (), 1, 0)
        last = max(row.last_seq, row.coverage.last)
        return KnownHistory(row.coverage.intervals, row.coverage.missing(row.floor, last), row.floor, last)

    async def seq_at(self, key: ConversationKey, time: float) -> int:
        """The last seq of this server time or an earlier one: by what is held where it proves it, else by the server."""
        async with self._turn(key):
            asking = await self._asking(key)
            newest = await self._newest(asking, 1)
            if (held := await self._store.seq_at(key, int(time), newest)) is not None:
                return held
            fetched = await self._fetcher.newest_of(key, 1, 1 << 62, 1, until=int(time))
            await self._keep(key, fetched)
            return fetched.covered.last if fetched.covered is not None else 0

    @asynccontextmanager
    async def _turn(self, key: ConversationKey) -> AsyncIterator[None]:
        """One caller at a time for each conversation: who asks for the same at once finds it held."""
        turn = self._turns.setdefault(key, _Turn())
        turn.callers += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.callers -= 1
            if not turn.callers:
                del self._turns[key]

    async def _asking(self, key: ConversationKey) -> _Asking:
        row = await self._store.conversation(key)
        return _Asking(key, floor=row.floor) if row is not None else _Asking(key)

    async def _newest(self, asking: _Asking, count: int) -> int:
        """The last seq that there is; offline, the last that is held."""
        if told := await self._inbox.last_seq(asking.key):
            return told
        try:
            newest = await self._fetcher.newest_of(asking.key, 1, 1 << 62, count)
        except (NetworkError, NotLoggedIn):
            return (await self._store.coverage(asking.key)).last
        asking.heard(newest)
        await self._keep(asking.key, newest)
        return newest.last_seq

    async def _fill(self, asking: _Asking, first: int, last: int) -> None:
        """Fetch what of this interval is not held, the newest part first; stops where the server cannot be asked."""
        if first > last:
            return
        coverage = await self._store.coverage(asking.key)
        gaps = coverage.missing(first, last)
        asking.local = asking.local or sum(gap.size for gap in gaps) < last - first + 1
        try:
            for gap in reversed(gaps):
                async for part in self._fetcher.all_down(asking.key, gap):
                    asking.heard(part)
                    await self._keep(asking.key, part)
        except (NetworkError, NotLoggedIn):
            return

    async def _keep(self, key: ConversationKey, part: Fetched) -> None:
        incoming = [incoming_of(entry, self._user_id) for entry in part.entries if not entry.tombstone]
        covered = [part.covered] if part.covered is not None else []
        await self._store.add([Batch(key, incoming, covered, last_seq=part.last_seq, floor=part.floor)])

    def _bound(self, messages: Sequence[Message]) -> list[Message]:
        return [self._bind(message) for message in messages]


def checked_count(count: int) -> int:
    """`count` if it is one: 1 to 1000. Raises InvalidArgument."""
    if not isinstance(count, int) or not 1 <= count <= PAGE_LIMIT:  # type: ignore[redundant-expr]  # users need not run a checker
        raise InvalidArgument(f"count must be 1 to {PAGE_LIMIT}, not {count!r}")
    return count


def _seq_of(key: ConversationKey, message: Message) -> int:
    """Where a message stands in this conversation. Raises InvalidArgument for another's, or one without a number."""
    if message.conversation != key:
        raise InvalidArgument(f"this is a message of {message.conversation}, not of {key}")
    if not message.seq:
        raise InvalidArgument("this message has no seq: it was not sent, or it was an online message")
    return message.seq
