"""The conversation list (`recentcontact`)."""

from __future__ import annotations

import msgspec

from ...wire import contacts as wire
from ...wire.entries import render
from ..store.base import Contact
from .table import TABLE, Call

PAGE_LIMIT = 100
_TYPES = {"c2c": wire.CONTACT_C2C, "group": wire.CONTACT_GROUP, "system": wire.CONTACT_SYSTEM}


@TABLE.serve(wire.PAGE_CONTACTS)
async def page(call: Call, body: wire.PageContacts) -> wire.PageContactsReply:
    limit = max(1, min(body.count or PAGE_LIMIT, PAGE_LIMIT))
    contacts = await call.services.store.contacts(call.user, body.start_index, limit + 1)
    whole = bool(body.messages)  # a timim client: others do not know a system timeline
    items = [_item(call.user, contact, whole=whole) for contact in contacts[:limit] if whole or not _is_system(contact)]
    more = len(contacts) > limit
    return wire.PageContactsReply(complete_flag=int(not more), start_index=body.start_index + limit if more else 0, items=items)


def _is_system(contact: Contact) -> bool:
    return contact.timeline.startswith("system\x1f")


def _item(user: str, contact: Contact, *, whole: bool) -> wire.Contact:
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
        entry = render(contact.last.tail, seq=contact.last.seq, time=contact.last.time, group=group)
        if whole:
            item.message = entry
        else:
            _in_short(item, entry)
    return item


def _in_short(item: wire.Contact, entry: msgspec.Raw) -> None:
    """What Tencent's own list says of a last message."""
    fields = msgspec.json.decode(entry)
    item.msg_show = "".join(_shown(elem) for elem in fields["MsgBody"])[:200]
    item.last_from = fields["From_Account"]
    item.msg_seq = fields.get("MsgSeq", 0)
    item.msg_random = fields.get("MsgRandom", 0)
    item.last_body = msgspec.Raw(msgspec.json.encode(fields["MsgBody"]))
    item.unread = max(0, item.last_seq - item.read_seq)


def _shown(elem: dict[str, object]) -> str:
    content = elem.get("MsgContent")
    text = content.get("Text") if isinstance(content, dict) else None
    return text if isinstance(text, str) else f"[{elem.get('MsgType', '')}]"
