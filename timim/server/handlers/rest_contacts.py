"""Handlers over REST of an account's conversations: its list, and the deletion of one of them."""

from __future__ import annotations

import msgspec

from ...protocol.codec import Body, Command, Door, Reply
from ...protocol.conversation_list import TYPE_C2C, TYPE_GROUP
from ...protocol.numbers import Int
from ..store.base import UserConversation
from .conversations import is_shown
from .deletions import conversation_of, delete_conversation
from .profiles import acting
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()
PAGE = 100
_EMPTY = 2  # of AssistFlags: with conversations whose messages are all deleted


class GetListRequest(Body):
    """A query for a page of an account's conversations. The positions are those of the last reply, or 0."""

    account: str = msgspec.field(name="From_Account")
    time: Int = msgspec.field(name="TimeStamp", default=0)
    start: Int = msgspec.field(name="StartIndex", default=0)
    top_time: Int = msgspec.field(name="TopTimeStamp", default=0)
    top_start: Int = msgspec.field(name="TopStartIndex", default=0)
    flags: Int = msgspec.field(name="AssistFlags", default=0)


class SessionItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A conversation: with a user (`Type` 1) or of a group (2), the time of its last message, and 1 if it is pinned."""

    type: Int = msgspec.field(name="Type")
    peer: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="GroupId", default="")
    time: Int = msgspec.field(name="MsgTime")
    pinned: Int = msgspec.field(name="TopFlag")


class GetListReply(Reply):
    """A page of conversations, the newest first, and the positions of the next page. `CompleteFlag` is 1 on the last one."""

    items: list[SessionItem] = msgspec.field(name="SessionItem", default_factory=list)
    complete: Int = msgspec.field(name="CompleteFlag", default=1)
    time: Int = msgspec.field(name="TimeStamp", default=0)
    start: Int = msgspec.field(name="StartIndex", default=0)
    top_time: Int = msgspec.field(name="TopTimeStamp", default=0)
    top_start: Int = msgspec.field(name="TopStartIndex", default=0)


class DeleteConversationRequest(Body):
    """A conversation to delete for an account; `ClearRamble` 1 also deletes its messages up to now."""

    account: str = msgspec.field(name="From_Account")
    type: Int = msgspec.field(name="Type", default=TYPE_C2C)
    peer: str = msgspec.field(name="To_Account", default="")
    group_id: str = msgspec.field(name="ToGroupid", default="")
    clear: Int = msgspec.field(name="ClearRamble", default=0)


GET_LIST = Command("recentcontact.get_list", GetListRequest, GetListReply, doors=Door.REST)
DELETE = Command("recentcontact.delete", DeleteConversationRequest, Reply, doors=Door.REST)


@HANDLERS.serve(GET_LIST)
async def get_list(context: RequestContext, body: GetListRequest) -> GetListReply:
    """Return a page of an account's conversations."""
    user, start = acting(context, body.account), max(0, body.start)
    await context.services.entities.account(user)
    found = await context.services.store.conversations.page(user, start, PAGE + 1)
    shown = [one for one in found[:PAGE] if _is_listed(one, empty=bool(body.flags & _EMPTY))]
    more = len(found) > PAGE
    return GetListReply(
        items=[_item(user, one) for one in shown],
        complete=int(not more),
        time=found[PAGE - 1].last_time if more else 0,
        start=start + PAGE if more else 0,
    )


@HANDLERS.serve(DELETE)
async def delete(context: RequestContext, body: DeleteConversationRequest) -> Reply:
    """Take a conversation out of an account's list, and with `ClearRamble` delete its messages for the account."""
    user = acting(context, body.account)
    await context.services.entities.account(user)
    key = await conversation_of(context, user, body.type, body.peer, body.group_id)
    await delete_conversation(context, user, key, clear=body.clear > 0)
    return Reply()


def _is_listed(one: UserConversation, *, empty: bool) -> bool:
    if one.timeline.startswith("system\x1f") or not is_shown(one):
        return False
    return empty or (one.last is not None and one.last.seq >= one.floor)


def _item(user: str, one: UserConversation) -> SessionItem:
    kind, *names = one.timeline.split("\x1f")
    item = SessionItem(
        type=TYPE_GROUP if kind == "group" else TYPE_C2C,
        time=one.last.time if one.last is not None else one.last_time,
        pinned=int(bool(one.pinned)),
    )
    if kind == "group":
        item.group_id = names[0]
    else:
        item.peer = names[1] if names[0] == user else names[0]
    return item
