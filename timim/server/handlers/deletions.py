"""Handlers of deletions that concern one user: other users, and the timelines, keep everything."""

from __future__ import annotations

import msgspec

from ...errors import InvalidArgument, NotAMember
from ...ids import ConversationKey, ConversationType, checked_group_id, checked_user_id
from ...protocol import deletions as wire
from ...protocol import session
from ...protocol.codec import encode
from ...protocol.conversation_list import TYPE_C2C, TYPE_GROUP
from ..bus.base import Event
from ..store.base import timeline_of
from ..store.deletions import CLEARED, DELETED, Deletion, DeletionChange
from ..store.labels import BAD_LABEL
from .profiles import acting
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()
PAGE = 1000


@HANDLERS.serve(wire.CLEAR_HISTORY)
async def clear_history(context: RequestContext, body: wire.ClearHistoryRequest) -> wire.DeletionReply:
    """Delete all messages of a conversation up to now, for the user alone."""
    user = acting(context, body.account)
    key = await _conversation(context, user, body.type, body.peer, body.group_id)
    time = int(context.services.now())
    return _published(context, user, await context.services.store.deletions.clear(user, timeline_of(user, key), time=time))


@HANDLERS.serve(wire.LIST_DELETIONS, paged=True)
async def list_deletions(context: RequestContext, body: wire.ListDeletionsRequest) -> wire.ListDeletionsReply:
    """Return the user's deletions after a number, oldest first."""
    store = context.services.store.deletions
    number = await store.number(context.user)  # before the page, which may have later ones
    found = await store.after(context.user, max(0, body.after), PAGE)
    complete = len(found) < PAGE
    last = found[-1].number if found else 0
    return wire.ListDeletionsReply(
        items=_items(context.user, DeletionChange(body.after, found)),
        number=max(number, last) if complete else last,
        complete=int(complete),
    )


async def _conversation(context: RequestContext, user: str, type: int, peer: str, group_id: str) -> ConversationKey:
    """Return the conversation of a request.

    Raises:
        InvalidArgument: The request names none.
        UnknownGroup: There is no such group.
        NotAMember: The user is not in the group.
    """
    if type == TYPE_C2C:
        return ConversationKey(ConversationType.C2C, checked_user_id(peer))
    if type != TYPE_GROUP:
        raise InvalidArgument("Type must be 1 with To_Account, or 2 with ToGroupid", code=BAD_LABEL)
    group = await context.services.entities.group(checked_group_id(group_id))
    if user not in group.members:
        raise NotAMember(f"{user!r} is not in the group {group_id!r}")
    return ConversationKey(ConversationType.GROUP, group_id)


def _published(context: RequestContext, user: str, change: DeletionChange) -> wire.DeletionReply:
    """Notify the user's other devices of deletions, and return the reply for this one."""
    reply = wire.DeletionReply(deletions=_items(user, change))
    for item in reply.deletions:
        origin = context.session.number if context.session else 0
        context.services.bus.publish(Event((user,), session.EVENT_DELETIONS, msgspec.Raw(encode(item)), origin))
    return reply


def _items(user: str, change: DeletionChange) -> list[wire.DeletionItem]:
    """Return deletions as clients get them: messages of one conversation that follow each other in one item."""
    items: list[wire.DeletionItem] = []
    before, previous = change.before, ""
    for one in change.deletions:
        if one.kind == DELETED and previous == one.timeline and items[-1].seqs:
            items[-1].seqs.append(one.seq)
            items[-1].number = one.number
        else:
            items.append(_item(user, one, before))
        before, previous = one.number, one.timeline
    return items


def _item(user: str, one: Deletion, before: int) -> wire.DeletionItem:
    kind, *names = one.timeline.split("\x1f")
    item = wire.DeletionItem(number=one.number, before=before)
    if kind == "group":
        item.group_id = names[0]
    else:
        item.peer = names[1] if names[0] == user else names[0]
    if one.kind == DELETED:
        item.seqs = [one.seq]
    elif one.kind == CLEARED:
        item.cleared_seq = one.seq
    else:
        item.unlisted_seq = one.seq
    return item
