"""After a login: what changed since the last sync is brought, as docs/history.md says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import msgspec

from ..ids import ConversationKey, ConversationType
from ..protocol.codec import decode
from ..protocol.conversation_list import ConversationItem, ReceiptNotice
from ..protocol.coverage import Interval
from ..protocol.entries import Entry
from ..storage import ConversationFlags, IngestBatch, LocalStore, UnreadCount
from ..util.tasks import together
from .decoding import incoming_of, split
from .fetcher import Changed, Fetcher, key_of
from .ingest import Keeper

FRESH_LIMIT = 1000  # unread C2C messages brought to a device that has nothing yet; older ones stay a hole
CONVERSATIONS_AT_ONCE = 8  # brought side by side
BATCH = 512  # conversations in one write


class Sync:
    """`room` waits until handlers have caught up. `newest` names a conversation that holds something late; `reset` hears when
    the server's history is not the one known; `receipt` hears what others have read meanwhile.
    """

    def __init__(
        self,
        store: LocalStore,
        fetcher: Fetcher,
        keeper: Keeper,
        *,
        user_id: str,
        recent_contacts: bool,
        room: Callable[[], Awaitable[None]],
        newest: Callable[[], ConversationKey | None],
        reset: Callable[[], None],
        receipt: Callable[[ReceiptNotice], Awaitable[None]],
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._keeper = keeper
        self._user_id = user_id
        self._recent_contacts = recent_contacts
        self._room = room
        self._newest = newest
        self._reset = reset
        self._receipt = receipt
        self._new_here = True  # this device was never synced
        self._resumed = False  # an earlier sync of this login is behind us: what came since may not be missing

    def leave(self) -> None:
        """Logged out: the next login begins as one of a new process does."""
        self._resumed = False

    async def since(self) -> int:
        """The server's mark of the last sync."""
        return int(await self._store.meta(self._cursor, "0"))

    async def run(self, epoch: str, forget: Callable[[], None]) -> None:
        """After a login: what changed since the last sync, as docs/history.md says. Raises NetworkError and its like."""
        if epoch and await self._store.enter_epoch(epoch):
            forget()
            self._reset()
        changed, known = await self._changed()
        if await self._went_back(changed, known):
            await self._store.forget_history()
            forget()
            self._reset()
            changed, known = await self._changed()
        whole: list[tuple[int, ConversationItem]] = []
        short: list[IngestBatch] = []
        acts = await self._store.acts_seqs(list(changed.items))
        behind: list[tuple[int, ConversationItem]] = []  # groups in which something was done to messages meanwhile
        for key, contact in reversed(changed.items.items()):  # the newest last: of one second, it is listed first then
            if (
                key.type is ConversationType.GROUP
                and 0 < acts.get(key, 0) < contact.action_seq
                and key not in self._keeper.heads
            ):
                behind.append((acts[key], contact))
            if key.type is ConversationType.GROUP and not self._recent_contacts and key not in self._keeper.heads:
                continue
            head = self._head_at_login(key, contact, known.get(key, 0))
            at_top = contact.action_seq == contact.last_seq > head and (
                key.type is not ConversationType.GROUP or key in self._keeper.heads
            )
            if contact.last_seq > head + 1 or at_top:  # at the top: an act, which the list does not hold
                whole.append((head, contact))
            else:
                short.append(self._told(key, contact, head))
        await self._side_by_side(self._bring_acts, behind)
        for first in range(0, len(short), BATCH):
            await self._room()
            await self._keeper.keep(short[first : first + BATCH])
        await self._side_by_side(self._bring, whole)
        for notice in changed.receipts:
            await self._receipt(notice)
        await self._store.set_meta(self._cursor, str(changed.since))
        self._resumed = True

    @property
    def _cursor(self) -> str:
        return "synced" if self._recent_contacts else "synced-c2c"

    async def _changed(self) -> tuple[Changed, dict[ConversationKey, int]]:
        """The conversations that changed since the last sync, and the heads of those that are known."""
        since = await self.since()
        changed = await self._fetcher.contacts(since=since)
        self._new_here = since == 0
        return changed, await self._store.heads(list(changed.items))

    async def _went_back(self, changed: Changed, known: dict[ConversationKey, int]) -> bool:
        """Whether the server does not have what it had: a back-up was restored, and its operator did not say so.

        A timeline never gets shorter. What the list does not name is proven by the last message of one conversation.
        """
        if any(contact.last_seq < known.get(key, 0) for key, contact in changed.items.items()):
            return True
        key = self._newest()
        if key is None or key in changed.items:
            return False
        head = (await self._store.heads([key])).get(key, 0)
        held = await self._store.msg_id_at(key, head)
        if held is None:
            return False
        there = await self._fetcher.newest_of(key, head, head, 1)
        return there.last_seq < head or any(
            not entry.tombstone and incoming_of(entry, self._user_id).msg_id != held for entry in there.entries
        )

    def _head_at_login(self, key: ConversationKey, contact: ConversationItem, known: int) -> int:
        """The seq after which a login brings messages; what lies below it and is not held stays a hole."""
        begin = max(contact.first_visible_seq - 1, known)
        if key in self._keeper.heads:
            return max(begin, self._keeper.heads[key])
        in_group = key.type is ConversationType.GROUP
        if in_group and self._resumed:  # a cut since this login: nothing may be missing since it came into the group
            return begin if known else max(begin, contact.read_seq)
        if in_group:
            return max(begin, contact.last_seq - 1)
        if known or not self._new_here:  # one that was not listed the last time has come to be since
            return begin
        one = key.type is ConversationType.C2C and self._recent_contacts  # one last message each, also if it was read
        return max(begin, min(contact.read_seq, contact.last_seq - one), contact.last_seq - FRESH_LIMIT)

    def _told(self, key: ConversationKey, contact: ConversationItem, head: int) -> IngestBatch:
        """What the list itself says of a conversation; at most its last message is new."""
        batch = self._batch(key, contact, head=max(head, contact.last_seq))
        if contact.last_seq > head and not isinstance(contact.message, msgspec.UnsetType):
            entry = decode(Entry, contact.message)
            incoming, _ = split([entry], self._user_id)
            # an act may stand above the last message: then that was covered before, or is now, and the act is not
            return replace(batch, incoming=incoming, covered=[Interval(entry.timeline_seq, entry.timeline_seq)])
        return batch if self._recent_contacts else replace(batch, live=False)  # what it read elsewhere; it is not listed

    async def _bring(self, head: int, contact: ConversationItem) -> None:
        """All of a conversation above this seq; and its last message, when nothing but acts is above."""
        key = key_of(contact)
        if not isinstance(contact.message, msgspec.UnsetType):
            entry = decode(Entry, contact.message)
            if entry.timeline_seq <= head:
                incoming, _ = split([entry], self._user_id)
                at = [Interval(entry.timeline_seq, entry.timeline_seq)]
                await self._keeper.keep([IngestBatch(key, incoming, at, live=True, last_seq=contact.last_seq)])
        async for part in self._fetcher.all_of(key, head + 1, contact.last_seq):
            assert part.covered is not None
            incoming, acts = split(reversed(part.entries), self._user_id)
            batch = self._batch(key, contact, head=part.covered.last)
            await self._room()
            await self._keeper.keep([replace(batch, incoming=incoming, covered=[part.covered], acts=acts)])

    async def _bring_acts(self, after: int, contact: ConversationItem) -> None:
        """What was done to a group's messages above this seq: to those that are held, whatever is missing between."""
        key = key_of(contact)
        async for entries, up_to in self._fetcher.acts_of(key, after + 1, contact.last_seq):
            _, acts = split(entries, self._user_id)
            await self._keeper.keep([IngestBatch(key, acts=acts, acts_seq=up_to, user_id=self._user_id)])

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
            count=UnreadCount(contact.unread_now, contact.mentioned, contact.unread_seq),
            peer_read_seq=contact.peer_read_seq,
            marks=ConversationFlags(contact.pinned, bool(contact.muted), contact.draft),
        )

    async def _side_by_side(
        self, bring: Callable[[int, ConversationItem], Awaitable[None]], conversations: Sequence[tuple[int, ConversationItem]]
    ) -> None:
        slots = asyncio.Semaphore(CONVERSATIONS_AT_ONCE)

        async def one(head: int, contact: ConversationItem) -> None:
            async with slots:
                await bring(head, contact)

        await together(*(one(head, contact) for head, contact in conversations))
