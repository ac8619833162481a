"""Handlers of message actions: recalls, edits, reactions. `timeline.react` and `timeline.acts_get` are timim extensions."""

from __future__ import annotations

import re

from ...errors import InvalidArgument, TimimError, UnknownMessage
from ...ids import ConversationKey, ConversationType, checked_group_id, checked_user_id
from ...protocol import message_actions as wire
from ...protocol.entries import MessageActionKind, decode_payload
from ..messaging.actions import ActionRequest, ActionResult
from ..store.base import c2c_timeline
from .long_mergers import addressed_body
from .registry import HandlerRegistry, RequestContext, Services

HANDLERS = HandlerRegistry()

ACTS_AT_ONCE = 200
RECALLED_AT_ONCE = 10
_MSG_KEY = re.compile(r"(\d{1,10})_(\d{1,10})_(\d{1,10})", re.ASCII)


def _request(context: RequestContext, kind: MessageActionKind, body: wire.MessageActionRequest) -> ActionRequest:
    origin = context.session.number if context.session else 0
    return ActionRequest(kind, context.user, body.client_time, body.random, origin, context.admin)


async def c2c_seq(services: Services, user: str, peer: str, *, msg_seq: int, random: int, time: int) -> int:
    """Return the seq of a message that a Tencent client names by its MsgSeq, MsgRandom and time.

    Raises:
        UnknownMessage: There is no such message in the conversation (20022).
    """
    seq = await services.history.seq_before(user, peer, time, f"{msg_seq}_{random}_{time}") + 1
    found = await services.store.timelines.entry(c2c_timeline(user, peer), seq)
    tail = decode_payload(found.tail) if found is not None else None
    if tail is None or (tail.msg_seq, tail.msg_random) != (msg_seq, random):
        raise UnknownMessage("the conversation has no message with this MsgSeq, MsgRandom and time", code=20022)
    return seq


async def c2c_seq_of_key(services: Services, user: str, peer: str, msg_key: str) -> int:
    """Return the seq of a C2C message of two users by its `MsgKey`.

    Raises:
        InvalidArgument: The text is no MsgKey (90001).
        UnknownMessage: There is no such message in the conversation (20022).
    """
    named = _MSG_KEY.fullmatch(msg_key)
    if named is None:
        raise InvalidArgument(f"MsgKey must be MsgSeq_MsgRandom_MsgTime, not {msg_key[:40]!r}", code=90001)
    seq, random, time = map(int, named.groups())
    return await c2c_seq(services, user, peer, msg_seq=seq, random=random, time=time)


async def _named_seq(context: RequestContext, peer: str, *, msg_seq: int, random: int, time: int) -> int:
    return await c2c_seq(context.services, context.user, peer, msg_seq=msg_seq, random=random, time=time)


async def seq_of_key(context: RequestContext, peer: str, msg_key: str) -> int:
    """Return the seq of a C2C message of the caller and `peer` by its `MsgKey`.

    Raises:
        InvalidArgument: The text is no MsgKey (90001).
        UnknownMessage: There is no such message in the conversation (20022).
    """
    return await c2c_seq_of_key(context.services, context.user, peer, msg_key)


def c2c_key(peer: str) -> ConversationKey:
    """Return the key of the conversation with a user."""
    return ConversationKey(ConversationType.C2C, checked_user_id(peer))


def group_key(group_id: str) -> ConversationKey:
    """Return the key of the conversation of a group."""
    return ConversationKey(ConversationType.GROUP, checked_group_id(group_id))


def peer_of(context: RequestContext, one: str, other: str) -> str:
    """Return the other user of a C2C conversation."""
    peer = other if one in ("", context.user) else one
    return checked_user_id(peer)


@HANDLERS.serve(wire.RECALL_C2C)
async def recall_c2c(context: RequestContext, body: wire.RecallC2CRequest) -> wire.MessageActionReply:
    """Recall a C2C message."""
    info = body.info
    peer = peer_of(context, info.from_account, info.to_account)
    seq = info.seq or await _named_seq(context, peer, msg_seq=info.msg_seq, random=info.msg_random, time=info.time)
    done = await context.services.actions.apply(_request(context, MessageActionKind.RECALL, body), c2c_key(peer), seq)
    return wire.MessageActionReply(entry=done.entry)


@HANDLERS.serve(wire.RECALL_GROUP)
async def recall_group(context: RequestContext, body: wire.RecallGroupRequest) -> wire.RecallGroupReply:
    """Recall messages of a group. The error of a single message is raised; several messages have one code each in the reply."""
    if not 0 < len(body.items) <= RECALLED_AT_ONCE:
        raise InvalidArgument(f"MsgSeqList must have 1 to {RECALLED_AT_ONCE} messages, not {len(body.items)}", code=10004)
    group_id, reply = checked_group_id(body.group_id), wire.RecallGroupReply()
    for item in body.items:
        try:
            # the msg_id belongs to the first action only, because two actions of one msg_id would count as one
            named = body if item is body.items[0] else wire.RecallGroupRequest(group_id=group_id)
            done = await context.services.actions.apply(
                _request(context, MessageActionKind.RECALL, named), group_key(group_id), item.seq
            )
            reply.entry = done.entry
            reply.results.append(wire.RecallResult(seq=item.seq))
        except TimimError as exc:
            if len(body.items) == 1 and not context.admin:
                raise
            reply.results.append(wire.RecallResult(seq=item.seq, code=exc.code))
    return reply


@HANDLERS.serve(wire.EDIT_C2C)
async def edit_c2c(context: RequestContext, body: wire.EditC2CRequest) -> wire.EditReply:
    """Edit a C2C message."""
    peer = peer_of(context, body.from_account, body.to_account)
    seq = body.seq or await _named_seq(context, peer, msg_seq=body.msg_seq, random=body.msg_random, time=body.time)
    body.msg_body = await addressed_body(context, body.msg_body, context.user)
    done = await context.services.actions.apply(_edit(context, body), c2c_key(peer), seq)
    return _edited(done, body)


@HANDLERS.serve(wire.EDIT_GROUP)
async def edit_group(context: RequestContext, body: wire.EditGroupRequest) -> wire.EditReply:
    """Edit a message of a group."""
    body.msg_body = await addressed_body(context, body.msg_body, context.user)
    done = await context.services.actions.apply(_edit(context, body), group_key(body.group_id), body.seq)
    return _edited(done, body)


def _edited(done: ActionResult, body: wire.EditC2CRequest | wire.EditGroupRequest) -> wire.EditReply:
    return wire.EditReply(
        entry=done.entry, version=done.version, msg_body=body.msg_body, cloud_custom_data=body.cloud_custom_data
    )


def _edit(context: RequestContext, body: wire.EditC2CRequest | wire.EditGroupRequest) -> ActionRequest:
    origin = context.session.number if context.session else 0
    return ActionRequest(
        MessageActionKind.EDIT,
        context.user,
        body.client_time,
        body.random,
        origin,
        context.admin,
        msg_body=body.msg_body,
        cloud_custom_data=body.cloud_custom_data,
    )


@HANDLERS.serve(wire.REACT_TO)
async def react(context: RequestContext, body: wire.ReactRequest) -> wire.MessageActionReply:
    """Add a reaction to a message, or remove it."""
    origin = context.session.number if context.session else 0
    removed = bool(body.removed)
    request = ActionRequest(
        MessageActionKind.REACT,
        context.user,
        body.client_time,
        body.random,
        origin,
        context.admin,
        reaction=body.reaction,
        removed=removed,
    )
    key = group_key(body.group_id) if body.group_id else c2c_key(body.peer)
    done = await context.services.actions.apply(request, key, body.seq)
    return wire.MessageActionReply(entry=done.entry)


@HANDLERS.serve(wire.GET_MESSAGE_ACTIONS, paged=True)
async def get_acts(context: RequestContext, body: wire.GetMessageActionsRequest) -> wire.GetMessageActionsReply:
    """Return the actions in an interval of a group's timeline."""
    first, last = body.timeline_range
    if first < 1:
        raise InvalidArgument(f"TimelineRange must begin at 1 or more, not at {first}", code=90001)
    found, up_to = await context.services.actions.of_group(context.user, body.group_id, first, last, ACTS_AT_ONCE)
    return wire.GetMessageActionsReply(actions=found, timeline_range=(first, up_to))
