"""Incoming messages. Live pushes and our own acks are stored here in the order of their seqs; the sync takes turns with them.

A push is a hint: when its seq is not the next one, the entries between are fetched first. When that fails, nothing of it
is stored, and the next try or the next login's sync fetches it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from ..errors import NoPermission, TimimError, UnknownGroup
from ..ids import ConversationKey, ConversationType
from ..protocol.coverage import Interval
from ..protocol.entries import Entry
from ..storage import IngestBatch, LocalStore
from .binding import ClientBinder
from .config import ClientConfig
from .decoding import decode_online_message, partition
from .dispatcher import Dispatcher
from .fetcher import Fetcher
from .ingest import Ingest
from .push_queue import PushQueue
from .sync import FRESH_LIMIT, Sync

log = logging.getLogger("timim")

BATCH = 512  # entries stored together
GAP_LIMIT = 200  # missing entries that are fetched, stored and delivered in one go; more come in parts, as handlers take them
RETRY_S = 1.0  # between tries while the server or the disk fails


class Inbox:
    """Stores pushed entries while the connection is up and synced, at the pace of the dispatcher's handlers."""

    def __init__(
        self,
        config: ClientConfig,
        store: LocalStore,
        fetcher: Fetcher,
        sync: Sync,
        ingest: Ingest,
        dispatcher: Dispatcher,
        binder: ClientBinder,
    ) -> None:
        self._user_id = config.user_id
        self._recent_contacts = config.recent_contacts
        self._store = store
        self._fetcher = fetcher
        self._sync = sync
        self._ingest = ingest
        self._dispatcher = dispatcher
        self._binder = binder
        self._queue = PushQueue()
        self._synced = False
        self._turn = asyncio.Lock()  # a sync, or the next batch of pushes: never both

    def push(self, key: ConversationKey, entry: Entry) -> None:
        """Queue an entry that the server pushed. Never blocks."""
        self._queue.push(key, entry)

    def on_ack(self, key: ConversationKey, seq: int) -> None:
        """Note that one of our own messages got this seq, so that later entries need not fetch it."""
        self._ingest.add_ack(key, seq)

    def on_own_entry(self, key: ConversationKey, seq: int, *, delivered_seq: int = 0) -> None:
        """Queue the seq of one of our own messages or actions, which is stored.

        `delivered_seq` is the seq up to which the store has everything.
        """
        self._ingest.raise_delivered_seq(key, delivered_seq)
        if seq > self._ingest.delivered_seqs.get(key, 0):
            self._queue.push_own(key, seq)

    async def last_seq(self, key: ConversationKey) -> int | None:
        """Return the highest seq that exists, as far as this connection was told; None when it was not told."""
        if not self._synced:
            return None
        if key in self._ingest.delivered_seqs:
            return self._ingest.delivered_seqs[key]
        in_group = key.type is ConversationType.GROUP
        if in_group and not self._recent_contacts:
            return None
        stored = (await self._store.conversations.heads([key])).get(
            key, 0
        )  # the sync did not name it: nothing has changed there
        return None if in_group and not stored else stored  # of a group that is not listed only the server can say why

    def on_disconnected(self) -> None:
        """Note that later seqs may exist: the connection is lost."""
        self._synced = False

    def reset(self) -> None:
        """Forget this login: the next one begins as in a new process."""
        self._synced = False
        self._sync.reset()
        self._ingest.reset()
        self._queue.clear()

    async def sync(self, epoch: str = "") -> None:
        """Fetch what changed since the last sync. Raises NetworkError, NotLoggedIn, ServerRefused, StorageError."""
        async with self._turn:
            await self._sync.run(epoch, self._queue)
            self._synced = True

    async def run(self, ready: asyncio.Event) -> None:
        """Store and deliver pushed entries, for ever; `ready` is set while the connection is up and synced."""
        while True:
            await self._queue.wait()
            await ready.wait()
            await self._dispatcher.wait_for_room()
            try:
                async with self._turn:
                    await self._store_next()
            except TimimError as exc:
                log.warning("new messages cannot be stored now, trying again: %s", exc)
                await asyncio.sleep(RETRY_S)

    async def _store_next(self) -> None:
        """Store and deliver the next batch of entries, or deliver the next online message, in the order of arrival."""
        online = self._queue.take_online()
        if online is not None:
            if online.entry is not None:
                message = decode_online_message(online.key, online.entry, self._user_id)
                self._dispatcher.deliver_messages([self._binder.bind(message)])
            return
        pushed = self._queue.take(BATCH)
        for key, entries in pushed.entries.items():
            if entries:
                for seq in self._ingest.acks_below(key, max(entries)):
                    entries.setdefault(seq)
        try:
            batches = [
                batch
                for key, entries in pushed.entries.items()
                if (batch := await self._live_batch(key, entries, pushed.up_to[key])) is not None
            ]
            await self._ingest.ingest(batches)
        except TimimError:
            for key, seq in pushed.up_to.items():
                self._queue.add_behind(key, seq)
            raise

    async def _live_batch(self, key: ConversationKey, entries: dict[int, Entry | None], last: int) -> IngestBatch | None:
        """Return the batch to store, with the entries that were missing up to `last`; None when nothing is new.

        `entries` holds None for our own entries, which are stored, or deleted.
        """
        head = await self._delivered_seq(key, min(entries, default=last))
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
                came += await self._fetch_gap(key, at, seq - 1, covered)
            entry = entries[seq]
            if entry is not None:
                came.append(entry)
            at = seq + 1
            if entry is None:
                covered += [Interval(run, seq - 1)] if seq > run else []
                run = at
        covered += [Interval(run, at - 1)] if at > run else []
        if at <= last:
            came += await self._fetch_gap(key, at, last, covered)
        rows, actions = partition(came, self._user_id)
        return IngestBatch(
            key,
            rows,
            covered,
            live=True,
            head=last,
            last_seq=last,
            acts=actions,
            acts_seq=last,
            user_id=self._user_id,
        )

    async def _catch_up(self, key: ConversationKey, first: int, last: int) -> None:
        """Fetch a long gap in parts, at the handlers' pace; entries that this account may not see any more stay a gap."""
        try:
            async for part in self._fetcher.fetch_upward(key, first, last):
                assert part.covered is not None
                await self._dispatcher.wait_for_room()
                rows, actions = partition(reversed(part.entries), self._user_id)
                batch = IngestBatch(key, rows, [part.covered], live=True, head=part.covered.last, last_seq=last)
                await self._ingest.ingest([replace(batch, acts=actions, acts_seq=batch.head, user_id=self._user_id)])
        except (NoPermission, UnknownGroup) as exc:
            log.warning("entries of %s up to seq %s are unavailable: %s", key, last, exc)
        await self._ingest.ingest([IngestBatch(key, live=True, head=last, last_seq=last, acts_seq=last)])

    async def _delivered_seq(self, key: ConversationKey, first: int) -> int:
        """Return the seq up to which everything is delivered; `first` is the first pushed seq."""
        head = self._ingest.delivered_seqs.get(key)
        if head is None:
            row = await self._store.conversations.get(key)
            head = row.head if row is not None else 0
            # the list would have told of entries after the delivered seq; but this account may have rejoined a group
            named = head and self._recent_contacts and first - 1 - head <= FRESH_LIMIT
            if key.type is ConversationType.GROUP and head < first - 1 and not named:
                head = max(head, await self._seq_before_joining(key, first))  # entries from before stay a gap
        return head

    async def _seq_before_joining(self, key: ConversationKey, first: int) -> int:
        """Return the last seq before this account joined a group whose entry `first` is the first that was pushed.

        The account's gateway may have learned late of the join. Without the conversation list nobody knows: then the
        pushed entry counts as the first.
        """
        changes = await self._fetcher.fetch_conversations(since=await self._sync.since())
        item = changes.items.get(key)
        if item is None or not self._recent_contacts:
            return first - 1
        return min(first - 1, max(item.first_visible_seq - 1, item.read_seq))

    async def _fetch_gap(self, key: ConversationKey, first: int, last: int, covered: list[Interval]) -> list[Entry]:
        """Fetch the entries of an interval, and add to `covered` the parts that the server proved.

        A member who rejoined sees a part only; entries that this account may not see any more stay a gap.
        """
        entries: list[Entry] = []
        try:
            async for part in self._fetcher.fetch_upward(key, first, last):
                entries += reversed(part.entries)
                covered += [part.covered] if part.covered is not None else []
        except (NoPermission, UnknownGroup) as exc:
            log.warning("entries of %s before seq %s are unavailable: %s", key, last + 1, exc)
        return entries
