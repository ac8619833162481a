"""Posting of messages: permission, store (seq, deduplication), reply, publish, in this order.

The reply and the push follow the commit, and pushes are in the order of the seqs. An online message is pushed without a seq and
is not stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

import msgspec
from msgspec.structs import replace

from ...errors import ServerRefused
from ...ids import ConversationKey
from ...protocol.entries import EntryPayload, MentionItem, MessageControl, encode_payload, render_entry, render_online
from ...protocol.media import MediaRef
from ...protocol.messages import SenderInfo
from ...util.failpoints import failpoint
from ..bus.base import Bus, Event
from ..integrations.service import Integrations
from ..integrations.webhooks import ApprovedMessage
from ..metrics import Metrics
from ..social.entity_cache import EntityCache
from ..store.base import (
    HIDDEN,
    MESSAGE,
    TARGETED,
    UNCOUNTED,
    UNLISTED,
    MsgKey,
    NewEntry,
    Store,
    StoredAccount,
    timeline_of,
)
from .admission import MessageRules
from .destinations import Destination, audience, resolve
from .send_options import PLAIN, SendOptions
from .validation import OutgoingMessage

ANY_MEMBER = (1 << 62) - 1  # a seq that every member may see, for group messages without a seq
PUBLISH_AGAIN_S = 60.0  # a resend in this time is published again, because the first node may have died before it published


class PostResult(msgspec.Struct, frozen=True, gc=False):
    """Seq and time of a stored message. The seq is 0 for an online message, and for a message that a lookup did not find."""

    seq: int
    time: int
    sender: SenderInfo | msgspec.UnsetType = msgspec.UNSET


class MessagePoster:
    """Stores and publishes the messages of users. `now` is the server's clock, in seconds since 1970."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        entities: EntityCache,
        rules: MessageRules,
        integrations: Integrations,
        metrics: Metrics,
        *,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._bus = bus
        self._entities = entities
        self._rules = rules
        self._integrations = integrations
        self._metrics = metrics
        self._now = now
        self._sender_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def post(self, outgoing: OutgoingMessage, key: ConversationKey) -> PostResult:
        """Store a message, and push it to the devices of its receivers.

        Cancelling may leave the message stored; a retry with the same msg_id returns its seq.

        Args:
            outgoing: The message.
            key: The conversation.

        Returns:
            The seq and time; those of the first attempt for a retry.

        Raises:
            InvalidArgument: The message is malformed or too long.
            UnknownUser: The sender or the other user does not exist.
            UnknownGroup: The group does not exist.
            MsgIdConflict: The msg_id belongs to another message.
            ServerRefused: The sender may not send here (NotAMember, Blacklisted, NotFriends, Muted, RateLimited), or the
                operator's back end refused the message.
            StorageError: The store failed; nothing was stored.
        """
        if outgoing.lookup_only:
            return await self._lookup(outgoing, timeline_of(outgoing.sender, key))
        media = self._rules.validator.check(outgoing)
        async with self._sender_lock(outgoing.sender):
            sender = await self._entities.account(outgoing.sender)
            destination = await resolve(self._entities, outgoing.sender, key)
            approved = ApprovedMessage(outgoing.msg_body, outgoing.cloud_custom_data)
            if self._integrations.before_send.applies(group=bool(destination.group_id)):
                asked = await self._run_before_send_webhook(outgoing, destination)
                if isinstance(asked, PostResult):
                    return asked
                if asked.msg_body is not outgoing.msg_body:  # a body that the back end replaced must pass the same checks
                    media = self._rules.validator.check(replace(outgoing, msg_body=asked.msg_body))
                approved, destination = asked, await resolve(self._entities, outgoing.sender, key)
        try:
            destination.check_message(self._rules.admission, outgoing)
        except ServerRefused as exc:
            return await self._existing_or_raise(outgoing, destination.timeline, exc)
        payload = _payload(outgoing, approved, sender)
        destination.address(payload, sender)
        packed = encode_payload(payload)
        if destination.is_online_only(outgoing):
            return await self._push_online(outgoing, destination, packed, media)
        entry = self._entry(outgoing, destination.timeline, packed, contacts=destination.contacts, media=media)
        return await self._append(entry, destination, outgoing.origin, destination.sender_info(sender))

    async def _push_online(
        self, outgoing: OutgoingMessage, destination: Destination, packed: bytes, media: tuple[MediaRef, ...]
    ) -> PostResult:
        receivers = destination.online_receivers(outgoing)
        for user in receivers if media else ():
            await self._store.media.grant(outgoing.sender, user, media, now=int(self._now()))
        posted = PostResult(0, int(self._now()))
        group_id = destination.group_id
        rendered = render_online(packed, time=posted.time, group=bool(group_id))
        if group_id and not outgoing.options.targeted:
            event = Event(receivers, destination.push_kind, rendered, outgoing.origin, group=group_id, seq=ANY_MEMBER)
        else:
            event = Event(receivers, destination.push_kind, rendered, outgoing.origin)
        self._bus.publish(event)
        return posted

    async def _append(
        self, entry: NewEntry, destination: Destination, origin: int, sender: SenderInfo | msgspec.UnsetType
    ) -> PostResult:
        appended = await self._store.timelines.append(entry)
        group_id = destination.group_id
        rendered = render_entry(entry.tail, seq=appended.seq, time=appended.time, group=bool(group_id))
        if entry.audience:  # sent to each of them, because the other members must not receive it on any node
            event = Event(entry.audience, destination.push_kind, rendered, origin, seq=appended.seq)
        else:
            recipients = destination.recipients(appended.seq)
            event = Event(recipients, destination.push_kind, rendered, origin, group=group_id, seq=appended.seq)
        if not appended.duplicate:
            self._metrics.posted.inc()
            failpoint("before-publish")
            self._bus.publish(event)
            failpoint("after-publish")
            self._integrations.on_stored(entry.timeline)
        else:
            self._metrics.duplicates.inc()
            if appended.time > self._now() - PUBLISH_AGAIN_S:
                self._bus.publish(event, again=True)
                self._integrations.on_stored(entry.timeline)
        return PostResult(appended.seq, appended.time, msgspec.UNSET if appended.duplicate else sender)

    async def _run_before_send_webhook(
        self, outgoing: OutgoingMessage, destination: Destination
    ) -> ApprovedMessage | PostResult:
        """Run the before-send webhook, except for a retry of a stored message, or a sender outside the conversation."""
        existing = await self._store.timelines.find_existing(self._entry(outgoing, destination.timeline, b""))
        if existing is not None:
            self._metrics.duplicates.inc()
            return PostResult(existing.seq, existing.time)
        if not destination.includes(outgoing.sender):
            return ApprovedMessage(outgoing.msg_body, outgoing.cloud_custom_data)
        facts = destination.callback_facts(outgoing, int(self._now()), online=destination.is_online_only(outgoing))
        return await self._integrations.before_send.ask(
            facts, outgoing.msg_body, outgoing.cloud_custom_data, group=bool(destination.group_id)
        )

    def _sender_lock(self, sender: str) -> asyncio.Lock:
        """Return the lock that keeps one sender's messages in order while their sender and destination are read.

        Nothing is awaited between the lock and the store, so the messages get their seqs in order even if only the first one
        had to wait for a read.
        """
        lock = self._sender_locks.get(sender)
        if lock is None:
            lock = self._sender_locks[sender] = asyncio.Lock()
        return lock

    async def _existing_or_raise(self, outgoing: OutgoingMessage, timeline: str, refusal: ServerRefused) -> PostResult:
        """Return the seq of a retry, to which later restrictions do not apply, or raise the refusal."""
        existing = await self._store.timelines.find_existing(self._entry(outgoing, timeline, b""))
        if existing is None:
            raise refusal
        return PostResult(existing.seq, existing.time)

    async def _lookup(self, outgoing: OutgoingMessage, timeline: str) -> PostResult:
        """Return the seq of the sender's msg_id with any body, or seq 0 if no such message is stored or being stored."""
        async with self._sender_lock(outgoing.sender):
            asked = replace(self._entry(outgoing, timeline, b""), fingerprint=b"")
        existing = await self._store.timelines.find_existing(asked)
        return PostResult(existing.seq, existing.time) if existing is not None else PostResult(0, 0)

    def _entry(
        self,
        outgoing: OutgoingMessage,
        timeline: str,
        packed: bytes,
        *,
        contacts: tuple[str, ...] = (),
        media: tuple[MediaRef, ...] = (),
    ) -> NewEntry:
        # Random alone does not identify a message, because some REST clients always send the same number
        named = bool(outgoing.client_time and outgoing.random)
        return NewEntry(
            timeline=timeline,
            sender=outgoing.sender,
            msg_key=MsgKey(outgoing.client_time, outgoing.random) if named else None,
            fingerprint=outgoing.fingerprint() if named else b"",
            tail=packed,
            time=int(self._now()),
            contacts=contacts,
            media=media,
            receipt=outgoing.receipt,
            mentions=outgoing.mentions,
            kind=_kind(outgoing.options),
            audience=audience(outgoing),
        )


def _kind(options: SendOptions) -> int:
    if options.targeted:
        return TARGETED
    match options.control.no_unread, options.control.no_last:
        case 0, 0:
            return MESSAGE
        case _, 0:
            return UNCOUNTED
        case 0, _:
            return UNLISTED
        case _:
            return HIDDEN


def _control(options: SendOptions) -> MessageControl | msgspec.UnsetType:
    """Return the control of a message for the receivers. A message to some members is not counted as unread."""
    if options.targeted:
        return MessageControl(no_unread=1, no_last=options.control.no_last)
    return options.control if options.control != PLAIN.control else msgspec.UNSET


def _payload(outgoing: OutgoingMessage, approved: ApprovedMessage, sender: StoredAccount) -> EntryPayload:
    return EntryPayload(
        from_account=outgoing.sender,
        msg_seq=outgoing.msg_seq,
        msg_random=outgoing.random,
        client_time=outgoing.client_time,
        tiny_id=str(sender.tiny_id),
        nick=sender.nickname,
        face_url=sender.face_url,
        custom=sender.custom,
        priority=outgoing.priority,
        cloud_custom_data=approved.cloud_custom_data,
        push=outgoing.push,
        mentions=[MentionItem(account=user) if user else MentionItem(all_flag=1) for user in outgoing.mentions],
        receipt=int(outgoing.receipt),
        control=_control(outgoing.options) if outgoing.options is not PLAIN else msgspec.UNSET,
        audience=audience(outgoing),
        life_s=outgoing.options.life_s,
        msg_body=approved.msg_body,
    )
