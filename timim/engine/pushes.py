"""Which timeline each entry of a push belongs to. Tips and notices come in forms of their own, and leave as entries."""

from __future__ import annotations

from collections.abc import Iterator

from ..ids import SYSTEM_PEER, ConversationKey, ConversationType
from ..wire import status
from ..wire.codec import decode
from ..wire.entries import Entry
from ..wire.notices import entry_of

SYSTEM = ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)


def pushed_entries(event: status.PushEvent, user_id: str) -> Iterator[tuple[ConversationKey, Entry]]:
    """The entries of one event, none when its kind carries none. Raises ProtocolError."""
    match event.event:
        case status.EVENT_C2C_MESSAGE:
            for raw in event.c2c:
                entry = decode(Entry, raw)
                peer = entry.to_account if entry.from_account == user_id else entry.from_account
                yield ConversationKey(ConversationType.C2C, peer), entry
        case status.EVENT_GROUP_MESSAGE:
            for raw in event.group:
                entry = decode(Entry, raw)
                yield ConversationKey(ConversationType.GROUP, entry.to_group_id), entry
        case status.EVENT_GROUP_TIP:
            for raw in event.tips:
                entry = entry_of(event.event, raw)
                yield ConversationKey(ConversationType.GROUP, entry.to_group_id), entry
        case status.EVENT_GROUP_NOTICE | status.EVENT_RELATION | status.EVENT_PROFILE:
            for raw in event.entries():
                yield SYSTEM, entry_of(event.event, raw)
        case _:
            pass  # no entries, or a kind that this version does not know
