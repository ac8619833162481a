"""Handlers of the conversation list (`recentcontact`)."""

from __future__ import annotations

import msgspec

from ...errors import UnknownGroup
from ...ids import TOPIC_MARK
from ...protocol import conversation_list as wire
from ...protocol.codec import decode
from ...protocol.entries import Entry, EntryGroupInfo, render_entry
from ...protocol.labels import bits_of
from ..store.base import Receipt, Unread, UserConversation
from ..store.labels import label_name
from .read_receipts import notice_of
from .registry import HandlerRegistry, RequestContext

HANDLERS = HandlerRegistry()

PAGE_LIMIT = 100
RECEIPTS_LIMIT = 1000  # of messages that request receipts, those with the newest changes
_TYPES = {"c2c": wire.TYPE_C2C, "group": wire.TYPE_GROUP, "system": wire.TYPE_SYSTEM}
LATEST_COMMIT_S = 120  # an entry is committed within this time after its timestamp


@HANDLERS.serve(wire.LIST_CONVERSATIONS, paged=True)
async def page(context: RequestContext, body: wire.ListConversationsRequest) -> wire.ListConversationsReply:
    """Return a page of the conversation list, newest first."""
    limit = max(1, min(body.count or PAGE_LIMIT, PAGE_LIMIT))
    now = int(context.services.now())
    since = body.since - LATEST_COMMIT_S if 0 < body.since <= now else 0  # after the clock was set back, list everything
    contacts = await context.services.store.conversations.page(context.user, body.start_index, limit + 1, since=since)
    page = contacts[:limit]
    more = len(contacts) > limit
    receipts: list[Receipt] = []
    if not body.messages:  # other clients support neither the system timeline, nor topics, nor conversations without a message
        page = [contact for contact in page if _is_listed(contact) and is_shown(contact)]
    elif not body.start_index:
        receipts = await context.services.store.receipts.of_sender(context.user, since, RECEIPTS_LIMIT)
    unread = await context.services.store.conversations.unread(context.user, [contact.timeline for contact in page])
    if body.messages:
        items = [_item(context.user, contact, count) for contact, count in zip(page, unread, strict=True)]
    else:
        items = [await _tencent_item(context, contact, count) for contact, count in zip(page, unread, strict=True)]
        await _add_labels(context, items)
    start = body.start_index + limit if more else 0
    notices = [await notice_of(context, one) for one in receipts if await _exists(context, one)]
    deletions = await context.services.store.deletions.number(context.user) if body.messages else 0
    return wire.ListConversationsReply(
        complete_flag=int(not more), start_index=start, since=now, items=items, receipts=notices, deletions=deletions
    )


async def _exists(context: RequestContext, receipt: Receipt) -> bool:
    """Return True unless the receipt's group has been dissolved since."""
    kind, name, *_ = receipt.timeline.split("\x1f")
    if kind == "c2c":
        return True
    try:
        await context.services.entities.group_or_topic(name)
    except UnknownGroup:
        return False
    return True


def _is_listed(contact: UserConversation) -> bool:
    """Return True if the conversation is in the list of other clients, which have topics in the list of a Community."""
    return not _is_system(contact) and TOPIC_MARK not in contact.timeline


def is_shown(contact: UserConversation) -> bool:
    """Return True if the conversation has a message, and the user has not deleted it from the list since."""
    return contact.last is not None and contact.last.seq > contact.unlisted_seq


def _is_system(contact: UserConversation) -> bool:
    return contact.timeline.startswith("system\x1f")


def _item(user: str, contact: UserConversation, unread: Unread) -> wire.ConversationItem:
    kind, *names = contact.timeline.split("\x1f")
    group = kind == "group"
    item = wire.ConversationItem(
        type=_TYPES[kind],
        msg_time=contact.last.time if contact.last is not None else 0,
        last_seq=contact.last_seq,
        read_seq=contact.read_seq,
        first_visible_seq=contact.floor,
        action_seq=contact.action_seq,
        peer_read_seq=contact.peer_read_seq,
        unread_now=unread.count,
        mentioned=unread.mentioned,
        unread_seq=unread.last_seq,
        pinned=contact.pinned,
        muted=int(contact.muted),
        draft=contact.draft,
        settings_version=contact.settings_version,
        read_reset=contact.reset_version,
    )
    if group:
        item.group_id = names[0]
    elif not _is_system(contact):
        item.to_account = names[1] if names[0] == user else names[0]
    if contact.last is not None and contact.last.seq >= contact.floor:
        item.message = render_entry(contact.last.tail, seq=contact.last.seq, time=contact.last.time, group=group)
    return item


async def _add_labels(context: RequestContext, items: list[wire.ConversationItem]) -> None:
    """Set the labels of items in the form of Tencent's conversation list."""
    names = [label_name(item.type, item.to_account or item.group_account) for item in items]
    for item, labelled in zip(items, await context.services.store.labels.of(context.user, names), strict=True):
        item.marks, item.custom, item.label_groups = bits_of(labelled.marks), labelled.custom, sorted(labelled.groups)


async def _tencent_item(context: RequestContext, contact: UserConversation, unread: Unread) -> wire.ConversationItem:
    """Return an item in the form of Tencent's conversation list."""
    item = _item(context.user, contact, unread)
    message, item.message = item.message, msgspec.UNSET
    item.unread = unread.count
    item.top_flags, item.top_time = int(bool(contact.pinned)), contact.pinned
    last = decode(Entry, message) if isinstance(message, msgspec.Raw) else None
    if last is not None:
        item.msg_seq, item.msg_random = last.msg_seq, last.msg_random
        item.last_msg_flags = last.msg_flag_bits or last.placeholder
        item.last_msg = wire.LastMsg(msg_body=last.msg_body, cloud_custom_data=last.cloud_custom_data)
    if item.type == wire.TYPE_GROUP:
        group = await context.services.entities.group(item.group_id)
        item.group_account, item.group_id = item.group_id, ""  # the web client's GroupId means a group of conversations
        item.group_name, item.group_type = group.name, group.type
        item.next_seq, item.group_read_seq = contact.last_seq + 1, contact.read_seq
        item.not_unread = max(0, contact.last_seq - max(contact.read_seq, contact.floor - 1) - unread.count)
        if last is not None:
            item.last_group_from, item.sender_nick = last.from_account, last.nick
            item.sender_card = last.group.name_card if isinstance(last.group, EntryGroupInfo) else ""
    else:
        peer = await context.services.entities.account(item.to_account)
        item.peer_nick, item.peer_image = peer.nickname, peer.face_url
        item.last_c2c_from = last.from_account if last is not None else ""
    return item
