"""Incoming messages: pushed entries and own acks are stored in the order of their seqs; syncs and batches never overlap.

If the seq of a push is not the next one, the entries in between are fetched first. If that fails, nothing of the batch is
stored, and the next attempt or the sync after the next login fetches it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

from ..errors import ConnectionFailed, NoPermission, TimimError, UnknownGroup
from ..events import TypingChanged
from ..ids import ConversationKey, ConversationType
from ..protocol.coverage import Interval
from ..protocol.entries import Entry
from ..protocol.typing_status import typing_status
from ..storage import IngestBatch, LocalStore
from .binding import ClientBinder
from .config import ClientConfig
from .decoding import decode_online_message, partition
from .dispatcher import Dispatcher
from .fetcher import Fetcher
from .ingest import Ingest
from .ingest_slot import IngestSlot
from .push_queue import PushQueue
from .sync import FRESH_LIMIT, Sync
from .sync_failures import SyncFailures, attempt_limit, concerns_one_conversation

log = logging.getLogger(__name__)

BATCH = 512  # entries in one transaction
GAP_LIMIT = 200  # missing entries that are fetched as one batch; a longer gap is fetched in parts, at the handlers' pace
RETRY_S = 1.0  # between attempts while the server or the disk fails


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
        self.failures: SyncFailures = sync.failures
        self._queue = PushQueue()
        self._synced = False
        self._turn = asyncio.Lock()  # held by a sync or by a batch of pushes
        self._slot = IngestSlot()  # given up before a fetch: a slow server delays no other client

    def push(self, pushed: Iterable[tuple[ConversationKey, Entry]]) -> None:
        """Queue pushed entries with their conversations, up to an error of the iterable. Never blocks."""
        self._queue.push(pushed)

    def on_ack(self, key: ConversationKey, seq: int) -> None:
        """Note the seq of a message that this device sent, so that a later push does not fetch the message."""
        self._ingest.add_ack(key, seq)

    def on_own_entries(self, key: ConversationKey, seqs: Iterable[int], *, delivered_seq: int = 0) -> None:
        """Queue the seqs of messages or actions that this device sent and has stored.

        `delivered_seq` is the seq up to which the store has all entries.
        """
        self._ingest.raise_delivered_seq(key, delivered_seq)
        delivered_seq = self._ingest.delivered_seqs.get(key, 0)
        for seq in seqs:
            if seq > delivered_seq:
                self._queue.push_own(key, seq)

    async def last_seq(self, key: ConversationKey) -> int | None:
        """Return the highest existing seq if this connection received it, None otherwise.

        A conversation whose sync failed has later entries that this connection did not receive.
        """
        if not self._synced or self.failures.blocks(key):
            return None
        if key in self._ingest.delivered_seqs:
            return self._ingest.delivered_seqs[key]
        in_group = key.type is ConversationType.GROUP
        if in_group and not self._recent_contacts:
            return None
        # the sync did not report this conversation, so it has not changed
        stored = (await self._store.conversations.delivered_seqs([key])).get(key, 0)
        return None if in_group and not stored else stored  # an unknown group may be missing from the list for other reasons

    def on_disconnected(self) -> None:
        """Note that the connection is lost, so that unknown later seqs may exist."""
        self._synced = False

    def reset(self) -> None:
        """Forget this login, so that the next one starts as in a new process."""
        self._synced = False
        self._sync.reset()
        self._ingest.reset()
        self._queue.clear()

    async def sync(self, epoch: str = "") -> None:
        """Fetch the changes since the last sync. Raises NetworkError, NotLoggedIn, ServerRefused, StorageError."""
        async with self._turn:
            await self._sync.run(epoch, self._queue)
            self._synced = True

    async def retry_failed(self, ready: asyncio.Event) -> None:
        """Try failed conversations again until cancelled, while the connection is up."""
        while True:
            await ready.wait()
            try:
                await self._sync.retry_failed(self._queue)
            except TimimError as exc:
                log.debug("retrying failed conversations of %s was interrupted: %s", self._user_id, exc)
                await asyncio.sleep(RETRY_S)

    async def run(self, ready: asyncio.Event) -> None:
        """Store and deliver pushed entries until cancelled; `ready` is set while the connection is up and synced."""
        while True:
            await self._queue.wait()
            await ready.wait()
            await self._dispatcher.wait_for_room()
            try:
                async with self._turn, self._slot:
                    await self._store_next()
            except ConnectionFailed as exc:
                log.debug("fetching entries for %s failed; trying again in %g s: %s", self._user_id, RETRY_S, exc)
                await asyncio.sleep(RETRY_S)
            except TimimError as exc:
                log.warning("storing entries for %s failed; trying again in %g s: %s", self._user_id, RETRY_S, exc)
                await asyncio.sleep(RETRY_S)

    async def _store_next(self) -> None:
        """Store and deliver the next batch of entries, or deliver the next online message, in the order of arrival."""
        online = self._queue.take_online()
        if online is not None:
            if online.entry is not None:
                typing = typing_status(online.entry.msg_body)
                if typing is not None:
                    self._dispatcher.deliver_event(TypingChanged(online.key, online.entry.from_account, typing))
                    return
                message = decode_online_message(online.key, online.entry, self._user_id)
                self._dispatcher.deliver_messages([self._binder.bind(message)])
            return
        pushed = self._queue.take(BATCH)
        for key, entries in pushed.entries.items():
            if entries:
                for seq in self._ingest.acks_below(key, max(entries)):
                    entries.setdefault(seq)
        batches: list[IngestBatch] = []
        try:
            for key, entries in pushed.entries.items():
                batch = await self._batch_or_failure(key, entries, pushed.up_to[key])
                if batch is not None:
                    batches.append(batch)
            for key, error in (await self._ingest.ingest_each(batches)).items():
                await self.failures.fail(key, error, since=await self._sync.since())
                self.failures.note_pushed(key, pushed.up_to[key])
        except TimimError:
            for key, seq in pushed.up_to.items():
                self._queue.add_behind(key, seq)
            raise

    async def _batch_or_failure(self, key: ConversationKey, entries: dict[int, Entry | None], last: int) -> IngestBatch | None:
        """Return the batch to store; None for a conversation that waits for a retry, or that fails by itself now."""
        if not self.failures.blocks(key):
            limit = attempt_limit()
            try:
                async with limit:
                    return await self._live_batch(key, entries, last)
            except Exception as exc:
                if limit.expired():
                    await self.failures.defer([key], since=await self._sync.since())
                elif not concerns_one_conversation(exc):
                    raise
                else:
                    await self.failures.fail(key, exc, since=await self._sync.since())
        self.failures.note_pushed(key, last)
        return None

    async def _live_batch(self, key: ConversationKey, entries: dict[int, Entry | None], last: int) -> IngestBatch | None:
        """Build the batch to store from `entries`; fetch the entries missing up to `last`. Return None if nothing is new.

        In `entries`, None marks an entry that this device sent, which does not need to be stored again.
        """
        delivered = await self._delivered_seq(key, min(entries, default=last))
        if last <= delivered:
            return None
        if last - delivered - sum(seq > delivered for seq in entries) > GAP_LIMIT:
            await self._catch_up(key, delivered + 1, last)
            return None
        received: list[Entry] = []
        covered: list[Interval] = []
        run = at = delivered + 1
        for seq in sorted(s for s in entries if s > delivered):
            if seq > at:
                covered += [Interval(run, at - 1)] if at > run else []
                run = seq
                received += await self._fetch_gap(key, at, seq - 1, covered)
            entry = entries[seq]
            if entry is not None:
                received.append(entry)
            at = seq + 1
            if entry is None:
                covered += [Interval(run, seq - 1)] if seq > run else []
                run = at
        covered += [Interval(run, at - 1)] if at > run else []
        if at <= last:
            received += await self._fetch_gap(key, at, last, covered)
        rows, actions = partition(received, self._user_id)
        return IngestBatch(
            key,
            rows,
            covered,
            live=True,
            delivered_seq=last,
            last_seq=last,
            actions=actions,
            actions_seq=last,
            user_id=self._user_id,
        )

    async def _catch_up(self, key: ConversationKey, first: int, last: int) -> None:
        """Fetch a long gap in parts, at the handlers' pace. Entries that this account may not read remain a gap."""
        self._slot.release()
        try:
            async for part in self._fetcher.fetch_upward(key, first, last):
                assert part.covered is not None
                await self._dispatcher.wait_for_room()
                rows, actions = partition(reversed(part.entries), self._user_id)
                batch = IngestBatch(key, rows, part.intervals, live=True, delivered_seq=part.covered.last, last_seq=last)
                await self._ingest.ingest(
                    [replace(batch, actions=actions, actions_seq=batch.delivered_seq, user_id=self._user_id)]
                )
                if part.undecodable:
                    await self.failures.miss(key, list(part.undecodable))
        except (NoPermission, UnknownGroup) as exc:
            log.warning("skipped entries of %s up to seq %d, which this account may not read: %s", key, last, exc)
        await self._ingest.ingest([IngestBatch(key, live=True, delivered_seq=last, last_seq=last, actions_seq=last)])

    async def _delivered_seq(self, key: ConversationKey, first: int) -> int:
        """Return the seq up to which all entries are delivered; `first` is the first pushed seq."""
        delivered = self._ingest.delivered_seqs.get(key)
        if delivered is None:
            row = await self._store.conversations.get(key)
            delivered = row.delivered_seq if row is not None else 0
            # the sync would have reported entries after the delivered seq, unless this account rejoined a group since
            continuous = delivered and self._recent_contacts and first - 1 - delivered <= FRESH_LIMIT
            if key.type is ConversationType.GROUP and delivered < first - 1 and not continuous:
                delivered = max(delivered, await self._seq_before_joining(key, first))  # earlier entries remain a gap
        return delivered

    async def _seq_before_joining(self, key: ConversationKey, first: int) -> int:
        """Return the last seq before this account joined a group; `first` is the first pushed seq.

        The server node of this account may have been notified late of the join, so that earlier entries were not pushed.
        Without the conversation list the client cannot know this, and treats the pushed entry as the first.
        """
        self._slot.release()
        changes = await self._fetcher.fetch_conversations(since=await self._sync.since())
        item = changes.items.get(key)
        if item is None or not self._recent_contacts:
            return first - 1
        return min(first - 1, max(item.first_visible_seq - 1, item.read_seq))

    async def _fetch_gap(self, key: ConversationKey, first: int, last: int, covered: list[Interval]) -> list[Entry]:
        """Fetch the entries of an interval, and add the covered intervals to `covered`.

        Entries that this account may not read, for example after it rejoined a group, are not fetched and remain a gap.
        """
        entries: list[Entry] = []
        self._slot.release()
        try:
            async for part in self._fetcher.fetch_upward(key, first, last):
                entries += reversed(part.entries)
                covered += part.intervals
                if part.undecodable:
                    await self.failures.miss(key, list(part.undecodable))
        except (NoPermission, UnknownGroup) as exc:
            log.warning("skipped entries of %s up to seq %d, which this account may not read: %s", key, last, exc)
        return entries
