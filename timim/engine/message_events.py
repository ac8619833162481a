"""Messages of the server that become events, and messages that handlers get one by one."""

from __future__ import annotations

from collections.abc import Iterator

from ..elem_base import RelationType
from ..elems import GroupNoticeElem, GroupTipElem, RelationElem
from ..events import ClientEvent, GroupChanged, GroupNoticeReceived, ProfileChanged, RelationChanged, is_from_server
from ..message import Message


def is_for_single_handlers(message: Message) -> bool:
    """Return True if `client.on_message` delivers the message: another user wrote it, and it has not been recalled."""
    return not (message.is_self or message.recalled or is_from_server(message))


def events_from_message(message: Message) -> Iterator[ClientEvent]:
    """Yield the events that a new message from the server causes."""
    for elem in message.elems:
        match elem:
            case GroupTipElem():
                yield GroupChanged(message.key.peer if message.key else "", elem, message)
            case GroupNoticeElem():
                yield GroupNoticeReceived(elem.group_id, elem, message)
            case RelationElem(type=RelationType.PROFILE) if elem.users:
                yield ProfileChanged(elem.users[0], elem.profile_version, elem.profile, message)
            case RelationElem():
                yield RelationChanged(elem, message)
            case _:
                pass
