"""Events that a client delivers besides messages. Every event is a frozen dataclass and a ClientEvent.

Register a handler with `client.on(ConnectionLost, …)`, or read a stream from `client.events(ConnectionLost, …)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .elem_base import RelationType
from .elems import GroupNoticeElem, GroupTipElem, RelationElem
from .errors import TimimError
from .ids import SERVER_MSG_ID, ConversationKey, ConversationType
from .message import Message

__all__ = [
    "ClientEvent",
    "ConnectionLost",
    "ConnectionRestored",
    "ConversationChanged",
    "GroupChanged",
    "GroupNoticeReceived",
    "HandlerFailed",
    "HistoryReset",
    "KickedOut",
    "MessageEdited",
    "MessageRecalled",
    "ProfileChanged",
    "ReactionsChanged",
    "ReadReceipt",
    "RelationChanged",
    "StoreReplaced",
    "events_from_message",
    "is_from_server",
    "is_group_tip",
]


class ClientEvent:
    """Base class of all events. An event is delivered to the handlers of its own class, and to streams of its classes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ConnectionLost(ClientEvent):
    """The connection is lost, and the client is trying to connect again. Queued messages stay queued.

    With StoreCorrupted as its error the client does not try, because nothing could be stored. The next `login()`
    replaces the store.
    """

    error: TimimError


@dataclass(frozen=True, slots=True)
class ConnectionRestored(ClientEvent):
    """The client is connected again and has fetched the messages that it missed."""


@dataclass(frozen=True, slots=True)
class KickedOut(ClientEvent):
    """The server ended this device's login, or its signature is no longer valid. Log in again with a new signature."""

    error: TimimError


@dataclass(frozen=True, slots=True)
class HistoryReset(ClientEvent):
    """The server has a new epoch: it was restored from a back-up, and may have lost the messages since that back-up.

    The client discards its knowledge of completeness and asks again; the stored messages stay.
    """

    epoch: str


@dataclass(frozen=True, slots=True)
class StoreReplaced(ClientEvent):
    """The local database was corrupt and has been moved to `path`; it may contain unsent messages.

    A new database is filled from the server.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class HandlerFailed(ClientEvent):
    """A handler of the program raised `error`. The error is logged too, and later messages and events are delivered.

    `argument` is the list of messages or the event that the handler was called with. If a handler of this event raises,
    the error is logged only.
    """

    handler: Callable[..., object]
    argument: list[Message] | ClientEvent
    error: BaseException


@dataclass(frozen=True, slots=True)
class GroupChanged(ClientEvent):
    """A group changed: a member joined, the group was renamed … Its conversation holds the same as a message."""

    group_id: str
    tip: GroupTipElem
    message: Message


@dataclass(frozen=True, slots=True)
class GroupNoticeReceived(ClientEvent):
    """A notice to this user about a group: applied, invited, kicked, dissolved … It is also a system message."""

    group_id: str
    notice: GroupNoticeElem
    message: Message


@dataclass(frozen=True, slots=True)
class RelationChanged(ClientEvent):
    """Friends, applications, friend groups or the blacklist changed, on any device. It is also a system message."""

    change: RelationElem
    message: Message


@dataclass(frozen=True, slots=True)
class ProfileChanged(ClientEvent):
    """The profile of a friend changed, or this user's own on another device. It is also a system message.

    `fields` has the new values by Tencent's tags.
    """

    user_id: str
    version: int
    fields: Mapping[str, str]
    message: Message


@dataclass(frozen=True, slots=True)
class MessageRecalled(ClientEvent):
    """`operator` recalled a message that is stored locally; `message` is its state now, without content."""

    message: Message
    operator: str


@dataclass(frozen=True, slots=True)
class MessageEdited(ClientEvent):
    """`operator` edited a message that is stored locally; `message` has the new content."""

    message: Message
    operator: str


@dataclass(frozen=True, slots=True)
class ReactionsChanged(ClientEvent):
    """`user` reacted to a message that is stored locally, or removed a reaction (`removed`); see `message.reactions`."""

    message: Message
    user: str
    reaction: str
    removed: bool


@dataclass(frozen=True, slots=True)
class ReadReceipt(ClientEvent):
    """Messages of this account were read.

    In C2C, `user` has read all messages up to `seq`. In a group, `readers` members have read the message `seq`, which was
    sent with `request_receipt=True`, and `others` members have not.
    """

    conversation: ConversationKey
    seq: int
    user: str = ""
    readers: int = 1
    others: int = 0


@dataclass(frozen=True, slots=True)
class ConversationChanged(ClientEvent):
    """Another device of this account pinned or muted a conversation, or wrote a draft. The fields are the values now."""

    conversation: ConversationKey
    pinned: bool
    muted: bool
    draft: str


def is_group_tip(message: Message) -> bool:
    """Return whether the message is a tip of a group; tips do not count as unread."""
    in_group = message.conversation is not None and message.conversation.type is ConversationType.GROUP
    return in_group and is_from_server(message)


def is_from_server(message: Message) -> bool:
    """Return whether the server itself wrote the message; only such messages are reported as events."""
    return message.msg_id == SERVER_MSG_ID


def events_from_message(message: Message) -> Iterator[ClientEvent]:
    """Yield the events that a new message of the server stands for."""
    for elem in message.elems:
        match elem:
            case GroupTipElem():
                yield GroupChanged(message.conversation.peer if message.conversation else "", elem, message)
            case GroupNoticeElem():
                yield GroupNoticeReceived(elem.group_id, elem, message)
            case RelationElem(type=RelationType.PROFILE) if elem.users:
                yield ProfileChanged(elem.users[0], elem.profile_version, elem.profile, message)
            case RelationElem():
                yield RelationChanged(elem, message)
            case _:
                pass
