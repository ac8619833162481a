"""Incoming messages. Live pushes, login sync, gap fill and our own acks enter here, by one door, in the order of seqs.

Stored before thrown: a handler sees a message only after the local store has it, and sees exactly the rows that the
store reports as new. A push is a hint: when its seq is not the next, what lies between is fetched first; when that
fails, nothing of it is kept, and the next login's sync brings it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

import msgspec

from ..errors import NoPermission, TimimError, UnknownGroup
from ..ids import ConversationKey, ConversationType
from ..message import Message
from ..storage import Batch, LocalStore, Marks, Stored, UnreadCount
from ..tasks import together
from ..wire.codec import decode
from ..wire.contacts import Contact, ReceiptNotice
from ..wire.coverage import Interval
from ..wire.entries import Entry
from .entries import incoming_of, online_message, split
from .fetcher import Changed, Fetcher, key_of

log = logging.getLogger("timim")

QUEUE_LIMIT = 10_000  # pushed entries that wait; past it their content is forgotten and fetched again by seq
FRESH_LIMIT = 1000  # unread C2C messages brought to a device that has nothing yet; older ones stay a hole
CONVERSATIONS_AT_ONCE = 8  # brought side by side at login
BATCH = 512
GAP_LIMIT = 200  # missing entries that are fetched, stored and thrown in one go; more come in parts, as handlers take them
RETRY_S = 1.0  # between tries while the server or the disk does not do its part


class Inbox:
    """`stored` hears of all that came and was stored, `throw` of online messages, which are stored nowhere, `receipt` of
    what others have read meanwhile.

    `room` waits until handlers have caught up: meanwhile the queue here fills, and past its limit only seqs are kept.
    `newest` names a conversation that holds something late; `reset` hears when the server's history is not the one known.
    """

    def __init__(
        self,
        store: LocalStore,
        fetcher: Fetcher,
        *,
        user_id: str,
        recent_contacts: bool,
        stored: Callable[[Stored], None],
        throw: Callable[[Sequence[Message]], None],
        bind: Callable[[Message], Message],
        room: Callable[[], Awaitable[None]],
        newest: Callable[[], ConversationKey | None],
        reset: Callable[[], None],
        receipt: Callable[[ReceiptNotice], Awaitable[None]],
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._user_id = user_id
        self._recent_contacts = recent_contacts
        self._stored = stored
        self._throw = throw
        self._bind = bind
        self._room = room
        self._newest = newest
        self._reset = reset
        self._receipt = receipt
        self._heads: dict[ConversationKey, int] = {}
        self._queue: deque[tuple[ConversationKey, Entry | None, int]] = deque()
        self._behind: dict[ConversationKey, int] = {}
        self._acked: dict[ConversationKey, set[int]] = {}  # above the heads
        self._wake = asyncio.Event()
        self._synced = False
        self._new_here = True  # this device was never synced
        self._resumed = False  # an earlier sync of this login is behind us: what came since may not be missing
        self._turn = asyncio.Lock()  # a sync, or the next run of pushes: never both

    def push(self, key: ConversationKey, entry: Entry) -> None:
        """An entry that the server pushed. Never blocks; past QUEUE_LIMIT only its seq is remembered."""
        if len(self._queue) >= QUEUE_LIMIT and entry.timeline_seq:
            self._behind[key] = max(self._behind.get(key, 0), entry.timeline_seq)
        else:
            self._queue.append((key, entry, entry.timeline_seq))
        self._wake.set()

    def acked(self, key: ConversationKey, seq: int) -> None:
        """One of our own messages got this seq; its row will say so. What comes after it need not fetch it."""
        self._acked.setdefault(key, set()).add(seq)

    def numbered(self, key: ConversationKey, seq: int, head: int = 0) -> None:
        """One of our own messages or acts got this seq, and is stored, unless it was deleted; `head`: the store's, then."""
        if head:
            self._heads[key] = max(head, self._heads.get(key, 0))
        if seq <= self._heads.get(key, 0):
            self._seen(key)
            return
        if len(self._queue) >= QUEUE_LIMIT:
            self._behind[key] = max(self._behind.get(key, 0), seq)
        else:
            self._queue.append((key, None, seq))
        self._wake.set()

    async def last_seq(self, key: ConversationKey) -> int | None:
        """The highest seq that there is, as far as this connection was told; None when it was not."""
        if not self._synced:
            return None
        if key in self._heads:
            return self._heads[key]
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
        self._synced = self._resumed = False
        self._forget()

    def _forget(self) -> None:
        self._heads.clear()
        self._queue.clear()
        self._behind.clear()
        self._acked.clear()

    def _seen(self, key: ConversationKey) -> None:
        if (acked := self._acked.get(key)) is not None:
            acked -= {seq for seq in acked if seq <= self._heads.get(key, 0)}
            if not acked:
                del self._acked[key]

    async def sync(self, epoch: str = "") -> None:
        """After a login: what changed since the last sync, as docs/history.md says. Raises NetworkError and its like."""
        async with self._turn:
            if epoch and await self._store.enter_epoch(epoch):
                self._forget()
                self._reset()
            changed, known = await self._changed()
            if await self._went_back(changed, known):
                await self._store.forget_history()
                self._forget()
                self._reset()
                changed, known = await self._changed()
            whole: list[tuple[int, Contact]] = []
            short: list[Batch] = []
            acts = await self._store.acts_seqs(list(changed.items))
            behind: list[tuple[int, Contact]] = []  # groups in which something was done to messages meanwhile
            for key, contact in reversed(changed.items.items()):  # the newest last: of one second, it is listed first then
                if key.type is ConversationType.GROUP and 0 < acts.get(key, 0) < contact.act_seq and key not in self._heads:
                    behind.append((acts[key], contact))
                if key.type is ConversationType.GROUP and not self._recent_contacts and key not in self._heads:
                    continue
                head = self._head_at_login(key, contact, known.get(key, 0))
                at_top = contact.act_seq == contact.last_seq > head and (
                    key.type is not ConversationType.GROUP or key in self._heads
                )
                if contact.last_seq > head + 1 or at_top:  # at the top: an act, which the list does not hold
                    whole.append((head, contact))
                else:
                    short.append(self._told(key, contact, head))
            await self._side_by_side(self._bring_acts, behind)
            for first in range(0, len(short), BATCH):
                await self._room()
                await self._keep(short[first : first + BATCH])
            await self._side_by_side(self._bring, whole)
            for notice in changed.receipts:
                await self._receipt(notice)
            await self._store.set_meta(self._cursor, str(changed.since))
            self._synced, self._resumed = True, True

    @property
    def _cursor(self) -> str:
        return "synced" if self._recent_contacts else "synced-c2c"

    async def _changed(self) -> tuple[Changed, dict[ConversationKey, int]]:
        """The conversations that changed since the last sync, and the heads of those that are known."""
        since = int(await self._store.meta(self._cursor, "0"))
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
            key, entry, seq = self._queue[0]
            if not seq and arrived:
                break
            self._queue.popleft()
            if seq:
                arrived.setdefault(key, {})[seq] = entry
            elif entry is not None:
                self._throw([self._bind(online_message(key, entry, self._user_id))])
                return
        for key in self._acked.keys() & arrived.keys():
            last = max(arrived[key])
            arrived[key] |= {seq: None for seq in self._acked[key] if seq < last and seq not in arrived[key]}
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
            await self._keep(batches)
        except TimimError:
            for key, seq in up_to.items():
                self._behind[key] = max(self._behind.get(key, 0), seq)
            raise

    async def _live_batch(self, key: ConversationKey, entries: dict[int, Entry | None], last: int) -> Batch | None:
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
        return Batch(
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
                batch = Batch(key, incoming, [part.covered], live=True, head=part.covered.last, last_seq=last)
                await self._keep([replace(batch, acts=acts, acts_seq=batch.head, user_id=self._user_id)])
        except (NoPermission, UnknownGroup) as exc:
            log.warning("what came up to seq %s of %s is not to be had: %s", last, key, exc)
        await self._keep([Batch(key, live=True, head=last, last_seq=last, acts_seq=last)])

    async def _head(self, key: ConversationKey, first: int) -> int:
        head = self._heads.get(key)
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
        contact = (await self._fetcher.contacts(since=int(await self._store.meta(self._cursor, "0")))).items.get(key)
        if contact is None or not self._recent_contacts:
            return first - 1
        return min(first - 1, max(contact.floor - 1, contact.read_seq))

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

    def _head_at_login(self, key: ConversationKey, contact: Contact, known: int) -> int:
        """The seq after which a login brings messages; what lies below it and is not held stays a hole."""
        begin = max(contact.floor - 1, known)
        if key in self._heads:
            return max(begin, self._heads[key])
        in_group = key.type is ConversationType.GROUP
        if in_group and self._resumed:  # a cut since this login: nothing may be missing since it came into the group
            return begin if known else max(begin, contact.read_seq)
        if in_group:
            return max(begin, contact.last_seq - 1)
        if known or not self._new_here:  # one that was not listed the last time has come to be since
            return begin
        one = key.type is ConversationType.C2C and self._recent_contacts  # one last message each, also if it was read
        return max(begin, min(contact.read_seq, contact.last_seq - one), contact.last_seq - FRESH_LIMIT)

    def _told(self, key: ConversationKey, contact: Contact, head: int) -> Batch:
        """What the list itself says of a conversation; at most its last message is new."""
        batch = self._batch(key, contact, head=max(head, contact.last_seq))
        if contact.last_seq > head and not isinstance(contact.message, msgspec.UnsetType):
            entry = decode(Entry, contact.message)
            incoming, _ = split([entry], self._user_id)
            # an act may stand above the last message: then that was covered before, or is now, and the act is not
            return replace(batch, incoming=incoming, covered=[Interval(entry.timeline_seq, entry.timeline_seq)])
        return batch if self._recent_contacts else replace(batch, live=False)  # what it read elsewhere; it is not listed

    async def _bring(self, head: int, contact: Contact) -> None:
        """All of a conversation above this seq; and its last message, when nothing but acts is above."""
        key = key_of(contact)
        if not isinstance(contact.message, msgspec.UnsetType):
            entry = decode(Entry, contact.message)
            if entry.timeline_seq <= head:
                incoming, _ = split([entry], self._user_id)
                at = [Interval(entry.timeline_seq, entry.timeline_seq)]
                await self._keep([Batch(key, incoming, at, live=True, last_seq=contact.last_seq)])
        async for part in self._fetcher.all_of(key, head + 1, contact.last_seq):
            assert part.covered is not None
            incoming, acts = split(reversed(part.entries), self._user_id)
            batch = self._batch(key, contact, head=part.covered.last)
            await self._room()
            await self._keep([replace(batch, incoming=incoming, covered=[part.covered], acts=acts)])

    async def _bring_acts(self, after: int, contact: Contact) -> None:
        """What was done to a group's messages above this seq: to those that are held, whatever is missing between."""
        key = key_of(contact)
        async for entries, up_to in self._fetcher.acts_of(key, after + 1, contact.last_seq):
            _, acts = split(entries, self._user_id)
            await self._keep([Batch(key, acts=acts, acts_seq=up_to, user_id=self._user_id)])

    def _batch(self, key: ConversationKey, contact: Contact, *, head: int) -> Batch:
        return Batch(
            key=key,
            live=True,
            head=head,
            last_seq=contact.last_seq,
            read_seq=contact.read_seq,
            floor=contact.floor,
            acts_seq=head,
            user_id=self._user_id,
            count=UnreadCount(contact.unread_now, contact.mentioned, contact.unread_seq),
            peer_read_seq=contact.peer_read_seq,
            marks=Marks(contact.pinned, bool(contact.muted), contact.draft),
        )

    async def _side_by_side(
        self, bring: Callable[[int, Contact], Awaitable[None]], conversations: Sequence[tuple[int, Contact]]
    ) -> None:
        slots = asyncio.Semaphore(CONVERSATIONS_AT_ONCE)

        async def one(head: int, contact: Contact) -> None:
            async with slots:
                await bring(head, contact)

        await together(*(one(head, contact) for head, contact in conversations))

    async def _keep(self, batches: Sequence[Batch]) -> None:
        """Store and throw; both, also when who waits here is cancelled: what is stored comes no second time."""
        if not batches:
            return
        storing = self._store.add(batches)
        storing.add_done_callback(partial(self._kept, batches))
        try:
            await asyncio.shield(storing)
        except asyncio.CancelledError:
            await asyncio.wait((storing,))
            if error := storing.exception():
                log.warning("what came last was not stored: %s", error)
            raise

    def _kept(self, batches: Sequence[Batch], storing: asyncio.Future[list[Stored]]) -> None:
        if storing.cancelled() or storing.exception() is not None:
            return  # who waits for it hears why
        for batch in batches:
            if batch.head:
                self._heads[batch.key] = max(batch.head, self._heads.get(batch.key, 0))
                self._seen(batch.key)
        for result in storing.result():
            for message in result.new:
                self._bind(message)
            for _, message in result.acted:
                self._bind(message)
            self._stored(result)
