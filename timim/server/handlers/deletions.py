"""Handlers of deletions that concern one user: other users, and the timelines, keep everything."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InvalidArgument, TimimError, UnknownMessage
from ...ids import ConversationKey, ConversationType, checked_group_id, checked_user_id
from ...protocol import deletions as wire
from ...protocol.conversation_list import TYPE_C2C, TYPE_GROUP
from ..messaging.deletion_notices import deletion_items, publish_deletions
from ..store.base import timeline_of
from ..store.entries import DeletionChange
from ..store.labels import BAD_LABEL
from .message_actions import c2c_seq_of_key
from .profiles import acting
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()
PAGE = 1000


@HANDLERS.serve(wire.CLEAR_HISTORY)
async def clear_history(context: RequestContext, body: wire.ClearHistoryRequest) -> wire.DeletionReply:
    """Delete all messages of a conversation up to now, for the user alone."""
    user = acting(context, body.account)
    key = await conversation_of(context, user, body.type, body.peer, body.group_id)
    time = int(context.services.now())
    return _published(context, user, await context.services.store.deletions.clear(user, timeline_of(user, key), time=time))


@HANDLERS.serve(wire.DELETE_C2C_MESSAGES)
async def delete_c2c_messages(context: RequestContext, body: wire.DeleteC2CMessagesRequest) -> wire.DeleteC2CMessagesReply:
    """Delete messages of a C2C conversation, for the user alone."""
    user, peer = acting(context, body.account), checked_user_id(body.peer)
    _check_count("MsgKeyList", [*body.msg_keys, *body.seqs], code=90001)
    seqs, unknown = list(body.seqs), []
    for key in body.msg_keys:
        try:
            seqs.append(await c2c_seq_of_key(context.services, user, peer, key))
        except UnknownMessage:
            unknown.append(key)
    done = await _delete(context, user, ConversationKey(ConversationType.C2C, peer), seqs)
    return wire.DeleteC2CMessagesReply(deletions=done.deletions, invalid_keys=unknown)


@HANDLERS.serve(wire.DELETE_GROUP_MESSAGES)
async def delete_group_messages(context: RequestContext, body: wire.DeleteGroupMessagesRequest) -> wire.DeletionReply:
    """Delete messages of a group, for the member alone."""
    user = acting(context, body.account)
    _check_count("Seqs", body.seqs, code=10004)
    key = await conversation_of(context, user, TYPE_GROUP, "", body.group_id)
    return await _delete(context, user, key, [_seq(text) for text in body.seqs])


async def _delete(context: RequestContext, user: str, key: ConversationKey, seqs: list[int]) -> wire.DeletionReply:
    time, timeline = int(context.services.now()), timeline_of(user, key)
    change = await context.services.store.deletions.delete_messages(user, timeline, seqs, time=time)
    return _published(context, user, change)


def _check_count(field: str, items: Sequence[object], *, code: int) -> None:
    if not 1 <= len(items) <= wire.MESSAGES_AT_ONCE:
        raise InvalidArgument(f"{field} must have 1 to {wire.MESSAGES_AT_ONCE} items, not {len(items)}", code=code)


def _seq(text: int | str) -> int:
    """Return a seq that may be a text. Raises InvalidArgument."""
    if isinstance(text, str) and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidArgument(f"Seqs must have numbers, not {text[:40]!r}", code=10004)
    return int(text)


@HANDLERS.serve(wire.DELETE_CONVERSATIONS)
async def delete_conversations(context: RequestContext, body: wire.DeleteConversationsRequest) -> wire.DeleteConversationsReply:
    """Take conversations out of the user's list, and with `ClearRamble` delete their messages for the user."""
    user = acting(context, body.account)
    if not 1 <= len(body.items) <= wire.CONVERSATIONS_AT_ONCE:
        raise InvalidArgument(
            f"ContactItem must have 1 to {wire.CONVERSATIONS_AT_ONCE} items, not {len(body.items)}", code=BAD_LABEL
        )
    reply = wire.DeleteConversationsReply()
    for item in body.items:
        result = wire.DeletedContactResult(type=item.type, peer=item.peer, group_id=item.group_id)
        reply.items.append(result)
        try:
            key = await conversation_of(context, user, item.type, item.peer, item.group_id)
        except TimimError as exc:
            if not exc.code:
                raise
            result.code, result.info = exc.code, exc.info
            continue
        reply.deletions += await delete_conversation(context, user, key, clear=body.clear > 0)
    return reply


async def delete_conversation(
    context: RequestContext, user: str, key: ConversationKey, *, clear: bool
) -> list[wire.DeletionItem]:
    """Take a conversation out of a user's list, and if `clear`, delete its messages for the user; notify the other devices."""
    time, store = int(context.services.now()), context.services.store.deletions
    change = await store.unlist(user, timeline_of(user, key), clear=clear, time=time)
    return _published(context, user, change).deletions


@HANDLERS.serve(wire.LIST_DELETIONS, paged=True)
async def list_deletions(context: RequestContext, body: wire.ListDeletionsRequest) -> wire.ListDeletionsReply:
    """Return the user's deletions after a number, oldest first."""
    store = context.services.store.deletions
    number = await store.number(context.user)  # before the page, which may have later ones
    found = await store.after(context.user, max(0, body.after), PAGE)
    complete = len(found) < PAGE
    last = found[-1].number if found else 0
    return wire.ListDeletionsReply(
        items=deletion_items(context.user, DeletionChange(body.after, found)),
        number=max(number, last) if complete else last,
        complete=int(complete),
    )


async def conversation_of(context: RequestContext, user: str, type: int, peer: str, group_id: str) -> ConversationKey:
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
    await context.services.entities.group_for(user, checked_group_id(group_id))
    return ConversationKey(ConversationType.GROUP, group_id)


def _published(context: RequestContext, user: str, change: DeletionChange) -> wire.DeletionReply:
    """Notify the user's other devices of deletions, and return the reply for this one."""
    origin = context.session.number if context.session else 0
    return wire.DeletionReply(deletions=publish_deletions(context.services.bus, user, change, origin=origin))
