"""Posting. A message's way in one straight walk: permission, store (seq, dedupe), ack, publish.

The ack follows the commit, and what is published follows it too, in the order of the seqs. An online message takes no
seq and no row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from weakref import WeakValueDictionary

import msgspec
from msgspec.structs import replace

from ...errors import ServerRefused
from ...protocol import session
from ...protocol.entries import EntryGroupInfo, EntryPayload, MentionItem, encode_payload, render_entry, render_online
from ...protocol.media import MediaRef
from ...protocol.messages import SenderInfo
from ...util.failpoints import failpoint
from ..bus.base import Bus, Event
from ..integrations.webhooks import Allowed, Gate
from ..metrics import Metrics
from ..social.changesets import who_see
from ..social.entity_cache import Directory
from ..store.base import Group, MsgKey, NewEntry, Store, c2c_timeline, group_timeline
from .admission import Admission
from .validation import Draft, DraftRules, callback_facts

TELL_AGAIN_S = 60.0  # a resend this soon is told to all once more: the node that stored it may have died before it told


class Posted(msgspec.Struct, frozen=True, gc=False):
    """Where a message stands: seq 0 for an online message."""

    seq: int
    time: int
    sender: SenderInfo | msgspec.UnsetType = msgspec.UNSET


class Timelines:
    """C2C and group timelines. `now` is the server's clock in seconds since 1970."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        directory: Directory,
        metrics: Metrics,
        rules: DraftRules,
        admission: Admission,
        *,
        now: Callable[[], float],
        gate: Gate | None = None,
        stored: Callable[[str], None] = lambda timeline: None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._directory = directory
        self._metrics = metrics
        self._rules = rules
        self._admission = admission
        self._now = now
        self._gate = gate
        self._stored = stored
        self._lanes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def post_c2c(self, draft: Draft, receiver: str, *, online: bool = False) -> Posted:
        """Store a message for two users and tell their devices. Raises UnknownUser, Blacklisted, MsgIdConflict, …"""
        if draft.ask:
            return await self._where(draft, c2c_timeline(draft.sender, receiver))
        media = self._rules.check(draft)
        async with self._lane(draft.sender):
            sender = await self._directory.account(draft.sender)
            await self._directory.account(receiver)
            asked = await self._ask(draft, c2c_timeline(draft.sender, receiver), to=receiver, online=online)
            if isinstance(asked, Posted):
                return asked
            if asked.msg_body is not draft.msg_body:  # rewritten: it has the limits, and the content, of any other
                media = self._rules.check(replace(draft, msg_body=asked.msg_body))
            circle = await self._directory.circle(receiver)
        timeline = c2c_timeline(draft.sender, receiver)
        try:
            self._admission.may_write_to(draft.sender, receiver, circle)
        except ServerRefused as exc:
            return await self._standing(draft, timeline, exc)
        tail = encode_payload(
            EntryPayload(
                from_account=draft.sender,
                to_account=receiver,
                msg_seq=draft.msg_seq,
                msg_random=draft.random,
                client_time=draft.client_time,
                tiny_id=str(sender.tiny_id),
                nick=sender.nickname,
                face_url=sender.face_url,
                custom=sender.custom,
                cloud_custom_data=asked.cloud_custom_data,
                push=draft.push,
                msg_body=asked.msg_body,
            )
        )
        users = {draft.sender, receiver}
        if online:
            if media:
                await self._store.media.grant(draft.sender, receiver, media, now=int(self._now()))
            posted = Posted(0, int(self._now()))
            payload = render_online(tail, time=posted.time)
            self._bus.publish(Event({receiver}, session.EVENT_C2C_MESSAGE, payload, draft.origin))
            return posted
        entry = self._entry(draft, timeline, tail, contacts=tuple(users), media=media)
        facts: SenderInfo | msgspec.UnsetType = msgspec.UNSET
        if sender.nickname or sender.face_url or sender.custom:
            facts = SenderInfo(nick=sender.nickname, face_url=sender.face_url, custom=sender.custom)
        return await self._append(entry, lambda _: users, session.EVENT_C2C_MESSAGE, draft.origin, facts)

    async def post_group(self, draft: Draft, group_id: str) -> Posted:
        """Store a message for a group's members and tell their devices. Raises UnknownGroup, NotAMember, Muted, …"""
        if draft.ask:
            return await self._where(draft, group_timeline(group_id))
        media = self._rules.check(draft)
        async with self._lane(draft.sender):
            sender = await self._directory.account(draft.sender)
            asked = await self._ask(draft, group_timeline(group_id), group=await self._directory.group(group_id))
            if isinstance(asked, Posted):
                return asked
            if asked.msg_body is not draft.msg_body:  # rewritten: it has the limits, and the content, of any other
                media = self._rules.check(replace(draft, msg_body=asked.msg_body))
            group = await self._directory.group(group_id)
        timeline = group_timeline(group_id)
        try:
            self._admission.may_speak(draft, group)
            self._admission.may_ask(draft, group)
        except ServerRefused as exc:
            return await self._standing(draft, timeline, exc)
        member = group.members[draft.sender]
        facts = EntryGroupInfo(
            group_id=group_id,
            group_name=group.name,
            group_type=group.type,
            nick=sender.nickname,
            face_url=sender.face_url,
            name_card=member.name_card,
            role=member.role,
            member_custom=member.custom,
        )
        tail = encode_payload(
            EntryPayload(
                from_account=draft.sender,
                to_group_id=group_id,
                msg_random=draft.random,
                client_time=draft.client_time,
                tiny_id=str(sender.tiny_id),
                nick=sender.nickname,
                face_url=sender.face_url,
                custom=sender.custom,
                group=facts,
                priority=draft.priority,
                cloud_custom_data=asked.cloud_custom_data,
                mentions=[MentionItem(account=user) if user else MentionItem(all_flag=1) for user in draft.mentions],
                receipt=int(draft.receipt),
                push=draft.push,
                msg_body=asked.msg_body,
            )
        )
        entry = self._entry(draft, timeline, tail, media=media)
        told = SenderInfo(
            nick=sender.nickname,
            face_url=sender.face_url,
            custom=sender.custom,
            name_card=member.name_card,
            role=member.role,
        )
        hearers = partial(who_see, group.members)
        return await self._append(entry, hearers, session.EVENT_GROUP_MESSAGE, draft.origin, told, group_id)

    async def _append(
        self,
        entry: NewEntry,
        users: Callable[[int], Iterable[str]],
        kind: int,
        origin: int,
        sender: SenderInfo | msgspec.UnsetType,
        group_id: str = "",
    ) -> Posted:
        appended = await self._store.append(entry)
        payload = render_entry(entry.tail, seq=appended.seq, time=appended.time, group=bool(group_id))
        event = Event(users(appended.seq), kind, payload, origin, group=group_id, seq=appended.seq)
        if not appended.duplicate:
            self._metrics.posted.inc()
            failpoint("before-publish")
            self._bus.publish(event)
            failpoint("after-publish")
            self._stored(entry.timeline)
        else:
            self._metrics.duplicates.inc()
            if appended.time > self._now() - TELL_AGAIN_S:
                self._bus.publish(event, again=True)
                self._stored(entry.timeline)
        return Posted(appended.seq, appended.time, msgspec.UNSET if appended.duplicate else sender)

    async def _ask(
        self, draft: Draft, timeline: str, *, to: str = "", group: Group | None = None, online: bool = False
    ) -> Allowed | Posted:
        """What the operator's back end lets be stored; a retry of what is stored is not asked about again."""
        gate = self._gate
        if gate is None or not gate.asks(group=group is not None):
            return Allowed(draft.msg_body, draft.cloud_custom_data)
        if (standing := await self._store.standing(self._entry(draft, timeline, b""))) is not None:
            self._metrics.duplicates.inc()
            return Posted(standing.seq, standing.time)
        if group is not None and draft.sender not in group.members:
            return Allowed(draft.msg_body, draft.cloud_custom_data)  # refused below
        facts = callback_facts(draft, int(self._now()), to=to, group=group, online=online)
        return await gate.ask(facts, draft.msg_body, draft.cloud_custom_data, group=group is not None)

    def _lane(self, sender: str) -> asyncio.Lock:
        """Where one sender's messages wait, in their order, while what they need is read. After it nothing is awaited
        until the store has the entry: so they are numbered as they came, also when only the first had to wait.
        """
        lane = self._lanes.get(sender)
        if lane is None:
            lane = self._lanes[sender] = asyncio.Lock()
        return lane

    async def _standing(self, draft: Draft, timeline: str, refusal: ServerRefused) -> Posted:
        """A retry of what is stored gets its seq, whatever was decided since; everything else is refused."""
        standing = await self._store.standing(self._entry(draft, timeline, b""))
        if standing is None:
            raise refusal
        return Posted(standing.seq, standing.time)

    async def _where(self, draft: Draft, timeline: str) -> Posted:
        """Where this sender's msg_id stands, whatever its body says; seq 0: nowhere, and nothing of it is on its way."""
        async with self._lane(draft.sender):
            asked = replace(self._entry(draft, timeline, b""), fingerprint=b"")
        standing = await self._store.standing(asked)
        return Posted(standing.seq, standing.time) if standing is not None else Posted(0, 0)

    def _entry(
        self,
        draft: Draft,
        timeline: str,
        tail: bytes,
        *,
        contacts: tuple[str, ...] = (),
        media: tuple[MediaRef, ...] = (),
    ) -> NewEntry:
        # without the sender's clock, Random alone does not tell two messages apart: one REST client never changes it
        named = bool(draft.client_time and draft.random)
        return NewEntry(
            timeline=timeline,
            sender=draft.sender,
            msg_key=MsgKey(draft.client_time, draft.random) if named else None,
            fingerprint=draft.fingerprint() if named else b"",
            tail=tail,
            time=int(self._now()),
            contacts=contacts,
            media=media,
            receipt=draft.receipt,
            mentions=draft.mentions,
        )
