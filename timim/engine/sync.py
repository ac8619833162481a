"""The sync after a login: fetches the changes since the last sync. See docs/explanation/history_and_coverage.md."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec

from ..errors import ProtocolError, RequestTimeout
from ..events import HistoryReset
from ..ids import ConversationKey, ConversationType
from ..protocol.codec import decode
from ..protocol.conversation_list import ConversationItem
from ..protocol.coverage import Interval
from ..protocol.entries import Entry
from ..storage import ConversationFlags, IngestBatch, LocalStore, ServerUnreadCount
from ..util.tasks import gather_cancelling
from .config import ClientConfig
from .conversations import ConversationIndex
from .decoding import decode_message, partition
from .dispatcher import Dispatcher
from .fetcher import ConversationChanges, Fetcher, key_of
from .ingest import Ingest
from .pending_changes import PendingChanges
from .push_queue import PushQueue
from .sync_failures import LIST, SyncFailure, SyncFailures, attempt_limit, concerns_one_conversation

log = logging.getLogger(__name__)
FRESH_LIMIT = 1000  # unread messages of a C2C conversation that a new device fetches; older ones remain a gap
CONVERSATIONS_AT_ONCE = 8  # fetched concurrently
PATIENCE = 0.4  # share of the request timeout after which unanswered requests delay a login no longer
BATCH = 512  # conversations in one transaction


class Sync:
    """Fetches, after a login, the changes since the last sync of this device."""

    def __init__(
        self,
        config: ClientConfig,
        store: LocalStore,
        fetcher: Fetcher,
        ingest: Ingest,
        changes: PendingChanges,
        conversations: ConversationIndex,
        dispatcher: Dispatcher,
    ) -> None:
        self._user_id = config.user_id
        self._patience_s = config.timeout_s * PATIENCE
        self.failures: SyncFailures = SyncFailures(store, conversations, dispatcher, now=config.now)
        self._recent_contacts = config.recent_contacts
        self._catch_up_groups = config.catch_up_groups
        self._store = store
        self._fetcher = fetcher
        self._ingest = ingest
        self._changes = changes
        self._conversations = conversations
        self._dispatcher = dispatcher
        self._new_here = True  # this device was never synced
        self._resumed = False  # this login was synced before, so that no later message may be missing

    def reset(self) -> None:
        """Forget this login, so that the next one syncs as in a new process."""
        self._resumed = False

    async def since(self) -> int:
        """Return the server's cursor of the last sync, or 0 before the first one."""
        return int(await self._store.meta.get(self._cursor, "0"))

    async def run(self, epoch: str, pushes: PushQueue) -> None:
        """Send the pending changes of this device; then fetch and deliver the changes since the last sync.

        If the server has another history, coverage and queued `pushes` are dropped first. After an error, the next call
        continues. A conversation that fails by itself is left to `retry_failed`, and the others are synced.

        Raises:
            NetworkError: The server cannot be reached.
            NotLoggedIn: The client is logged out.
            ServerRefused: The server refuses a request.
            StorageError: The local store cannot be read or written.
        """
        if epoch and await self._store.meta.enter_epoch(epoch):
            self._forget_history(epoch, pushes)
        await self._changes.send_all(limit_s=self._patience_s)
        since = await self.since()
        changed, known = await self._changed(since)
        if await self._went_back(changed, known):
            await self._store.meta.forget_history()
            self._forget_history(epoch, pushes)
            since = await self.since()
            changed, known = await self._changed(since)
        self._ingest.uncounted |= await self._changes.settings.deletions.catch_up(changed.deletions)
        for key, error in changed.malformed.items():
            if not self.failures.blocks(key):
                await self.failures.fail(key, error, since=since)
        log.debug("%d conversations of %s changed since the last sync", len(changed.items), self._user_id)
        whole: list[tuple[int, ConversationItem]] = []
        short: list[IngestBatch] = []
        action_seqs = await self._store.conversations.actions_seqs(list(changed.items))
        behind: list[tuple[int, ConversationItem]] = []  # groups with new actions on stored messages
        for key, contact in reversed(changed.items.items()):  # newest last, so that it is listed first within its second
            if self.failures.blocks(key):
                short.append(_unfetched(contact))
                continue
            follows = self._follows(key)
            if not follows and 0 < action_seqs.get(key, 0) < contact.action_seq:
                behind.append((action_seqs[key], contact))
            if not self._recent_contacts and key.type is ConversationType.GROUP and key not in self._ingest.delivered_seqs:
                if key in known:
                    short.append(self._settings_of(key, contact))
                continue
            delivered = self._first_fetched_after(key, contact, known.get(key, 0))
            ends_with_action = follows and contact.action_seq == contact.last_seq > delivered
            batch = None
            if contact.last_seq <= delivered + 1 and not ends_with_action:  # the list has last messages, not actions
                batch = self._batch_from_list(key, contact, delivered, known.get(key, 0))
            if batch is not None:
                short.append(batch)
            else:
                whole.append((delivered, contact))
        await self._run_concurrently(self._fetch_actions, behind, since)
        for first in range(0, len(short), BATCH):
            await self._dispatcher.wait_for_room()
            for key, unstored in (await self._ingest.ingest_each(short[first : first + BATCH])).items():
                await self.failures.fail(key, unstored, since=since)
        await self._run_concurrently(self._fetch_entries, whole, since)
        for notice in changed.receipts:
            await self._changes.settings.apply_receipt(notice)
        await self._changes.settings.count_unread(self._ingest.uncounted.copy())
        self._ingest.uncounted.clear()
        if changed.unnamed is not None:
            await self.failures.fail(LIST, changed.unnamed, since=since)
        else:
            await self._store.meta.set(self._cursor, str(changed.since))
            await self.failures.resolve(LIST)
        self._resumed = True

    async def retry_failed(self, pushes: PushQueue) -> None:
        """Try failed conversations again, each at its time, until cancelled.

        Raises:
            ConnectionFailed: The connection is lost.
            NotLoggedIn: The client is logged out.
            StorageError: The local store cannot be read or written.
        """
        while True:
            failure = await self.failures.next_due()
            before = await self._delivered_seq(failure.key)
            limit = attempt_limit()
            try:
                async with limit:
                    missing = await (self._fetch_missing(failure) if failure.seqs else self._sync_again(failure))
            except Exception as exc:
                if not concerns_one_conversation(exc):
                    raise
                if limit.expired() and await self._delivered_seq(failure.key) > before:
                    await self.failures.postpone(failure)
                else:
                    await self.failures.fail_again(failure, _late(failure.key) if limit.expired() else exc)
                continue
            if missing and failure.seqs:
                await self.failures.fail_again(msgspec.structs.replace(failure, seqs=missing), failure.error)
                continue
            log.info("synced %s of %s after %d failed attempts", failure.key, self._user_id, failure.attempts)
            pushed = await self.failures.resolve(failure.key)
            if missing:
                await self.failures.miss(failure.key, missing)
            if pushed:
                pushes.add_behind(failure.key, pushed)
                pushes.wake()

    async def _sync_again(self, failure: SyncFailure) -> list[int]:
        """Fetch all that a conversation missed; return the seqs of entries that cannot be decoded."""
        key = failure.key
        changed = await self._fetcher.fetch_conversations(since=failure.since)
        if (error := changed.malformed.get(key)) is not None:
            raise error
        contact = changed.items.get(key)
        if contact is None:  # this account has left the group
            return []
        known = await self._delivered_seq(key)
        return await self._fetch_entries(self._first_fetched_after(key, contact, known), contact)

    async def _fetch_missing(self, failure: SyncFailure) -> list[int]:
        """Fetch and deliver entries that could not be decoded; return the seqs of those that still cannot."""
        missing: list[int] = []
        for seq in failure.seqs:
            part = await self._fetcher.fetch_newest(failure.key, seq, seq, 1)
            missing += part.undecodable
            incoming, actions = partition(part.entries, self._user_id)
            batch = IngestBatch(failure.key, incoming, part.intervals, live=True, last_seq=part.last_seq)
            await self._ingest.ingest([replace(batch, actions=actions, actions_seq=1, user_id=self._user_id)])
        return missing

    def _forget_history(self, epoch: str, pushes: PushQueue) -> None:
        self._ingest.reset()
        pushes.clear()
        self._dispatcher.deliver_event(HistoryReset(epoch))

    async def _delivered_seq(self, key: ConversationKey) -> int:
        return (await self._store.conversations.delivered_seqs([key])).get(key, 0)

    @property
    def _cursor(self) -> str:
        return "synced" if self._recent_contacts else "synced-c2c"

    async def _changed(self, since: int) -> tuple[ConversationChanges, dict[ConversationKey, int]]:
        """Return the conversations that changed since the last sync, and the delivered seqs in the local store."""
        limit = attempt_limit()
        try:
            async with limit:
                changed = await self._fetcher.fetch_conversations(since=since)
        except TimeoutError:
            if not limit.expired():
                raise
            raise _late(None) from None
        self._new_here = since == 0
        return changed, await self._store.conversations.delivered_seqs(list(changed.items))

    async def _went_back(self, changed: ConversationChanges, known: dict[ConversationKey, int]) -> bool:
        """Return True if the server lost history that this device has: a backup was restored without `new_epoch`.

        Otherwise a timeline never gets shorter. If no changed timeline is shorter than the stored one, compare the last stored
        message of one conversation with the server's message of the same seq.
        """
        if any(contact.last_seq < known.get(key, 0) for key, contact in changed.items.items()):
            return True
        key = self._conversations.newest_c2c()
        if key is None or key in changed.items:
            return False
        delivered = await self._delivered_seq(key)
        stored = await self._store.messages.msg_id_at(key, delivered)
        if stored is None:
            return False
        fetched = await self._fetcher.fetch_newest(key, delivered, delivered, 1)
        return fetched.last_seq < delivered or any(
            not entry.tombstone and decode_message(entry, self._user_id).msg_id != stored for entry in fetched.entries
        )

    def _follows(self, key: ConversationKey) -> bool:
        """Return True if the sync delivers all new messages of a conversation, False if only the last one."""
        if key.type is not ConversationType.GROUP or key in self._ingest.delivered_seqs:
            return True
        if self._new_here or not self._recent_contacts:
            return False
        if self._catch_up_groups is None:
            return bool(self._dispatcher.messages.handlers)
        return self._catch_up_groups

    def _first_fetched_after(self, key: ConversationKey, contact: ConversationItem, known: int) -> int:
        """Return the seq after which a login fetches messages; a gap below it is not fetched."""
        begin = max(contact.first_visible_seq - 1, known)
        if key in self._ingest.delivered_seqs:
            return max(begin, self._ingest.delivered_seqs[key])
        in_group = key.type is ConversationType.GROUP
        if in_group and (self._resumed or self._follows(key)):  # all entries since the last sync, or since the joining
            return begin if known else max(begin, contact.read_seq)
        if in_group:
            return max(begin, contact.last_seq - 1)
        if known or not self._new_here:  # an unknown conversation was created after the last sync
            return begin
        one = key.type is ConversationType.C2C and self._recent_contacts  # fetch the last message even if it was read
        return max(begin, min(contact.read_seq, contact.last_seq - one), contact.last_seq - FRESH_LIMIT)

    def _batch_from_list(
        self, key: ConversationKey, contact: ConversationItem, delivered: int, known: int
    ) -> IngestBatch | None:
        """Return the batch of a conversation in which only the last message can be new, which the list contains.

        A message up to the stored delivered seq `known` was delivered before, and may have been deleted on this device. If the
        last message cannot be decoded, return None: the history shows which entry it is.
        """
        batch = self._batch(key, contact, delivered_seq=max(delivered, contact.last_seq))
        if contact.last_seq > delivered and not isinstance(contact.message, msgspec.UnsetType):
            entry = _last_message(contact)
            if entry is None:
                return None
            if entry.timeline_seq <= known:
                return batch
            incoming, _ = partition([entry], self._user_id)
            # cover only the message: actions with higher seqs are not in the list
            return replace(batch, incoming=incoming, covered=[Interval(entry.timeline_seq, entry.timeline_seq)])
        return batch if self._recent_contacts else replace(batch, live=False)  # without a new message it is not listed

    async def _fetch_entries(self, delivered: int, contact: ConversationItem) -> list[int]:
        """Fetch all entries above a seq. If all are actions, also store the last message from the list.

        Returns:
            The seqs of entries that cannot be decoded.
        """
        key = key_of(contact)
        missing: list[int] = []
        entry = _last_message(contact)
        if self._new_here and entry is not None and entry.timeline_seq <= delivered:
            incoming, _ = partition([entry], self._user_id)
            covered = [Interval(entry.timeline_seq, entry.timeline_seq)]
            await self._ingest.ingest([IngestBatch(key, incoming, covered, live=True, last_seq=contact.last_seq)])
        async for part in self._fetcher.fetch_upward(key, delivered + 1, contact.last_seq):
            assert part.covered is not None
            incoming, actions = partition(reversed(part.entries), self._user_id)
            batch = self._batch(key, contact, delivered_seq=part.covered.last)
            await self._dispatcher.wait_for_room()
            await self._ingest.ingest([replace(batch, incoming=incoming, covered=part.intervals, actions=actions)])
            missing += part.undecodable
        return missing

    async def _fetch_actions(self, after: int, contact: ConversationItem) -> list[int]:
        """Fetch a group's actions above a seq, and apply them to stored messages, even if messages in between are missing."""
        key = key_of(contact)
        async for entries, up_to in self._fetcher.fetch_actions(key, after + 1, contact.last_seq):
            _, actions = partition(entries, self._user_id)
            await self._ingest.ingest([IngestBatch(key, actions=actions, actions_seq=up_to, user_id=self._user_id)])
        return []

    def _batch(self, key: ConversationKey, contact: ConversationItem, *, delivered_seq: int) -> IngestBatch:
        return IngestBatch(
            key=key,
            live=True,
            delivered_seq=delivered_seq,
            last_seq=contact.last_seq,
            read_seq=contact.read_seq,
            reset_version=contact.read_reset,
            first_visible_seq=contact.first_visible_seq,
            actions_seq=delivered_seq,
            user_id=self._user_id,
            count=ServerUnreadCount(contact.unread_now, contact.mentioned, contact.unread_seq, contact.read_seq),
            peer_read_seq=contact.peer_read_seq,
            flags=ConversationFlags(contact.pinned, bool(contact.muted), contact.draft, contact.settings_version),
        )

    def _settings_of(self, key: ConversationKey, contact: ConversationItem) -> IngestBatch:
        """Return a batch with the settings and the read seq of a conversation, whose messages are not synced."""
        return replace(self._batch(key, contact, delivered_seq=0), live=False, last_seq=0)

    async def _run_concurrently(
        self,
        fetch: Callable[[int, ConversationItem], Awaitable[list[int]]],
        conversations: Sequence[tuple[int, ConversationItem]],
        since: int,
    ) -> None:
        """Fetch conversations, at most CONVERSATIONS_AT_ONCE at a time.

        One that fails by itself is left to the retries, and so is one that is not fetched within the limit of an attempt. If
        the server does not answer some requests, or several conversations do not end, those that are not fetched within the
        patience of a login are left to the retries too.
        """
        slots = asyncio.Semaphore(CONVERSATIONS_AT_ONCE)
        unanswered = asyncio.Event()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience_s
        late: list[ConversationItem] = []

        async def one(after: int, contact: ConversationItem) -> None:
            key = key_of(contact)
            async with slots:
                if unanswered.is_set() and loop.time() > end:
                    late.append(contact)
                    return
                limit = attempt_limit()
                try:
                    async with limit:
                        missing = await fetch(after, contact)
                except Exception as exc:
                    if limit.expired():
                        late.append(contact)
                        if len(late) >= CONVERSATIONS_AT_ONCE:
                            unanswered.set()
                        return
                    if not concerns_one_conversation(exc):
                        raise
                    if isinstance(exc, RequestTimeout):
                        unanswered.set()
                    await self.failures.fail(key, exc, since=since)
                    await self._ingest.ingest([_unfetched(contact)])
                else:
                    if missing:
                        await self.failures.miss(key, missing)

        await gather_cancelling(*(one(after, contact) for after, contact in conversations))
        await self.failures.defer([key_of(contact) for contact in late], since=since)
        await self._ingest.ingest([_unfetched(contact) for contact in late])


def _late(key: ConversationKey | None) -> RequestTimeout:
    """Return the error of an attempt that ended without progress."""
    named = f"of {key}" if key is not None else "and the conversation list"
    return RequestTimeout(f"fetching the history {named} took longer than the limit of an attempt")


def _unfetched(contact: ConversationItem) -> IngestBatch:
    """Return a batch that stores only the last seq of a conversation, so that its coverage names what is missing."""
    return IngestBatch(key_of(contact), last_seq=contact.last_seq)


def _last_message(contact: ConversationItem) -> Entry | None:
    """Decode the last message of an item; return None if there is none, or if it cannot be decoded."""
    if isinstance(contact.message, msgspec.UnsetType):
        return None
    try:
        return decode(Entry, contact.message)
    except ProtocolError:
        return None
