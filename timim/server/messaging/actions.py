"""Acts on messages that stand: recalling, editing, reacting. An act's way: permission, store, ack, publish, as a message's.

Invariant: the act's entry and what it makes of its message are one transaction, and who may not see the message hears
nothing of the act.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from ...errors import InvalidArgument, NoPermission, RecallTooLate, ServerRefused, UnknownMessage
from ...protocol import session, tencent_events
from ...protocol.elems import split_body
from ...protocol.entries import EDIT, REACT, RECALL, EntryAction, EntryGroupInfo, EntryPayload, decode_payload, render_entry
from ...protocol.media import MediaRef
from ...protocol.notices import SERVER_ELEMS
from ...util.failpoints import failpoint
from ..bus.base import Bus, Event
from ..social.changesets import who_see
from ..social.entity_cache import Directory
from ..social.group_permissions import Act, demand, may, role_of
from ..store.base import ACT, Acted, Group, MsgKey, NewAct, NewEntry, Store, StoredEntry, c2c_timeline, group_timeline
from .admission import Admission
from .history import target_of
from .validation import Draft, DraftRules

__all__ = ["EDIT", "REACT", "RECALL", "Acts", "Done", "Limits", "Wish"]
REACTION_LIMIT_BYTES = 64
NO_BODY = msgspec.Raw(b"[]")


@dataclass(frozen=True, slots=True)
class Limits:
    """`recall_window_s`: how long a sender can take a message back."""

    recall_window_s: float
    reactions_per_message: int
    users_per_reaction: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to do to a message. `client_time` and `random` name it: a retry is the same act."""

    kind: str
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
class Done:
    """The act's entry, absent when there was nothing to change and never had been; and how often it was edited."""

    entry: msgspec.Raw | msgspec.UnsetType
    version: int


class Acts:
    """`now` is the server's clock in seconds since 1970."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        directory: Directory,
        rules: DraftRules,
        admission: Admission,
        *,
        now: Callable[[], float],
        limits: Limits,
    ) -> None:
        self._store = store
        self._bus = bus
        self._directory = directory
        self._rules = rules
        self._admission = admission
        self._now = now
        self._limits = limits

    async def c2c(self, wish: Wish, peer: str, seq: int) -> Done:
        """Act on a message of two users.

        Raises UnknownMessage (10030), AlreadyRecalled, RecallTooLate (20016), NoPermission, LimitReached, Blacklisted …
        """
        media = self._check(wish)
        actor = await self._directory.account(wish.user)
        await self._directory.account(peer)
        timeline = c2c_timeline(wish.user, peer)
        target = await self._target(timeline, seq)
        circle = await self._directory.circle(peer)
        message = decode_payload(target.tail)
        new = self._new(wish, timeline, target, message, media)
        new.tail.to_account, new.tail.tiny_id = peer, str(actor.tiny_id)
        new.tail.nick, new.tail.face_url, new.tail.custom = actor.nickname, actor.face_url, actor.custom
        try:
            self._demand_own(wish, message)
            if wish.kind == RECALL:
                self._demand_in_time(wish, target, code=20016)
            else:
                self._admission.may_write_to(wish.user, peer, circle)
        except ServerRefused as exc:
            await self._demand_standing(new, exc)
        return await self._carry_out(new, wish, lambda: (wish.user, peer))

    async def group(self, wish: Wish, group_id: str, seq: int) -> Done:
        """Act on a group's message. Raises as `c2c`, and NotAMember, UnknownGroup, Muted, RateLimited."""
        media = self._check(wish)
        actor = await self._directory.account(wish.user)
        timeline = group_timeline(group_id)
        target = await self._target(timeline, seq)
        group = await self._directory.group(group_id)
        if not wish.admin:
            demand(group, wish.user, Act.READ)
            if seq < group.members[wish.user].floor:
                raise UnknownMessage(f"there is no message {seq} here")
        message = decode_payload(target.tail)
        new = self._new(wish, timeline, target, message, media)
        tail, member = new.tail, group.members.get(wish.user)
        tail.to_group_id, tail.tiny_id = group_id, str(actor.tiny_id)
        tail.nick, tail.face_url, tail.custom = actor.nickname, actor.face_url, actor.custom
        tail.group = EntryGroupInfo(
            group_id=group_id,
            group_name=group.name,
            group_type=group.type,
            name_card=member.name_card if member else "",
            role=member.role if member else "",
        )
        try:
            self._may(wish, group, target, message)
        except ServerRefused as exc:
            await self._demand_standing(new, exc)
        return await self._carry_out(new, wish, partial(who_see, group.members, seq))

    async def of_group(self, user: str, group_id: str, first: int, last: int, limit: int) -> tuple[list[msgspec.Raw], int]:
        """The acts of an interval of a group that this member may see, oldest first, and up to which seq these are all."""
        group = await self._directory.group_for(user, group_id)
        floor = group.members[user].floor
        timeline = group_timeline(group_id)
        found = await self._store.acts(timeline, max(first, floor), last, limit)
        up_to = last if len(found) < limit else found[-1].seq
        seen = [one for one in found if floor == 1 or target_of(one) >= floor]
        return [render_entry(one.tail, seq=one.seq, time=one.time, group=True) for one in seen], up_to

    def _check(self, wish: Wish) -> tuple[MediaRef, ...]:
        """Raises InvalidArgument, InvalidElem, MessageTooLong; the content that an edit's body names."""
        draft = Draft(wish.user, wish.msg_body, 0, wish.random, wish.client_time, wish.cloud_custom_data)
        if wish.kind == EDIT:
            return self._rules.check(draft)
        if not 0 <= wish.random < 1 << 32 or not 0 <= wish.client_time < 1 << 32:
            raise InvalidArgument("TimelineRandom and MsgClientTime are 32-bit numbers", code=90005)
        size = len(wish.reaction.encode())
        if wish.kind == REACT and not 0 < size <= REACTION_LIMIT_BYTES:
            raise InvalidArgument(f"Reaction is 1 to {REACTION_LIMIT_BYTES} bytes long, not {size}", code=10004)
        return ()

    async def _target(self, timeline: str, seq: int) -> StoredEntry:
        target = await self._store.message(timeline, seq) if 0 < seq < 1 << 63 else None
        if target is None or target.kind == ACT:
            raise UnknownMessage(f"there is no message {seq} here")
        return target

    def _may(self, wish: Wish, group: Group, target: StoredEntry, message: EntryPayload) -> None:
        """Whether a member may do this. Recalling others' messages has no window."""
        if wish.kind != RECALL:
            self._demand_own(wish, message)
            priority = "Low" if wish.kind == REACT else "Normal"
            self._admission.may_speak(Draft(wish.user, wish.msg_body, 0, 0, 0, priority=priority), group)
            return
        _demand_of_a_user(message)
        if wish.admin:
            return
        if message.from_account != wish.user:
            demand(group, wish.user, Act.RECALL)
        elif not may(role_of(group, wish.user), group.type, Act.RECALL):
            self._demand_in_time(wish, target, code=10031)

    def _demand_own(self, wish: Wish, message: EntryPayload) -> None:
        _demand_of_a_user(message)
        if wish.kind != REACT and message.from_account != wish.user and not wish.admin:
            raise NoPermission(f"{wish.user!r} may not {wish.kind} a message of {message.from_account!r}")

    def _demand_in_time(self, wish: Wish, target: StoredEntry, *, code: int) -> None:
        window_s = self._limits.recall_window_s
        if not wish.admin and self._now() - target.time > window_s:
            raise RecallTooLate(f"a message can be recalled within {window_s:g} s", code=code)

    async def _demand_standing(self, new: NewAct, refusal: ServerRefused) -> None:
        """A retry of what is stored gets its seq, whatever was decided since; everything else is refused as it was."""
        entry = NewEntry(new.timeline, new.sender, new.msg_key, new.fingerprint, b"", new.time)
        if new.msg_key is None or await self._store.standing(entry) is None:
            raise refusal

    def _new(
        self, wish: Wish, timeline: str, target: StoredEntry, message: EntryPayload, media: tuple[MediaRef, ...]
    ) -> NewAct:
        facts = EntryAction(
            kind=wish.kind,
            target=target.seq,
            target_from=message.from_account,
            reaction=wish.reaction,
            removed=int(wish.removed),
        )
        tail = EntryPayload(
            from_account=wish.user,
            msg_random=wish.random,
            client_time=wish.client_time,
            cloud_custom_data=wish.cloud_custom_data,
            mentions=message.mentions if wish.kind == RECALL else [],
            action=facts,
            msg_body=wish.msg_body,
        )
        named = bool(wish.client_time and wish.random)
        digest = hashlib.blake2b(bytes(wish.msg_body), digest_size=16)
        digest.update(f"\0{wish.kind}\0{target.seq}\0{wish.reaction}\0{wish.removed}\0{wish.cloud_custom_data}".encode())
        return NewAct(
            timeline,
            wish.user,
            MsgKey(wish.client_time, wish.random) if named else None,
            digest.digest() if named else b"",
            tail,
            int(self._now()),
            media,
            self._limits.reactions_per_message,
            self._limits.users_per_reaction,
        )

    async def _carry_out(self, new: NewAct, wish: Wish, hearers: Callable[[], Iterable[str]]) -> Done:
        acted = await self._store.act(new)
        target = decode_payload(acted.target.tail)
        group = bool(target.to_group_id)
        if not acted.seq:
            return Done(msgspec.UNSET, target.version)
        entry = render_entry(acted.tail, seq=acted.seq, time=acted.time, group=group)
        if acted.changed:
            failpoint("before-publish")
            plain = _plain(acted, wish, target)
            seen = acted.target.seq  # an act is told to who sees what it acts on
            event = Event(
                hearers(), session.EVENT_MESSAGE_ACTION, entry, wish.origin, plain, group=target.to_group_id, seq=seen
            )
            self._bus.publish(event)
            failpoint("after-publish")
        return Done(entry, target.version)


def _demand_of_a_user(message: EntryPayload) -> None:
    """Nobody acts on what the server itself said."""
    if any(elem.msg_type in SERVER_ELEMS for elem in split_body(message.msg_body)):
        raise NoPermission("this is the server's own word: nobody can recall or edit it, or react to it")


def _plain(acted: Acted, wish: Wish, target: EntryPayload) -> msgspec.Raw | None:
    act = decode_payload(acted.tail).action
    assert isinstance(act, EntryAction)
    return tencent_events.action_event(act, target, seq=acted.target.seq, time=acted.target.time, actor=wish.user)
