"""The sync after a login: fetches what changed since the last one, as docs/explanation/history_and_coverage.md describes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec

from ..events import HistoryReset
from ..ids import ConversationKey, ConversationType
from ..protocol.codec import decode
from ..protocol.conversation_list import ConversationItem
from ..protocol.coverage import Interval
from ..protocol.entries import Entry
from ..storage import ConversationFlags, IngestBatch, LocalStore, ServerUnreadCount
from ..util.tasks import gather_cancelling
from .config import ClientConfig
from .conversation_settings import ConversationSettings
from .conversations import ConversationIndex
from .decoding import decode_message, partition
from .dispatcher import Dispatcher
from .fetcher import ConversationChanges, Fetcher, key_of
from .ingest import Ingest
from .push_queue import PushQueue

FRESH_LIMIT = 1000  # unread C2C messages brought to a device that has nothing yet; older ones stay a hole
CONVERSATIONS_AT_ONCE = 8  # brought side by side
BATCH = 512  # conversations in one write


class Sync:
    """Fetches, after a login, the changes since the last sync of this device."""

    def __init__(
        self,
        config: ClientConfig,
        store: LocalStore,
        fetcher: Fetcher,
        ingest: Ingest,
        settings: ConversationSettings,
        conversations: ConversationIndex,
        dispatcher: Dispatcher,
    ) -> None:
        self._user_id = config.user_id
        self._recent_contacts = config.recent_contacts
        self._store = store
        self._fetcher = fetcher
        self._ingest = ingest
        self._settings = settings
        self._conversations = conversations
        self._dispatcher = dispatcher
        self._new_here = True  # this device was never synced
        self._resumed = False  # an earlier sync of this login is behind us: what came since may not be missing

    def reset(self) -> None:
        """Forget this login: the next one syncs as a new process does."""
        self._resumed = False

    async def since(self) -> int:
        """Return the server's mark of the last sync."""
        return int(await self._store.meta.get(self._cursor, "0"))

    async def run(self, epoch: str, pushes: PushQueue) -> None:
        """Fetch and deliver what changed since the last sync.

        When the server's history turns out to be another one, coverage and the waiting `pushes` are dropped first.
        Raises NetworkError, NotLoggedIn, ServerRefused, StorageError; the next call continues.
        """
        if epoch and await self._store.meta.enter_epoch(epoch):
            self._forget_history(epoch, pushes)
        changed, known = await self._changed()
        if await self._went_back(changed, known):
            await self._store.meta.forget_history()
            self._forget_history(epoch, pushes)
            changed, known = await self._changed()
        whole: list[tuple[int, ConversationItem]] = []
        short: list[IngestBatch] = []
        acts = await self._store.conversations.acts_seqs(list(changed.items))
        behind: list[tuple[int, ConversationItem]] = []  # groups in which something was done to messages meanwhile
        for key, contact in reversed(changed.items.items()):  # the newest last: of one second, it is listed first then
            if (
                key.type is ConversationType.GROUP
                and 0 < acts.get(key, 0) < contact.action_seq
                and key not in self._ingest.delivered_seqs
            ):
                behind.append((acts[key], contact))
            if key.type is ConversationType.GROUP and not self._recent_contacts and key not in self._ingest.delivered_seqs:
                continue
            head = self._first_fetched_after(key, contact, known.get(key, 0))
            at_top = contact.action_seq == contact.last_seq > head and (
                key.type is not ConversationType.GROUP or key in self._ingest.delivered_seqs
            )
            if contact.last_seq > head + 1 or at_top:  # at the top: an act, which the list does not hold
                whole.append((head, contact))
            else:
                short.append(self._batch_from_list(key, contact, head))
        await self._run_concurrently(self._fetch_actions, behind)
        for first in range(0, len(short), BATCH):
            await self._dispatcher.wait_for_room()
            await self._ingest.ingest(short[first : first + BATCH])
        await self._run_concurrently(self._fetch_entries, whole)
        for notice in changed.receipts:
            await self._settings.apply_receipt(notice)
        await self._store.meta.set(self._cursor, str(changed.since))
        self._resumed = True

    def _forget_history(self, epoch: str, pushes: PushQueue) -> None:
        self._ingest.reset()
        pushes.clear()
        self._dispatcher.deliver_event(HistoryReset(epoch))

    @property
    def _cursor(self) -> str:
        return "synced" if self._recent_contacts else "synced-c2c"

    async def _changed(self) -> tuple[ConversationChanges, dict[ConversationKey, int]]:
        """Return the conversations that changed since the last sync, and the stored delivered seqs of the known ones."""
        since = await self.since()
        changed = await self._fetcher.fetch_conversations(since=since)
        self._new_here = since == 0
        return changed, await self._store.conversations.heads(list(changed.items))

    async def _went_back(self, changed: ConversationChanges, known: dict[ConversationKey, int]) -> bool:
        """Return whether the server lost history: a back-up was restored without a new epoch.

        A timeline never gets shorter. When the list names no shorter one, the last message of one conversation is compared.
        """
        if any(contact.last_seq < known.get(key, 0) for key, contact in changed.items.items()):
            return True
        key = self._conversations.newest_c2c()
        if key is None or key in changed.items:
            return False
        head = (await self._store.conversations.heads([key])).get(key, 0)
        held = await self._store.messages.msg_id_at(key, head)
        if held is None:
            return False
        there = await self._fetcher.fetch_newest(key, head, head, 1)
        return there.last_seq < head or any(
            not entry.tombstone and decode_message(entry, self._user_id).msg_id != held for entry in there.entries
        )

    def _first_fetched_after(self, key: ConversationKey, contact: ConversationItem, known: int) -> int:
        """Return the seq after which a login fetches messages; a gap below it stays a gap."""
        begin = max(contact.first_visible_seq - 1, known)
        if key in self._ingest.delivered_seqs:
            return max(begin, self._ingest.delivered_seqs[key])
        in_group = key.type is ConversationType.GROUP
        if in_group and self._resumed:  # a cut since this login: nothing may be missing since it came into the group
            return begin if known else max(begin, contact.read_seq)
        if in_group:
            return max(begin, contact.last_seq - 1)
        if known or not self._new_here:  # one that was not listed the last time has come to be since
            return begin
        one = key.type is ConversationType.C2C and self._recent_contacts  # one last message each, also if it was read
        return max(begin, min(contact.read_seq, contact.last_seq - one), contact.last_seq - FRESH_LIMIT)

    def _batch_from_list(self, key: ConversationKey, contact: ConversationItem, head: int) -> IngestBatch:
        """Return the batch that the list itself holds: at most the last message is new."""
        batch = self._batch(key, contact, head=max(head, contact.last_seq))
        if contact.last_seq > head and not isinstance(contact.message, msgspec.UnsetType):
            entry = decode(Entry, contact.message)
            incoming, _ = partition([entry], self._user_id)
            # an act may stand above the last message: then that was covered before, or is now, and the act is not
            return replace(batch, incoming=incoming, covered=[Interval(entry.timeline_seq, entry.timeline_seq)])
        return batch if self._recent_contacts else replace(batch, live=False)  # what it read elsewhere; it is not listed

    async def _fetch_entries(self, head: int, contact: ConversationItem) -> None:
        """Fetch all entries above a seq; and take the last message from the list when only actions are above."""
        key = key_of(contact)
        if not isinstance(contact.message, msgspec.UnsetType):
            entry = decode(Entry, contact.message)
            if entry.timeline_seq <= head:
                incoming, _ = partition([entry], self._user_id)
                at = [Interval(entry.timeline_seq, entry.timeline_seq)]
                await self._ingest.ingest([IngestBatch(key, incoming, at, live=True, last_seq=contact.last_seq)])
        async for part in self._fetcher.fetch_upward(key, head + 1, contact.last_seq):
            assert part.covered is not None
            incoming, acts = partition(reversed(part.entries), self._user_id)
            batch = self._batch(key, contact, head=part.covered.last)
            await self._dispatcher.wait_for_room()
            await self._ingest.ingest([replace(batch, incoming=incoming, covered=[part.covered], acts=acts)])

    async def _fetch_actions(self, after: int, contact: ConversationItem) -> None:
        """Fetch the actions on a group's messages above a seq; they apply to stored messages, whatever is missing between."""
        key = key_of(contact)
        async for entries, up_to in self._fetcher.fetch_actions(key, after + 1, contact.last_seq):
            _, acts = partition(entries, self._user_id)
            await self._ingest.ingest([IngestBatch(key, acts=acts, acts_seq=up_to, user_id=self._user_id)])

    def _batch(self, key: ConversationKey, contact: ConversationItem, *, head: int) -> IngestBatch:
        return IngestBatch(
            key=key,
            live=True,
            head=head,
            last_seq=contact.last_seq,
            read_seq=contact.read_seq,
            floor=contact.first_visible_seq,
            acts_seq=head,
            user_id=self._user_id,
            count=ServerUnreadCount(contact.unread_now, contact.mentioned, contact.unread_seq),
            peer_read_seq=contact.peer_read_seq,
            marks=ConversationFlags(contact.pinned, bool(contact.muted), contact.draft),
        )

    async def _run_concurrently(
        self, bring: Callable[[int, ConversationItem], Awaitable[None]], conversations: Sequence[tuple[int, ConversationItem]]
    ) -> None:
        slots = asyncio.Semaphore(CONVERSATIONS_AT_ONCE)

        async def one(head: int, contact: ConversationItem) -> None:
            async with slots:
                await bring(head, contact)

        await gather_cancelling(*(one(head, contact) for head, contact in conversations))
