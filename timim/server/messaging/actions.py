"""Actions on stored messages: recalls, edits, reactions. The steps are those of a message: permission, store, reply, publish.

Invariant: one transaction stores the action's entry and changes its message. Users who may not see the message are not notified
of the action.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ...errors import InvalidArgument, NoPermission, RecallTooLate, ServerRefused, UnknownMessage
from ...ids import ConversationKey, ConversationType, community_of
from ...protocol import callbacks, session, tencent_events
from ...protocol.elems import split_body
from ...protocol.entries import EntryAction, EntryGroupInfo, EntryPayload, MessageActionKind, decode_payload, render_entry
from ...protocol.media import MediaRef
from ...protocol.notices import SERVER_ELEMS
from ...util.failpoints import failpoint
from ..bus.base import Bus, Event
from ..social.cached_reads import current_checks, note_stored
from ..social.callers import current_caller
from ..social.changesets import group_facts
from ..social.entity_cache import EntityCache
from ..social.group_permissions import Permission, is_allowed, require, role_of
from ..social.outbox import CallbackOutbox, CallbackReport
from ..store.base import (
    ACTION,
    MsgKey,
    NewAction,
    NewCallback,
    NewEntry,
    Store,
    StoredAccount,
    StoredAction,
    StoredEntry,
    group_timeline,
    timeline_of,
)
from .admission import MessageRules
from .destinations import C2CDestination, Destination, GroupDestination, resolve
from .history import is_hidden, target_of
from .validation import OutgoingMessage

__all__ = ["ActionLimits", "ActionPoster", "ActionRequest", "ActionResult"]
REACTION_LIMIT_BYTES = 64
NO_BODY = msgspec.Raw(b"[]")


@dataclass(frozen=True, slots=True)
class ActionLimits:
    """Limits of message actions.

    Attributes:
        recall_window_s: Time after sending in which the sender can recall a message.
        reactions_per_message: Maximum number of different reactions to a message.
        users_per_reaction: Maximum number of users with the same reaction.
    """

    recall_window_s: float
    reactions_per_message: int
    users_per_reaction: int


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """A user's request of an action. `client_time` and `random` are its msg_id, by which a retry is recognized."""

    kind: MessageActionKind
    user: str
    client_time: int = 0
    random: int = 0
    origin: int = 0
    admin: bool = False
    msg_body: msgspec.Raw = field(default_factory=lambda: NO_BODY)
    cloud_custom_data: str = ""
    reaction: str = ""
    removed: bool = False


@dataclass(frozen=True, slots=True)
class ActionResult:
    """Result of a message action: its entry (unset for a no-op) and the message's edit count."""

    entry: msgspec.Raw | msgspec.UnsetType
    version: int


class ActionPoster:
    """Applies the recalls, edits and reactions of users. `now` is the server's clock, in seconds since 1970."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        entities: EntityCache,
        rules: MessageRules,
        outbox: CallbackOutbox,
        *,
        now: Callable[[], float],
        limits: ActionLimits,
    ) -> None:
        self._store = store
        self._bus = bus
        self._entities = entities
        self._rules = rules
        self._outbox = outbox
        self._now = now
        self._limits = limits

    async def apply(self, request: ActionRequest, key: ConversationKey, seq: int) -> ActionResult:
        """Apply an action to the message with the given seq, store its entry, and push it.

        Returns:
            The stored entry; that of the first attempt for a retry.

        Raises:
            UnknownMessage: The message does not exist, or the user may not see it (10030).
            AlreadyRecalled: The message was recalled (20023).
            RecallTooLate: The recall window is over (20016, 10031).
            NoPermission: The user may not do this to this message.
            LimitReached: The message has too many reactions.
            InvalidArgument: The request is malformed.
            ServerRefused: The user may not send to the conversation, as for a new message.
        """
        media = self._check(request)
        actor = await self._entities.account(request.user)
        if key.type is ConversationType.C2C:
            await self._entities.account(key.peer)  # reports an unknown peer before an unknown message
        target = await self._target(timeline_of(request.user, key), seq)
        destination = await resolve(self._entities, request.user, key)
        message = decode_payload(target.tail)
        if not request.admin:
            hidden = message.is_hidden_from(request.user)
            if isinstance(destination, GroupDestination):
                require(destination.group, request.user, Permission.READ)
                hidden = hidden or seq < destination.group.first_visible_seq(request.user)
            if hidden:
                raise UnknownMessage(f"the conversation has no message with seq {seq} that {request.user!r} may see")
        new = self._new(request, destination.timeline, target, message, media)
        _address(new.tail, destination, actor)
        try:
            if request.kind != MessageActionKind.RECALL and not request.admin:
                self._rules.admission.check_mute(actor, group=bool(destination.group_id))
            self._require_allowed(request, destination, target, message)
        except ServerRefused as exc:
            await self._require_stored_already(new, exc)
        return await self._execute(new, request, destination)

    async def of_group(self, user: str, group_id: str, first: int, last: int, limit: int) -> tuple[list[msgspec.Raw], int]:
        """Return the actions in an interval of a group, oldest first, and the seq up to which they are complete.

        Args:
            user: The member who asks; actions on messages that this member may not see are left out.
            group_id: The group.
            first: First seq of the interval.
            last: Last seq of the interval.
            limit: Maximum number of actions to read.

        Raises:
            UnknownGroup: The group does not exist.
            NotAMember: The user is not in the group.
        """
        group = await self._entities.group_for(user, group_id)
        floor = group.first_visible_seq(user)
        timeline = group_timeline(group_id)
        found = await self._store.message_actions.between(timeline, max(first, floor), last, limit)
        up_to = last if len(found) < limit else found[-1].seq
        seen = [one for one in found if (floor == 1 or target_of(one) >= floor) and not is_hidden(one, user)]
        return [render_entry(one.tail, seq=one.seq, time=one.time, group=True) for one in seen], up_to

    def _check(self, request: ActionRequest) -> tuple[MediaRef, ...]:
        """Check the form of a request, and return the media content that the body of an edit refers to.

        Raises:
            InvalidArgument: A field is malformed or too long.
        """
        outgoing = OutgoingMessage(
            request.user, request.msg_body, 0, 0, request.client_time, cloud_custom_data=request.cloud_custom_data
        )
        if not 0 <= request.random < 1 << 63 or not 0 <= request.client_time < 1 << 32:
            raise InvalidArgument("TimelineRandom must be 0 to 2^63-1, and MsgClientTime 0 to 4294967295", code=90005)
        if request.kind == MessageActionKind.EDIT:
            return self._rules.validator.check(outgoing)
        size = len(request.reaction.encode())
        if request.kind == MessageActionKind.REACT and not 0 < size <= REACTION_LIMIT_BYTES:
            raise InvalidArgument(f"Reaction must be 1 to {REACTION_LIMIT_BYTES} bytes long, not {size}", code=10004)
        return ()

    async def _target(self, timeline: str, seq: int) -> StoredEntry:
        target = await self._store.timelines.entry(timeline, seq) if 0 < seq < 1 << 63 else None
        if target is None or target.kind == ACTION:
            raise UnknownMessage(f"the conversation has no message with seq {seq}")
        return target

    def _require_allowed(
        self, request: ActionRequest, destination: Destination, target: StoredEntry, message: EntryPayload
    ) -> None:
        """Check that the user may do the action.

        Raises:
            ServerRefused: The user may not do it. A group admin may recall other users' messages at any time.
        """
        if isinstance(destination, C2CDestination):
            self._require_own(request, message)
            if request.kind == MessageActionKind.RECALL:
                self._require_in_time(request, target, code=20016)
            else:
                self._rules.admission.check_c2c(request.user, destination.receiver, destination.relationships)
            return
        group = destination.group
        if request.kind != MessageActionKind.RECALL:
            self._require_own(request, message)
            priority = "Low" if request.kind == MessageActionKind.REACT else "Normal"
            outgoing = OutgoingMessage(request.user, request.msg_body, 0, 0, 0, priority=priority)
            self._rules.admission.check_group(outgoing, group)
            return
        _require_from_user(message)
        if request.admin:
            return
        if message.from_account != request.user:
            require(group, request.user, Permission.RECALL)
        elif not is_allowed(role_of(group, request.user), group.type, Permission.RECALL):
            self._require_in_time(request, target, code=10031)

    def _require_own(self, request: ActionRequest, message: EntryPayload) -> None:
        _require_from_user(message)
        if request.kind != MessageActionKind.REACT and message.from_account != request.user and not request.admin:
            raise NoPermission(f"{request.user!r} cannot {request.kind} this message; only {message.from_account!r} can")

    def _require_in_time(self, request: ActionRequest, target: StoredEntry, *, code: int) -> None:
        window_s = self._limits.recall_window_s
        if not request.admin and self._now() - target.time > window_s:
            raise RecallTooLate(f"the message is too old; a sender can recall it within {window_s:g} s", code=code)

    async def _require_stored_already(self, new: NewAction, refusal: ServerRefused) -> None:
        """Raise the refusal, unless the action is already stored: a retry is not subject to later restrictions."""
        entry = NewEntry(new.timeline, new.sender, new.msg_key, new.fingerprint, b"", new.time)
        if new.msg_key is None or await self._store.timelines.find_existing(entry) is None:
            raise refusal

    def _new(
        self, request: ActionRequest, timeline: str, target: StoredEntry, message: EntryPayload, media: tuple[MediaRef, ...]
    ) -> NewAction:
        facts = EntryAction(
            kind=request.kind,
            target=target.seq,
            target_from=message.from_account,
            reaction=request.reaction,
            removed=int(request.removed),
        )
        tail = EntryPayload(
            from_account=request.user,
            msg_random=request.random & 0xFFFFFFFF,
            client_time=request.client_time,
            cloud_custom_data=request.cloud_custom_data,
            mentions=message.mentions if request.kind == MessageActionKind.RECALL else [],
            action=facts,
            msg_body=request.msg_body,
        )
        named = bool(request.client_time and request.random)
        digest = hashlib.blake2b(bytes(request.msg_body), digest_size=16)
        digest.update(
            f"\0{request.kind}\0{target.seq}\0{request.reaction}\0{request.removed}\0{request.cloud_custom_data}".encode()
        )
        return NewAction(
            timeline,
            request.user,
            MsgKey(request.client_time, request.random) if named else None,
            digest.digest() if named else b"",
            tail,
            int(self._now()),
            media,
            self._limits.reactions_per_message,
            self._limits.users_per_reaction,
            current_checks(),
            self._callbacks(request, timeline, target, message),
        )

    def _callbacks(
        self, request: ActionRequest, timeline: str, target: StoredEntry, message: EntryPayload
    ) -> tuple[NewCallback, ...]:
        """Return the callbacks of a recall; other actions have none."""
        if request.kind != MessageActionKind.RECALL or not self._outbox.commands:
            return ()
        if message.to_group_id:
            body: dict[str, object] = {
                "GroupId": community_of(message.to_group_id) or message.to_group_id,
                "Type": message.group.group_type if isinstance(message.group, EntryGroupInfo) else "",
                "Operator_Account": current_caller().user or request.user,
                "MsgSeqList": [{"MsgSeq": target.seq}],
            }
            if community_of(message.to_group_id):
                body["TopicId"] = message.to_group_id
            return self._outbox.rows((CallbackReport(timeline, callbacks.GROUP_RECALLED, body),))
        body = {
            "From_Account": message.from_account,
            "To_Account": message.to_account,
            "MsgKey": f"{message.msg_seq}_{message.msg_random}_{target.time}",
        }
        return self._outbox.rows((CallbackReport(timeline, callbacks.C2C_RECALLED, body),))

    async def _execute(self, new: NewAction, request: ActionRequest, destination: Destination) -> ActionResult:
        stored = await self._store.message_actions.apply(new)
        note_stored()
        target = decode_payload(stored.target.tail)
        group_id, seq = "", stored.target.seq  # users who may see the message receive the action
        if isinstance(destination, GroupDestination) and not target.audience:
            group_id, seq = destination.group.addressed(seq)
        if not stored.seq:
            return ActionResult(msgspec.UNSET, target.version)
        entry = render_entry(stored.tail, seq=stored.seq, time=stored.time, group=bool(target.to_group_id))
        if stored.changed:
            failpoint("before-publish")
            plain = _plain(stored, request, target)
            receivers = target.audience or destination.recipients(stored.target.seq)
            event = Event(receivers, session.EVENT_MESSAGE_ACTION, entry, request.origin, plain, group=group_id, seq=seq)
            self._bus.publish(event)
            failpoint("after-publish")
            if request.kind == MessageActionKind.REACT:
                own = tencent_events.own_reaction_event(_action_of(stored), target)
                self._bus.publish(Event((request.user,), session.EVENT_FOREIGN, NO_BODY, request.origin, own))
            self._outbox.on_stored(new.callbacks)
        return ActionResult(entry, target.version)


def _address(payload: EntryPayload, destination: Destination, actor: StoredAccount) -> None:
    """Set the destination and the sender's profile in an action's payload."""
    payload.tiny_id = str(actor.tiny_id)
    payload.nick, payload.face_url, payload.custom = actor.nickname, actor.face_url, actor.custom
    if isinstance(destination, C2CDestination):
        payload.to_account = destination.receiver
        return
    group, member = destination.group, destination.group.members.get(actor.user_id)
    payload.to_group_id = group.group_id
    payload.group = group_facts(group)
    if member is not None:
        payload.group.name_card, payload.group.role = member.name_card, member.role


def _require_from_user(message: EntryPayload) -> None:
    """Check that a message was sent by a user.

    Raises:
        NoPermission: The message is a tip or a notice of the server.
    """
    if any(elem.msg_type in SERVER_ELEMS for elem in split_body(message.msg_body)):
        raise NoPermission("tips and notices of the server cannot be recalled, edited or reacted to")


def _plain(stored: StoredAction, request: ActionRequest, target: EntryPayload) -> msgspec.Raw | None:
    facts = _action_of(stored)
    return tencent_events.action_event(facts, target, seq=stored.target.seq, time=stored.target.time, actor=request.user)


def _action_of(stored: StoredAction) -> EntryAction:
    act = decode_payload(stored.tail).action
    assert isinstance(act, EntryAction)
    return act
