"""Handlers of reactions in Tencent's form. The reactions themselves are message actions, as timim's own client makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ...errors import InvalidArgument
from ...ids import ConversationKey
from ...protocol import reactions as wire
from ...protocol.codec import Reply
from ...protocol.entries import EntryState, MessageActionKind, Reaction
from ..messaging.actions import ActionRequest
from .message_actions import c2c_key, group_key, peer_of, seq_of_key
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

T = TypeVar("T", str, int)
MESSAGES_AT_ONCE = 20
USERS_AT_ONCE = 100


async def _react(context: RequestContext, key: ConversationKey, seq: int, reaction: str, *, removed: bool = False) -> Reply:
    # without an origin, because the web client shows its own reaction after the event
    request = ActionRequest(MessageActionKind.REACT, context.user, reaction=reaction, removed=removed)
    await context.services.actions.apply(request, key, seq)
    return Reply()


async def _reactions(context: RequestContext, key: ConversationKey, seq: int) -> Sequence[Reaction]:
    """Return the reactions to a message that the caller may see."""
    payload, _ = await context.services.history.message(context.user, key, seq)
    return payload.state.reactions if isinstance(payload.state, EntryState) else ()


async def _c2c(context: RequestContext, body: wire.MessageOfTwo) -> tuple[ConversationKey, int]:
    peer = peer_of(context, body.from_account, body.to_account)
    return c2c_key(peer), await seq_of_key(context, peer, body.msg_key)


@HANDLERS.serve(wire.REACT_C2C)
async def react_c2c(context: RequestContext, body: wire.ReactC2CRequest) -> Reply:
    """Add a reaction to a C2C message."""
    return await _react(context, *await _c2c(context, body), body.reaction)


@HANDLERS.serve(wire.UNREACT_C2C)
async def unreact_c2c(context: RequestContext, body: wire.ReactC2CRequest) -> Reply:
    """Remove the caller's reaction to a C2C message."""
    return await _react(context, *await _c2c(context, body), body.reaction, removed=True)


@HANDLERS.serve(wire.REACT_GROUP)
async def react_group(context: RequestContext, body: wire.ReactGroupRequest) -> Reply:
    """Add a reaction to a message of a group."""
    return await _react(context, group_key(body.group_id), body.seq, body.reaction)


@HANDLERS.serve(wire.UNREACT_GROUP)
async def unreact_group(context: RequestContext, body: wire.ReactGroupRequest) -> Reply:
    """Remove the caller's reaction to a message of a group."""
    return await _react(context, group_key(body.group_id), body.seq, body.reaction, removed=True)


@HANDLERS.serve(wire.REACTIONS_C2C, paged=True)
async def reactions_c2c(context: RequestContext, body: wire.ReactionsC2CRequest) -> wire.ReactionsReply:
    """Return the reactions to C2C messages."""
    peer, reply = peer_of(context, body.from_account, body.to_account), wire.ReactionsReply()
    for name in _few(body.msg_keys, "MsgKeyList"):
        found = await _reactions(context, c2c_key(peer), await seq_of_key(context, peer, name))
        reply.messages.append(wire.MessageReactions(msg_key=name, reactions=_summaries(context, found, body.count)))
    return reply


@HANDLERS.serve(wire.REACTIONS_GROUP, paged=True)
async def reactions_group(context: RequestContext, body: wire.ReactionsGroupRequest) -> wire.ReactionsReply:
    """Return the reactions to messages of a group."""
    key, reply = group_key(body.group_id), wire.ReactionsReply()
    for seq in _few(body.seqs, "MsgSeqList"):
        found = await _reactions(context, key, seq)
        reply.messages.append(wire.MessageReactions(seq=seq, reactions=_summaries(context, found, body.count)))
    return reply


@HANDLERS.serve(wire.REACTING_USERS_C2C)
async def reacting_users_c2c(context: RequestContext, body: wire.ReactingUsersC2CRequest) -> wire.ReactingUsersReply:
    """Return the users of a reaction to a C2C message. There are two at most, so they are one page whatever `Count` says."""
    found = await _reactions(context, *await _c2c(context, body))
    return wire.ReactingUsersReply(users=_users_of(found, body.reaction))


@HANDLERS.serve(wire.REACTING_USERS_GROUP)
async def reacting_users_group(context: RequestContext, body: wire.ReactingUsersGroupRequest) -> wire.ReactingUsersReply:
    """Return a page of the users of a reaction to a message of a group."""
    users = _users_of(await _reactions(context, group_key(body.group_id), body.seq), body.reaction)
    begin = max(0, body.next_seq)
    end = begin + max(1, min(body.count, USERS_AT_ONCE))
    return wire.ReactingUsersReply(users=users[begin:end], next_seq=end if end < len(users) else 0)


def _users_of(reactions: Sequence[Reaction], reaction: str) -> list[str]:
    return next((one.users for one in reactions if one.reaction == reaction), [])


def _summaries(context: RequestContext, reactions: Sequence[Reaction], shown: int) -> list[wire.ReactionSummary]:
    shown = max(0, min(shown, wire.SHOWN_USERS))
    return [wire.summary_of(one, shown, user=context.user) for one in reactions]


def _few(messages: list[T], name: str) -> list[T]:
    """Return the messages of a query, of which there is a limit.

    Raises:
        InvalidArgument: There are none or too many.
    """
    if not 0 < len(messages) <= MESSAGES_AT_ONCE:
        raise InvalidArgument(f"{name} must have 1 to {MESSAGES_AT_ONCE} messages, not {len(messages)}", code=10004)
    return messages
