"""Handlers of the state of a group that is no property: counters, pinned messages, members online, applications to join.

Members who are online get each change of counters and pins. No entry is stored: a device that was offline asks.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from ...errors import InvalidArgument, LimitReached, UnknownMessage
from ...protocol import group_state as wire
from ...protocol import session, tencent_events
from ...protocol.codec import Reply, encode
from ...protocol.entries import EntryPayload, EntryState, encode_payload, render_entry
from ...protocol.groups import GroupIdRequest
from ..bus.base import Event
from ..social.changesets import Changeset
from ..social.group_permissions import Permission, is_allowed, require, role_of
from ..store.base import ANY_MEMBER, StoredGroup
from ..store.mutations import SetGroup, SetTopic
from .message_actions import group_key
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

KEY_LIMIT_BYTES = 128
PINS_LIMIT = 10
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_SIGNS = {wire.SET: 0, wire.INCREASE: 1, wire.DECREASE: -1}


def publish(
    context: RequestContext, group: StoredGroup, event: msgspec.Raw, notice: wire.GroupStateNotice | None = None
) -> None:
    """Push a change of a group's state to members online: to timim clients a notice, if there is one, to others an event."""
    kind = session.EVENT_GROUP_STATE if notice is not None else session.EVENT_FOREIGN
    payload = msgspec.Raw(encode(notice)) if notice is not None else msgspec.Raw(b"{}")
    group_id, seq = group.addressed(ANY_MEMBER)
    context.services.bus.publish(Event(tuple(group.members), kind, payload, plain=event, group=group_id, seq=seq))


@HANDLERS.serve(wire.UPDATE_COUNTERS)
async def update_counters(context: RequestContext, body: wire.UpdateCountersRequest) -> wire.CountersReply:
    """Set counters of a group, or change them by their values."""
    if body.mode not in _SIGNS:
        raise InvalidArgument(f"Mode must be {', '.join(_SIGNS)}, not {body.mode[:40]!r}", code=10004)
    _require_few(len(body.counters))
    for counter in body.counters:
        if not 0 < len(counter.key.encode()) <= KEY_LIMIT_BYTES:
            text = f"the key of a counter must be 1 to {KEY_LIMIT_BYTES} bytes long, not {len(counter.key.encode())}"
            raise InvalidArgument(text, code=10004)
    group = await context.services.entities.group(body.group_id)
    if not context.admin:
        require(group, context.user, Permission.READ)
    sign, after = _SIGNS[body.mode], dict(group.counters)
    for counter in body.counters:
        value = after.get(counter.key, 0) + sign * counter.value if sign else counter.value
        if not _LEAST <= value <= _MOST:
            raise InvalidArgument(f"counter {counter.key!r} would be {value}, which has more than 64 bits", code=10004)
        after[counter.key] = value
    if len(after) > wire.COUNTERS_LIMIT:
        raise LimitReached(f"a group can have at most {wire.COUNTERS_LIMIT} counters, not {len(after)}", code=10014)
    changed = [wire.Counter(key=key, value=after[key]) for key in dict.fromkeys(one.key for one in body.counters)]
    if after == group.counters:
        return wire.CountersReply(counters=changed, seq=group.counters_seq)
    if not context.admin:
        context.services.poster.admit_change(context.user, group)
    now = replace(group, counters=after, counters_seq=group.counters_seq + 1)
    await context.services.changesets.apply(Changeset([SetGroup(now)]))
    notice = wire.GroupStateNotice(group_id=group.group_id, user=context.user, counters=changed)
    publish(context, now, tencent_events.counters_event(group.group_id, changed, now.counters_seq), notice)
    return wire.CountersReply(counters=changed, seq=now.counters_seq)


def _require_few(count: int) -> None:
    if count > wire.COUNTERS_LIMIT:
        raise InvalidArgument(f"a request can name at most {wire.COUNTERS_LIMIT} counters, not {count}", code=10004)


@HANDLERS.serve(wire.GET_COUNTERS)
async def get_counters(context: RequestContext, body: wire.GetCountersRequest) -> wire.CountersReply:
    """Return counters of a group."""
    _require_few(len(body.keys))
    group = await _readable(context, body.group_id)
    keys = body.keys or list(group.counters)
    found = [wire.Counter(key=key, value=group.counters[key]) for key in keys if key in group.counters]
    return wire.CountersReply(counters=found, seq=group.counters_seq)


@HANDLERS.serve(wire.PIN_MESSAGE)
async def pin(context: RequestContext, body: wire.PinMessageRequest) -> Reply:
    """Pin a message of a group for all members."""
    return await _pin(context, body, pinned=True)


@HANDLERS.serve(wire.UNPIN_MESSAGE)
async def unpin(context: RequestContext, body: wire.PinMessageRequest) -> Reply:
    """Unpin a message of a group."""
    return await _pin(context, body, pinned=False)


async def _pin(context: RequestContext, body: wire.PinMessageRequest, *, pinned: bool) -> Reply:
    payload, time = await context.services.history.message(context.user, group_key(body.group_id), body.seq)
    group = await context.services.entities.group_or_topic(body.group_id)
    require(group, context.user, Permission.PIN)
    pins, name = dict(group.pins), str(body.seq)
    if (name in pins) is pinned:
        return Reply()
    if pinned:
        if len(pins) >= PINS_LIMIT:
            raise LimitReached(f"a group can have at most {PINS_LIMIT} pinned messages; unpin one first", code=10014)
        if _is_recalled(payload):
            raise UnknownMessage(f"message {body.seq} was recalled, and cannot be pinned", code=10030)
        pins[name] = context.user
    else:
        del pins[name]
    now = replace(group, pins=pins)
    topic = group.topic and replace(group.topic, pins=pins)
    change = SetTopic(group.community_id, topic) if topic is not None else SetGroup(now)
    await context.services.changesets.apply(Changeset([change]))
    notice = wire.GroupStateNotice(group_id=group.group_id, user=context.user)
    notice.pinned, notice.unpinned = (body.seq, 0) if pinned else (0, body.seq)
    entry = render_entry(encode_payload(payload), seq=body.seq, time=time, group=True)
    event = tencent_events.group_pin_event(payload, entry, seq=body.seq, time=time, user=context.user, pinned=pinned)
    publish(context, now, event, notice)
    return Reply()


@HANDLERS.serve(wire.GET_PINNED, paged=True)
async def get_pinned(context: RequestContext, body: wire.GetPinnedRequest) -> wire.PinnedMessagesReply:
    """Return the pinned messages of a group that the caller may see and that were not recalled."""
    group, reply = await context.services.entities.group_or_topic(body.group_id), wire.PinnedMessagesReply()
    require(group, context.user, Permission.READ)
    for name, user in group.pins.items():
        try:
            payload, time = await context.services.history.message(context.user, group_key(body.group_id), int(name))
        except UnknownMessage:
            continue  # sent before the caller joined
        if not _is_recalled(payload):
            entry = bytes(render_entry(encode_payload(payload), seq=int(name), time=time, group=True))
            reply.messages.append(msgspec.Raw(b'{"Pinner_Account":%b,%b' % (msgspec.json.encode(user), entry[1:])))
    return reply


@HANDLERS.serve(wire.COUNT_ONLINE)
async def count_online(context: RequestContext, body: GroupIdRequest) -> wire.OnlineMembersReply:
    """Return the number of members who have a device online on any node."""
    group = await _readable(context, body.group_id)
    return wire.OnlineMembersReply(count=len(await context.services.bus.online(list(group.members))))


@HANDLERS.serve(wire.LIST_JOIN_APPLICATIONS, paged=True)
async def join_applications(context: RequestContext, body: wire.JoinApplicationsRequest) -> wire.JoinApplicationsReply:
    """Return the applications that the caller may answer as an owner or admin."""
    entities, found = context.services.entities, list[wire.JoinApplicationItem]()
    for group_id in await context.services.store.groups.ids_of(context.user):
        group = await entities.group(group_id)
        if not is_allowed(role_of(group, context.user), group.type, Permission.APPROVE):
            continue
        for user, application in group.applications.items():
            if application.consent:
                continue  # the user answers it
            asking = application.inviter or user
            item = wire.JoinApplicationItem(from_account=asking, to_account=user, group_id=group_id, group_name=group.name)
            item.nick, item.wording, item.time = (
                (await entities.account(asking)).nickname,
                application.wording,
                application.time,
            )
            item.kind = 2 if application.inviter else 0
            found.append(item)
    return wire.JoinApplicationsReply(items=sorted(found, key=lambda one: one.time))


@HANDLERS.serve(wire.LIST_COMMUNITY_APPLICATIONS)
async def community_applications(context: RequestContext, body: wire.JoinApplicationsRequest) -> wire.JoinApplicationsReply:
    """Return no applications to communities, because the list of all groups contains them."""
    return wire.JoinApplicationsReply()


async def _readable(context: RequestContext, group_id: str) -> StoredGroup:
    """Return a group that the caller may read: as a member, or as an administrator."""
    group = await context.services.entities.group(group_id)
    if not context.admin:
        require(group, context.user, Permission.READ)
    return group


def _is_recalled(payload: EntryPayload) -> bool:
    return isinstance(payload.state, EntryState) and payload.state.recall_seq > 0
