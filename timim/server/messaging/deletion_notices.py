"""Notices of deletions that concern one user, for the devices of this user."""

from __future__ import annotations

import msgspec

from ...protocol import session, tencent_events
from ...protocol.codec import encode
from ...protocol.deletions import DeletionItem
from ..bus.base import Bus, Event
from ..store.deletions import CLEARED, DELETED
from ..store.entries import Deletion, DeletionChange


def publish_deletions(bus: Bus, user: str, change: DeletionChange, *, origin: int = 0) -> list[DeletionItem]:
    """Notify the devices of a user of deletions, except the session `origin`, and return them as clients get them."""
    items = deletion_items(user, change)
    for item in items:
        plain = tencent_events.conversation_deleted_event(item.peer, item.group_id) if item.unlisted_seq else None
        bus.publish(Event((user,), session.EVENT_DELETIONS, msgspec.Raw(encode(item)), origin, plain))
    return items


def deletion_items(user: str, change: DeletionChange) -> list[DeletionItem]:
    """Return deletions as clients get them: messages of one conversation that follow each other in one item."""
    items: list[DeletionItem] = []
    before, previous = change.before, ""
    for one in change.deletions:
        if one.kind == DELETED and previous == one.timeline and items[-1].seqs:
            items[-1].seqs.append(one.seq)
            items[-1].number = one.number
        else:
            items.append(_item(user, one, before))
        before, previous = one.number, one.timeline
    return items


def _item(user: str, one: Deletion, before: int) -> DeletionItem:
    kind, *names = one.timeline.split("\x1f")
    item = DeletionItem(number=one.number, before=before)
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
