"""Incoming messages. Live pushes and our own acks enter here, in the order of seqs; login's sync takes turns with them.

A push is a hint: when its seq is not the next, what lies between is fetched first; when that fails, nothing of it is kept, and
the next login's sync brings it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec

from ..errors import NoPermission, TimimError, UnknownGroup
from ..ids import ConversationKey, ConversationType
from ..message import Message
from ..protocol.coverage import Interval
from ..protocol.entries import Entry
from ..storage import IngestBatch, LocalStore
from .decoding import online_message, split
from .fetcher import Fetcher
from .ingest import Keeper
from .sync import FRESH_LIMIT, Sync

log = logging.getLogger("timim")

QUEUE_LIMIT = 10_000  # pushed entries that wait; past it their content is forgotten and fetched again by seq
BATCH = 512
GAP_LIMIT = 200  # missing entries that are fetched, stored and thrown in one go; more come in parts, as handlers take them
RETRY_S = 1.0  # between tries while the server or the disk does not do its part


class _Arrived(msgspec.Struct, gc=False):
    """What waits to be stored; `entry` None: one of our own, whose row is there."""

    key: ConversationKey
    seq: int
    entry: Entry | None = None


class Inbox:
    """`throw` hears of online messages, which are stored nowhere.

    `room` waits until handlers have caught up: meanwhile the queue here fills, and past its limit only seqs are kept.
    """

    def __init__(
        self,
        store: LocalStore,
        fetcher: Fetcher,
        keeper: Keeper,
        sync: Sync,
        *,
        user_id: str,
        recent_contacts: bool,
        throw: Callable[[Sequence[Message]], None],
        bind: Callable[[Message], Message],
        room: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._keeper = keeper
        self._sync = sync
        self._user_id = user_id
        self._recent_contacts = recent_contacts
        self._throw = throw
        self._bind = bind
        self._room = room
        self._queue: deque[_Arrived] = deque()
        self._behind: dict[ConversationKey, int] = {}
        self._wake = asyncio.Event()
        self._synced = False
        self._turn = asyncio.Lock()  # a sync, or the next run of pushes: never both

    def push(self, key: ConversationKey, entry: Entry) -> None:
        """An entry that the server pushed. Never blocks; past QUEUE_LIMIT only its seq is remembered."""
        if len(self._queue) >= QUEUE_LIMIT and entry.timeline_seq:
            self._behind[key] = max(self._behind.get(key, 0), entry.timeline_seq)
        else:
            self._queue.append(_Arrived(key, entry.timeline_seq, entry))
        self._wake.set()

    def acked(self, key: ConversationKey, seq: int) -> None:
        """One of our own messages got this seq; its row will say so. What comes after it need not fetch it."""
        self._keeper.acked(key, seq)

    def numbered(self, key: ConversationKey, seq: int, head: int = 0) -> None:
        """One of our own messages or acts got this seq, and is stored, unless it was deleted; `head`: the store's, then."""
        self._keeper.raise_head(key, head)
        if seq <= self._keeper.heads.get(key, 0):
            return
        if len(self._queue) >= QUEUE_LIMIT:
            self._behind[key] = max(self._behind.get(key, 0), seq)
        else:
            self._queue.append(_Arrived(key, seq))
        self._wake.set()

    async def last_seq(self, key: ConversationKey) -> int | None:
        """The highest seq that there is, as far as this connection was told; None when it was not."""
        if not self._synced:
            return None
        if key in self._keeper.heads:
            return self._keeper.heads[key]
        in_group = key.type is ConversationType.GROUP
        if in_group and not self._recent_contacts:
            return None
        head = (await self._store.heads([key])).get(key, 0)  # the sync did not name it: nothing has changed there
        return None if in_group and not head else head  # of a group that is not listed only the server can say why

    def offline(self) -> None:
        """The connection is gone: what it told is not the latest any more."""
        self._synced = False

    def leave(self) -> None:
        """Logged out: the next login begins as one of a new process does."""
        self._synced = False
        self._sync.leave()
        self._forget()

    def _forget(self) -> None:
        self._keeper.forget()
        self._queue.clear()
        self._behind.clear()

    async def sync(self, epoch: str = "") -> None:
        """After a login: what changed since the last sync, as docs/history.md says. Raises NetworkError and its like."""
        async with self._turn:
            await self._sync.run(epoch, self._forget)
            self._synced = True

    async def run(self, ready: asyncio.Event) -> None:
        """Carry on what is pushed; `ready` is set while the connection is up and synced."""
        while True:
            if not self._queue and not self._behind:
                self._wake.clear()
                await self._wake.wait()
            await ready.wait()
            await self._room()
            try:
                async with self._turn:
                    await self._carry_on()
            except TimimError as exc:
                log.warning("new messages wait: %s", exc)
                await asyncio.sleep(RETRY_S)

    async def _carry_on(self) -> None:
        """Keep and throw the next run of stored messages, or the next online one, as they came."""
        arrived: dict[ConversationKey, dict[int, Entry | None]] = {}
        for _ in range(min(len(self._queue), BATCH)):
            first = self._queue[0]
            if not first.seq and arrived:
                break
            self._queue.popleft()
            if first.seq:
                arrived.setdefault(first.key, {})[first.seq] = first.entry
            elif first.entry is not None:
                self._throw([self._bind(online_message(first.key, first.entry, self._user_id))])
                return
        for key, entries in arrived.items():
            for seq in self._keeper.acked_below(key, max(entries)):
                entries.setdefault(seq)
        up_to = {key: max(entries) for key, entries in arrived.items()}
        if not self._queue:
            behind, self._behind = self._behind, {}
            for key, seq in behind.items():
                arrived.setdefault(key, {})
                up_to[key] = max(up_to.get(key, 0), seq)
        try:
            batches = [
                batch
                for key, entries in arrived.items()
                if (batch := await self._live_batch(key, entries, up_to[key])) is not None
            ]
            await self._keeper.keep(batches)
        except TimimError:
            for key, seq in up_to.items():
                self._behind[key] = max(self._behind.get(key, 0), seq)
            raise

    async def _live_batch(self, key: ConversationKey, entries: dict[int, Entry | None], last: int) -> IngestBatch | None:
        """What to store of these, with what was missing between them and the head; None of them: it is held, or deleted."""
        head = await self._head(key, min(entries, default=last))
        if last <= head:
            return None
        if last - head - sum(seq > head for seq in entries) > GAP_LIMIT:
            await self._catch_up(key, head + 1, last)
            return None
        came: list[Entry] = []
        covered: list[Interval] = []
        run = at = head + 1
        for seq in sorted(s for s in entries if s > head):
            if seq > at:
                covered += [Interval(run, at - 1)] if at > run else []
                run = seq
                came += await self._fill(key, at, seq - 1, covered)
            entry = entries[seq]
            if entry is not None:
                came.append(entry)
            at = seq + 1
            if entry is None:
                covered += [Interval(run, seq - 1)] if seq > run else []
                run = at
        covered += [Interval(run, at - 1)] if at > run else []
        if at <= last:
            came += await self._fill(key, at, last, covered)
        incoming, acts = split(came, self._user_id)
        return IngestBatch(
            key,
            incoming,
            covered,
            live=True,
            head=last,
            last_seq=last,
            acts=acts,
            acts_seq=last,
            user_id=self._user_id,
        )

    async def _catch_up(self, key: ConversationKey, first: int, last: int) -> None:
        """Bring what was missed in parts, as handlers take it; what this account may not see any more stays a hole."""
        try:
            async for part in self._fetcher.all_of(key, first, last):
                assert part.covered is not None
                await self._room()
                incoming, acts = split(reversed(part.entries), self._user_id)
                batch = IngestBatch(key, incoming, [part.covered], live=True, head=part.covered.last, last_seq=last)
                await self._keeper.keep([replace(batch, acts=acts, acts_seq=batch.head, user_id=self._user_id)])
        except (NoPermission, UnknownGroup) as exc:
            log.warning("what came up to seq %s of %s is not to be had: %s", last, key, exc)
        await self._keeper.keep([IngestBatch(key, live=True, head=last, last_seq=last, acts_seq=last)])

    async def _head(self, key: ConversationKey, first: int) -> int:
        head = self._keeper.heads.get(key)
        if head is None:
            row = await self._store.conversation(key)
            head = row.head if row is not None else 0
            # the list would have told if anything had come after its head; but one may have come back to a group
            named = head and self._recent_contacts and first - 1 - head <= FRESH_LIMIT
            if key.type is ConversationType.GROUP and head < first - 1 and not named:
                head = max(head, await self._before_us(key, first))  # what is not ours to hear stays a hole
        return head

    async def _before_us(self, key: ConversationKey, first: int) -> int:
        """The last seq before this account came into a group whose entry `first` is the first that was pushed.

        Its gateway may have been told late that it came. Without the list nobody knows: then it begins at what was pushed.
        """
        contact = (await self._fetcher.contacts(since=await self._sync.since())).items.get(key)
        if contact is None or not self._recent_contacts:
            return first - 1
        return min(first - 1, max(contact.first_visible_seq - 1, contact.read_seq))

    async def _fill(self, key: ConversationKey, first: int, last: int, covered: list[Interval]) -> list[Entry]:
        """What there is of an interval; `covered` gets what the server proved of it (who joined again sees a part).

        What this account may not see, as it was put out meanwhile, stays a hole.
        """
        entries: list[Entry] = []
        try:
            async for part in self._fetcher.all_of(key, first, last):
                entries += reversed(part.entries)
                covered += [part.covered] if part.covered is not None else []
        except (NoPermission, UnknownGroup) as exc:
            log.warning("what came before seq %s of %s is not to be had: %s", last + 1, key, exc)
        return entries
