"""Recalling, editing, reacting: Tencent's commands where there are some, `timeline.react` and `timeline.acts_get` of ours."""

from __future__ import annotations

from ...errors import InvalidArgument, TimimError, UnknownMessage
from ...ids import checked_group_id, checked_user_id
from ...protocol import message_actions as wire
from ...protocol.entries import decode_payload
from ..messaging.actions import EDIT, REACT, RECALL, Done, Wish
from ..store.base import c2c_timeline
from .registry import TABLE, Call

ACTS_AT_ONCE = 200
RECALLED_AT_ONCE = 10


def _wish(call: Call, kind: str, body: wire.MessageActionRequest) -> Wish:
    origin = call.session.number if call.session else 0
    return Wish(kind, call.user, body.client_time, body.random, origin, call.admin)


async def _c2c_seq(call: Call, peer: str, *, msg_seq: int, random: int, time: int) -> int:
    """The seq of the message that Tencent's clients name so. Raises UnknownMessage."""
    pages, store = call.services.pages, call.services.store
    seq = await pages.seq_before(call.user, peer, time, f"{msg_seq}_{random}_{time}") + 1
    found = await store.message(c2c_timeline(call.user, peer), seq)
    tail = decode_payload(found.tail) if found is not None else None
    if tail is None or (tail.msg_seq, tail.msg_random) != (msg_seq, random):
        raise UnknownMessage("there is no message of this MsgSeq, MsgRandom and time", code=20022)
    return seq


def _peer(call: Call, one: str, other: str) -> str:
    """The other side of who acts."""
    peer = other if one in ("", call.user) else one
    return checked_user_id(peer)


@TABLE.serve(wire.RECALL_C2C)
async def recall_c2c(call: Call, body: wire.RecallC2CRequest) -> wire.MessageActionReply:
    info = body.info
    peer = _peer(call, info.from_account, info.to_account)
    seq = info.seq or await _c2c_seq(call, peer, msg_seq=info.msg_seq, random=info.msg_random, time=info.time)
    done = await call.services.acts.c2c(_wish(call, RECALL, body), peer, seq)
    return wire.MessageActionReply(entry=done.entry)


@TABLE.serve(wire.RECALL_GROUP)
async def recall_group(call: Call, body: wire.RecallGroupRequest) -> wire.RecallGroupReply:
    """One message: its error is the reply's. Several: each has its own code."""
    if not 0 < len(body.items) <= RECALLED_AT_ONCE:
        raise InvalidArgument(f"MsgSeqList names 1 to {RECALLED_AT_ONCE} messages, not {len(body.items)}", code=10004)
    group_id, reply = checked_group_id(body.group_id), wire.RecallGroupReply()
    for item in body.items:
        try:
            # the name of the act stands for the first: two acts of one name would be one
            named = body if item is body.items[0] else wire.RecallGroupRequest(group_id=group_id)
            done = await call.services.acts.group(_wish(call, RECALL, named), group_id, item.seq)
            reply.entry = done.entry
            reply.results.append(wire.RecallResult(seq=item.seq))
        except TimimError as exc:
            if len(body.items) == 1:
                raise
            reply.results.append(wire.RecallResult(seq=item.seq, code=exc.code))
    return reply


@TABLE.serve(wire.EDIT_C2C)
async def edit_c2c(call: Call, body: wire.EditC2CRequest) -> wire.EditReply:
    peer = _peer(call, body.from_account, body.to_account)
    seq = body.seq or await _c2c_seq(call, peer, msg_seq=body.msg_seq, random=body.msg_random, time=body.time)
    done = await call.services.acts.c2c(_edit(call, body), peer, seq)
    return _edited(done, body)


@TABLE.serve(wire.EDIT_GROUP)
async def edit_group(call: Call, body: wire.EditGroupRequest) -> wire.EditReply:
    done = await call.services.acts.group(_edit(call, body), checked_group_id(body.group_id), body.seq)
    return _edited(done, body)


def _edited(done: Done, body: wire.EditC2CRequest | wire.EditGroupRequest) -> wire.EditReply:
    return wire.EditReply(
        entry=done.entry, version=done.version, msg_body=body.msg_body, cloud_custom_data=body.cloud_custom_data
    )


def _edit(call: Call, body: wire.EditC2CRequest | wire.EditGroupRequest) -> Wish:
    origin = call.session.number if call.session else 0
    return Wish(
        EDIT,
        call.user,
        body.client_time,
        body.random,
        origin,
        call.admin,
        msg_body=body.msg_body,
        cloud_custom_data=body.cloud_custom_data,
    )


@TABLE.serve(wire.REACT_TO)
async def react(call: Call, body: wire.ReactRequest) -> wire.MessageActionReply:
    origin = call.session.number if call.session else 0
    removed = bool(body.removed)
    wish = Wish(REACT, call.user, body.client_time, body.random, origin, call.admin, reaction=body.reaction, removed=removed)
    if body.group_id:
        done = await call.services.acts.group(wish, checked_group_id(body.group_id), body.seq)
    else:
        done = await call.services.acts.c2c(wish, checked_user_id(body.peer), body.seq)
    return wire.MessageActionReply(entry=done.entry)


@TABLE.serve(wire.GET_MESSAGE_ACTIONS)
async def get_acts(call: Call, body: wire.GetMessageActionsRequest) -> wire.GetMessageActionsReply:
    first, last = body.timeline_range
    if first < 1:
        raise InvalidArgument("TimelineRange begins at 1", code=90001)
    found, up_to = await call.services.acts.of_group(call.user, body.group_id, first, last, ACTS_AT_ONCE)
    return wire.GetMessageActionsReply(actions=found, timeline_range=(first, up_to))
