"""Posting of messages: permission, store (seq, deduplication), reply, publish, in this order.

The reply and the push follow the commit, and pushes are in the order of the seqs. An online message is pushed without a seq and
is not stored.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

import msgspec
from msgspec.structs import replace

from ...errors import ServerRefused
from ...ids import ConversationKey, ConversationType
from ...protocol.entries import encode_payload, render_entry, render_online
from ...protocol.media import MediaRef
from ...protocol.messages import SenderInfo
from ...util.failpoints import failpoint
from ..bus.base import Bus, Event
from ..integrations.before import ApprovedMessage
from ..integrations.service import Integrations
from ..metrics import Metrics
from ..social.cached_reads import current_checks, note_stored
from ..social.entity_cache import EntityCache
from ..store.base import (
    ANY_MEMBER,
    MsgKey,
    NewEntry,
    StaleRead,
    Store,
    StoredAccount,
    StoredGroup,
    timeline_of,
)
from .admission import MessageRules
from .deletion_notices import publish_deletions
from .destinations import Destination, GroupDestination, resolve
from .message_entries import kind_of, payload_of
from .message_reports import failure_report, sent_report
from .sender_lane import LanePlace, SenderLane
from .validation import OutgoingMessage, check_name

ATTEMPTS_LIMIT = 20  # each further attempt means that another node has changed an entity since the one before
NO_BODY = msgspec.Raw(b"[]")
PUBLISH_AGAIN_S = 60.0  # a resend in this time is published again, because the first node may have died before it published


class PostResult(msgspec.Struct, frozen=True, gc=False):
    """Seq and time of a stored message. The seq is 0 for an online message, and for a message that a lookup did not find."""

    seq: int
    time: int
    sender: SenderInfo | msgspec.UnsetType = msgspec.UNSET


class _Posting:
    """A message that is being posted, possibly in several attempts.

    Attributes:
        media: The content that the message refers to.
        place: The place among the messages of the sender.
        approved: The message as the back end approved it; None before.
        destination: The destination, once it is known.
        denied: The back end refused the message, which therefore causes no further callback.
    """

    __slots__ = ("approved", "denied", "destination", "media", "outgoing", "place")

    def __init__(self, outgoing: OutgoingMessage, media: tuple[MediaRef, ...], place: LanePlace) -> None:
        self.outgoing = outgoing
        self.media = media
        self.place = place
        self.approved: ApprovedMessage | None = None
        self.destination: Destination | None = None
        self.denied = False


class MessagePoster:
    """Stores and publishes the messages of users and administrators. `now` is the server's clock, in seconds since 1970."""

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
        self._lanes: WeakValueDictionary[str, SenderLane] = WeakValueDictionary()

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
            check_name(outgoing)
            return await self._lookup(outgoing, timeline_of(outgoing.sender, key))
        posting = _Posting(outgoing, self._rules.validator.check(outgoing), self._place(outgoing.sender))
        try:
            for _ in range(ATTEMPTS_LIMIT):
                try:
                    return await self._post(posting, key)
                except StaleRead:
                    posting.place.fail()  # later messages of the sender wait until this one is refused or submitted
                    self._metrics.stale.inc()
                    self._entities.forget_used()
            raise StaleRead("other nodes keep changing the entities of this message")
        except ServerRefused as exc:
            if not posting.denied and self._integrations.outbox.commands:
                failure = failure_report(outgoing, key, posting.destination, exc)
                await self._integrations.outbox.add(*failure)
            raise
        finally:
            posting.place.leave()

    def admit_change(self, user: str, group: StoredGroup) -> None:
        """Count a change that all members are told in the rate of the group, as a message of low priority.

        Raises:
            NotAMember: The user is not in the group.
            Muted: The user or the whole group is muted.
            RateLimited: The group has too many messages; `retry_after` is the time until one is accepted.
        """
        self._rules.admission.check_group(OutgoingMessage(user, NO_BODY, 0, 0, 0, priority="Low"), group)

    async def _post(self, posting: _Posting, key: ConversationKey) -> PostResult:
        """Decide and store a message. Raises StaleRead if it was decided from outdated entities; nothing was stored then."""
        outgoing, place = posting.outgoing, posting.place
        while True:
            if not place.take_free_turn():
                await place.wait_for_turn()
            try:
                if self._rules.admission.needs_look_up(outgoing.sender) and key.type is ConversationType.C2C:
                    await self._rules.admission.look_up(outgoing.sender, key.peer)
                sender, destination = await self._resolve(outgoing, key)
                posting.destination = destination
                webhook = self._integrations.before
                if (
                    posting.approved is None
                    and not outgoing.options.unasked
                    and webhook.applies(group=bool(destination.group_id))
                ):
                    asked = await self._run_before_send_webhook(posting, destination)
                    if isinstance(asked, PostResult):
                        return asked
                    if (asked.msg_body, asked.cloud_custom_data) != (outgoing.msg_body, outgoing.cloud_custom_data):
                        # content that the back end replaced must pass the same checks
                        replaced = replace(outgoing, msg_body=asked.msg_body, cloud_custom_data=asked.cloud_custom_data)
                        posting.media = self._rules.validator.check(replaced)
                    posting.approved = asked
                    sender, destination = await self._resolve(outgoing, key)
                if not place.blocked:  # no earlier message has failed meanwhile
                    break
            finally:
                place.end_turn()
        approved = posting.approved or ApprovedMessage(outgoing.msg_body, outgoing.cloud_custom_data)
        try:
            if not outgoing.admin:
                self._rules.admission.check_mute(sender, group=bool(destination.group_id))
            destination.check_message(self._rules.admission, outgoing)
        except ServerRefused as exc:
            return await self._existing_or_raise(posting, destination.timeline, exc)
        audience = destination.audience(outgoing)
        payload = payload_of(outgoing, approved, sender, audience)
        destination.address(payload, sender)
        packed = encode_payload(payload)
        if destination.is_online_only(outgoing):
            posted = await self._push_online(outgoing, destination, packed, posting.media)
            if self._reports(destination, outgoing):
                await self._integrations.outbox.add(sent_report(outgoing, approved, sender, destination, online_at=posted.time))
            return posted
        entry = self._entry(outgoing, destination.timeline, packed, contacts=destination.contacts, media=posting.media)
        if audience:
            hidden_from = outgoing.sender if outgoing.options.unsynced else ""
            entry = replace(entry, audience=audience, hidden_from=hidden_from)
        if self._reports(destination, outgoing):
            report = sent_report(outgoing, approved, sender, destination)
            entry = replace(entry, callbacks=self._integrations.outbox.rows((report,)))
        if self._entities.shared:
            entry = replace(entry, place=place)
        place.submit()
        return await self._append(entry, destination, outgoing.origin, destination.sender_info(sender))

    def _reports(self, destination: Destination, outgoing: OutgoingMessage) -> bool:
        """Return True if the message causes a callback after it was sent."""
        return destination.after_sending in self._integrations.outbox.commands and not outgoing.options.unreported

    async def _resolve(self, outgoing: OutgoingMessage, key: ConversationKey) -> tuple[StoredAccount, Destination]:
        sender = await self._entities.account(outgoing.sender)
        return sender, await resolve(self._entities, outgoing.sender, key)

    async def _push_online(
        self, outgoing: OutgoingMessage, destination: Destination, packed: bytes, media: tuple[MediaRef, ...]
    ) -> PostResult:
        await self._entities.require_current()
        receivers = destination.online_receivers(outgoing)
        for user in receivers if media else ():
            await self._store.media.grant(outgoing.sender, user, media, now=int(self._now()))
        posted = PostResult(0, int(self._now()))
        group_id = destination.group_id
        rendered = render_online(packed, time=posted.time, group=bool(group_id))
        if isinstance(destination, GroupDestination) and not outgoing.options.targeted:
            group_id, seq = destination.group.addressed(ANY_MEMBER)
            event = Event(receivers, destination.push_kind, rendered, outgoing.origin, group=group_id, seq=seq)
        else:
            event = Event(receivers, destination.push_kind, rendered, outgoing.origin)
        self._bus.publish(event)
        return posted

    async def _append(
        self, entry: NewEntry, destination: Destination, origin: int, sender: SenderInfo | msgspec.UnsetType
    ) -> PostResult:
        appended = await self._store.timelines.append(entry)
        note_stored()
        group_id = destination.group_id
        rendered = render_entry(entry.tail, seq=appended.seq, time=appended.time, group=bool(group_id))
        if entry.audience:  # sent to each of them, because no other user may receive it on any node
            event = Event(entry.audience, destination.push_kind, rendered, origin, seq=appended.seq)
        else:
            recipients, seq = destination.recipients(appended.seq), appended.seq
            if isinstance(destination, GroupDestination):
                group_id, seq = destination.group.addressed(seq)
            event = Event(recipients, destination.push_kind, rendered, origin, group=group_id, seq=seq)
        if not appended.duplicate:
            self._metrics.posted.inc()
            failpoint("before-publish")
            self._bus.publish(event)
            failpoint("after-publish")
            if appended.hidden is not None:
                publish_deletions(self._bus, entry.hidden_from, appended.hidden)
            self._integrations.on_stored(entry.timeline)
            self._integrations.outbox.on_stored(entry.callbacks)
        else:
            self._metrics.duplicates.inc()
            if appended.time > self._now() - PUBLISH_AGAIN_S:
                self._bus.publish(event, again=True)
                self._integrations.on_stored(entry.timeline)
        return PostResult(appended.seq, appended.time, msgspec.UNSET if appended.duplicate else sender)

    async def _run_before_send_webhook(self, posting: _Posting, destination: Destination) -> ApprovedMessage | PostResult:
        """Run the before-send webhook, except for a retry of a stored message, or a sender outside the conversation.

        Return a result without a seq for a message that the back end drops.
        """
        outgoing = posting.outgoing
        existing = await self._store.timelines.find_existing(self._entry(outgoing, destination.timeline, b""))
        if existing is not None:
            self._metrics.duplicates.inc()
            return PostResult(existing.seq, existing.time)
        if not outgoing.admin and not destination.includes(outgoing.sender):
            return ApprovedMessage(outgoing.msg_body, outgoing.cloud_custom_data)
        now = self._now()
        facts = destination.callback_facts(outgoing, int(now), online=destination.is_online_only(outgoing))
        facts["EventTime"] = int(now * 1000)
        group = bool(destination.group_id)
        try:
            asked = await self._integrations.before.ask_about_message(
                facts, outgoing.msg_body, outgoing.cloud_custom_data, group=group
            )
        except ServerRefused:
            posting.denied = True
            raise
        return PostResult(0, int(self._now())) if asked.dropped else asked

    def _place(self, sender: str) -> LanePlace:
        """Return the next place in the lane that keeps one sender's messages in order while they are decided.

        Nothing is awaited between a decision in the lane and the store, so the messages get their seqs in order even if only
        the first one had to wait for a read.
        """
        lane = self._lanes.get(sender)
        if lane is None:
            lane = self._lanes[sender] = SenderLane()
        return lane.place()

    async def _existing_or_raise(self, posting: _Posting, timeline: str, refusal: ServerRefused) -> PostResult:
        """Return the seq of a retry, to which later restrictions do not apply, or raise the refusal.

        Raises:
            StaleRead: The refusal was decided from outdated entities.
        """
        posting.place.fail()  # later messages of the sender wait until this one is refused or sent
        existing = await self._store.timelines.find_existing(self._entry(posting.outgoing, timeline, b""))
        if existing is not None:
            return PostResult(existing.seq, existing.time)
        await self._entities.require_current()
        raise refusal

    async def _lookup(self, outgoing: OutgoingMessage, timeline: str) -> PostResult:
        """Return the seq of the sender's msg_id with any body, or seq 0 if no such message is stored or being stored."""
        place = self._place(outgoing.sender)
        try:
            await place.wait_for_turn()
            try:
                asked = replace(self._entry(outgoing, timeline, b""), fingerprint=b"")
            finally:
                place.end_turn()
        finally:
            place.leave()
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
        msg_key = MsgKey(outgoing.client_time, outgoing.source << 32 | outgoing.random) if named else None
        if outgoing.repeat_key:
            msg_key = MsgKey(0, outgoing.repeat_key)
        return NewEntry(
            timeline=timeline,
            sender=outgoing.sender,
            msg_key=msg_key,
            fingerprint=outgoing.fingerprint() if msg_key is not None else b"",
            tail=packed,
            time=int(self._now()),
            contacts=contacts,
            media=media,
            receipt=outgoing.receipt,
            mentions=outgoing.mentions,
            kind=kind_of(outgoing.options),
            checks=current_checks(),
            window_s=outgoing.repeat_s,
        )
