"""The conversation list (`recentcontact`)."""

from __future__ import annotations

import msgspec

from ...wire import contacts as wire
from ...wire.codec import decode
from ...wire.entries import Entry, GroupFacts, render
from ..store.base import Contact
from .table import TABLE, Call

PAGE_LIMIT = 100
_TYPES = {"c2c": wire.CONTACT_C2C, "group": wire.CONTACT_GROUP, "system": wire.CONTACT_SYSTEM}
LATEST_COMMIT_S = 120  # an entry is dated before its commit, and by then committed


@TABLE.serve(wire.PAGE_CONTACTS)
async def page(call: Call, body: wire.PageContacts) -> wire.PageContactsReply:
    limit = max(1, min(body.count or PAGE_LIMIT, PAGE_LIMIT))
    now = int(call.services.now())
    since = body.since - LATEST_COMMIT_S if 0 < body.since <= now else 0  # a clock that went back knows nothing of then
    contacts = await call.services.store.contacts(call.user, body.start_index, limit + 1, since=since)
    page = contacts[:limit]
    more = len(contacts) > limit
    if body.messages:
        items = [_item(call.user, contact) for contact in page]
    else:
        page = [contact for contact in page if not _is_system(contact)]  # other clients do not know a system timeline
        unread = await call.services.store.unread(call.user, [contact.timeline for contact in page])
        items = [await _in_short(call, contact, count) for contact, count in zip(page, unread, strict=True)]
    start = body.start_index + limit if more else 0
    return wire.PageContactsReply(complete_flag=int(not more), start_index=start, since=now, items=items)


def _is_system(contact: Contact) -> bool:
    return contact.timeline.startswith("system\x1f")


def _item(user: str, contact: Contact) -> wire.Contact:
    kind, *names = contact.timeline.split("\x1f")
    group = kind == "group"
    item = wire.Contact(
        type=_TYPES[kind],
        msg_time=contact.last_time,
        last_seq=contact.last_seq,
        read_seq=contact.read_seq,
        floor=contact.floor,
    )
    if group:
        item.group_id = names[0]
    elif not _is_system(contact):
        item.to_account = names[1] if names[0] == user else names[0]
    if contact.last is not None and contact.last_seq >= contact.floor:
        item.message = render(contact.last.tail, seq=contact.last.seq, time=contact.last.time, group=group)
    return item


async def _in_short(call: Call, contact: Contact, unread: int) -> wire.Contact:
    """What Tencent's own list says of a conversation and its last message."""
    item = _item(call.user, contact)
    message, item.message = item.message, msgspec.UNSET
    item.unread = unread
    last = decode(Entry, message) if isinstance(message, msgspec.Raw) else None
    if last is not None:
        item.msg_seq, item.msg_random = last.msg_seq, last.msg_random
        item.last_msg = wire.LastMsg(msg_body=last.msg_body, cloud_custom_data=last.cloud_custom_data)
    if item.type == wire.CONTACT_GROUP:
        group = await call.services.directory.group(item.group_id)
        item.group_account, item.group_id = item.group_id, ""  # GroupId means a group of conversations to that client
        item.group_name, item.group_type = group.name, group.type
        item.next_seq, item.group_read_seq = contact.last_seq + 1, contact.read_seq
        if last is not None:
            item.last_group_from, item.sender_nick = last.from_account, last.nick
            item.sender_card = last.group.name_card if isinstance(last.group, GroupFacts) else ""
    else:
        peer = await call.services.directory.account(item.to_account)
        item.peer_nick, item.peer_image = peer.nickname, peer.face_url
        item.last_c2c_from = last.from_account if last is not None else ""
    return item
