"""Incoming messages. Live pushes, login sync, gap fill and our own acks enter here, by one door, in the order of seqs.

Stored before thrown: a handler sees a message only after the local store has it, and sees exactly the rows that the
store reports as new. A push is a hint: when its seq is not the next, what lies between is fetched first; when that
fails, nothing of it is kept, and the next login's sync brings it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ..errors import TimimError
from ..ids import SYSTEM_PEER, ConversationKey, ConversationType, MsgId
from ..message import Message, MessageStatus, Priority, SenderMember, SenderProfile
from ..storage import Batch, Incoming, LocalStore
from ..wire import contacts as contact_wire
from ..wire.codec import decode
from ..wire.coverage import Interval
from ..wire.elems import decode_body
from ..wire.entries import Entry
from .fetcher import Fetcher

log = logging.getLogger("timim")

QUEUE_LIMIT = 10_000  # pushed entries that wait; past it their content is forgotten and fetched again by seq
OFFLINE_LIMIT = 1000  # C2C messages and notices brought at login, a conversation; older ones stay a hole, which roaming fills
BATCH = 512


class Throw(Protocol):
    def __call__(self, messages: Sequence[Message]) -> None: ...


class Inbox:
    """`throw` hears of stored new messages; `changed` of each conversation that something happened to."""

    def __init__(
        self,
        store: LocalStore,
        fetcher: Fetcher,
        *,
        user_id: str,
        recent_contacts: bool,
        throw: Throw,
        changed: Callable[[ConversationKey], None],
        bind: Callable[[Message], Message],
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._user_id = user_id
        self._recent_contacts = recent_contacts
        self._throw = throw
        self._changed = changed
        self._bind = bind
        self._heads: dict[ConversationKey, int] = {}
        self._queue: deque[tuple[ConversationKey, Entry | None, int]] = deque()
        self._behind: dict[ConversationKey, int] = {}
        self._wake = asyncio.Event()

    def push(self, key: ConversationKey, entry: Entry) -> None:
        """An entry that the server pushed. Never blocks; past QUEUE_LIMIT only its seq is remembered."""
        if len(self._queue) >= QUEUE_LIMIT and entry.timeline_seq:
            self._behind[key] = max(self._behind.get(key, 0), entry.timeline_seq)
        else:
            self._queue.append((key, entry, entry.timeline_seq))
        self._wake.set()

    def numbered(self, key: ConversationKey, seq: int) -> None:
        """One of our own messages got this seq, and is stored."""
        self._queue.append((key, None, seq))
        self._wake.set()

    def forget(self, key: ConversationKey) -> None:
        """The conversation and what is held of it were deleted."""
        self._heads.pop(key, None)

    def last_seq(self, key: ConversationKey) -> int:
        """The highest seq this connection was told of, 0 when none."""
        return self._heads.get(key, 0)

    async def sync(self) -> None:
        """After a login: the conversation list, one last message of each, and C2C messages and notices missed meanwhile."""
        contacts = await self._fetcher.contacts()
        batches: list[Batch] = []
        for contact in contacts:
            key = _contact_key(contact)
            if key.type is ConversationType.GROUP and not self._recent_contacts:
                continue
            batches.append(await self._contact_batch(key, contact))
            self._heads[key] = contact.last_seq
        await self._keep([batch for batch in batches if batch.incoming or batch.last_seq])

    async def run(self, ready: asyncio.Event) -> None:
        """Carry on what is pushed; `ready` is set while the connection is up and synced."""
        while True:
            if not self._queue and not self._behind:
                self._wake.clear()
                await self._wake.wait()
            await ready.wait()
            try:
                await self._carry_on()
            except TimimError as exc:
                log.warning("new messages wait for the next sync: %s", exc)

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
        behind: dict[ConversationKey, int] = {}
        if not self._queue:
            behind, self._behind = self._behind, {}
        for key in behind:
            arrived.setdefault(key, {})
        batches = [
            batch
            for key, entries in arrived.items()
            if (batch := await self._live_batch(key, entries, behind.get(key, 0))) is not None
        ]
        await self._keep(batches)

    async def _live_batch(self, key: ConversationKey, entries: dict[int, Entry | None], up_to: int) -> Batch | None:
        """What to store of these, with what was missing between them and the head."""
        head = await self._head(key, min(entries, default=up_to))
        last = max(up_to, *entries) if entries else up_to
        if last <= head:
            return None
        incoming: list[Incoming] = []
        covered: list[Interval] = []
        run = at = head + 1
        for seq in sorted(s for s in entries if s > head):
            if seq > at:
                covered += [Interval(run, at - 1)] if at > run else []
                run = seq
                incoming += await self._fill(key, at, seq - 1, covered)
            entry = entries[seq]
            if entry is not None and not entry.tombstone:
                incoming.append(incoming_of(entry, self._user_id))
            at = seq + 1
        covered += [Interval(run, at - 1)] if at > run else []
        if at <= last:
            incoming += await self._fill(key, at, last, covered)
        self._heads[key] = last
        return Batch(key=key, incoming=incoming, covered=covered, last_seq=last)

    async def _head(self, key: ConversationKey, first: int) -> int:
        head = self._heads.get(key)
        if head is None:
            held = (await self._store.coverage(key)).last
            # a timeline of one or two users that the list did not name was empty then; a group may begin for us at any seq
            head = held if key.type is not ConversationType.GROUP or held == first - 1 else first - 1
            self._heads[key] = head
        return head

    async def _fill(self, key: ConversationKey, first: int, last: int, covered: list[Interval]) -> list[Incoming]:
        """What there is of an interval; `covered` gets what the server proved of it (who joined again sees a part)."""
        parts = await self._fetcher.all_of(key, first, last)
        covered += [part.covered for part in parts if part.covered is not None]
        return [incoming_of(entry, self._user_id) for part in parts for entry in reversed(part.entries) if not entry.tombstone]

    async def _contact_batch(self, key: ConversationKey, contact: contact_wire.Contact) -> Batch:
        coverage = await self._store.coverage(key)
        batch = Batch(
            key=key,
            incoming=[],
            covered=[],
            last_seq=contact.last_seq,
            read_seq=contact.read_seq,
            floor=contact.floor,
        )
        if contact.last_seq < contact.floor or contact.last_seq in coverage:
            return batch
        if key.type is not ConversationType.GROUP:
            held = coverage.last or contact.read_seq
            first = max(held + 1, contact.last_seq - OFFLINE_LIMIT + 1, contact.floor)
            if first <= contact.last_seq:
                covered: list[Interval] = []
                incoming = await self._fill(key, first, contact.last_seq, covered)
                return replace_batch(batch, incoming, covered)
        if not isinstance(contact.message, msgspec.UnsetType):
            entry = decode(Entry, contact.message)
            if entry.timeline_seq == contact.last_seq:
                incoming = [] if entry.tombstone else [incoming_of(entry, self._user_id)]
                return replace_batch(batch, incoming, [Interval(contact.last_seq, contact.last_seq)])
        return batch

    async def _keep(self, batches: Sequence[Batch]) -> None:
        if not batches:
            return
        new = await self._store.add(batches)
        for message in new:
            self._bind(message)
        for batch in batches:
            self._changed(batch.key)
        if new:
            self._throw(new)


def replace_batch(batch: Batch, incoming: Sequence[Incoming], covered: Sequence[Interval]) -> Batch:
    """The batch with messages and the intervals they prove."""
    return Batch(
        key=batch.key,
        incoming=list(incoming),
        covered=covered,
        last_seq=batch.last_seq,
        read_seq=batch.read_seq,
        floor=batch.floor,
    )


def incoming_of(entry: Entry, user_id: str) -> Incoming:
    """An entry as the local store takes it."""
    group = None if isinstance(entry.group, msgspec.UnsetType) else entry.group
    profile = SenderProfile(
        entry.from_account,
        entry.nick or (group.nick if group else ""),
        entry.face_url or (group.face_url if group else ""),
        entry.custom,
    )
    member = SenderMember(entry.from_account, group.name_card, group.role, group.member_custom) if group else None
    return Incoming(
        seq=entry.timeline_seq,
        msg_id=str(MsgId(entry.client_time, entry.msg_random)),
        sender=entry.from_account,
        timestamp=entry.msg_time,
        is_self=entry.from_account == user_id,
        body=bytes(entry.msg_body),
        priority=entry.priority or Priority.NORMAL.value,
        cloud_custom_data=entry.cloud_custom_data,
        profile=profile,
        member=member,
    )


def online_message(key: ConversationKey, entry: Entry, user_id: str) -> Message:
    """An online message: it has no seq and no row."""
    facts = incoming_of(entry, user_id)
    message = Message(*decode_body(facts.body), cloud_custom_data=facts.cloud_custom_data)
    message.conversation = key
    message.status = MessageStatus.SUCCEEDED
    message.msg_id, message.sender, message.timestamp = facts.msg_id, facts.sender, facts.timestamp
    message.sender_profile, message.sender_member = facts.profile, facts.member
    message.is_self = facts.is_self
    return message


def _contact_key(contact: contact_wire.Contact) -> ConversationKey:
    if contact.type == contact_wire.CONTACT_GROUP:
        return ConversationKey(ConversationType.GROUP, contact.group_id)
    if contact.type == contact_wire.CONTACT_SYSTEM:
        return ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)
    return ConversationKey(ConversationType.C2C, contact.to_account)
