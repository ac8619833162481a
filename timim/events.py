"""What a client tells besides messages; every event is a class. Subscribe with `client.on(ConnectionLost, …)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .elem_base import RelationType
from .elems import GroupNoticeElem, GroupTipElem, RelationElem
from .errors import TimimError
from .ids import SERVER_MSG_ID, ConversationKey, ConversationType
from .message import Message


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The link is gone and the client is trying to get another; nothing queued is lost.

    With StoreCorrupted as its error it does not try: nothing can be kept. The next `login()` sets the store aside.
    """

    error: TimimError


@dataclass(frozen=True, slots=True)
class ConnectionRestored:
    """There is a link again, and what was missed has been fetched."""


@dataclass(frozen=True, slots=True)
class KickedOut:
    """This device's login was ended, or its signature is no longer good; log in again with a new one."""

    error: TimimError


@dataclass(frozen=True, slots=True)
class HistoryReset:
    """The server is of another epoch: it was restored from a back-up, and may have lost what came after that.

    What this device knew of completeness is dropped and asked for anew; its messages stay.
    """

    epoch: str


@dataclass(frozen=True, slots=True)
class StoreReplaced:
    """The local store was not whole. It lies at `path` now, with what was unsent; a fresh one is filled by the server."""

    path: Path


@dataclass(frozen=True, slots=True)
class HandlerFailed:
    """A handler of yours raised `error`; it is logged too, and the next message or event goes to it as ever.

    `argument`: the list of messages or the event that it was called with. A handler of this event that raises is logged only.
    """

    handler: Callable[[Any], object]
    argument: object
    error: BaseException


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """Something happened in a group: somebody joined, it was renamed … The same stands in its conversation as a message."""

    group_id: str
    tip: GroupTipElem
    message: Message


@dataclass(frozen=True, slots=True)
class GroupNoticeReceived:
    """A notice to this user about a group: applied, invited, kicked, dissolved … Also a message of the system conversation."""

    group_id: str
    notice: GroupNoticeElem
    message: Message


@dataclass(frozen=True, slots=True)
class RelationChanged:
    """Friends, applications, friend groups or the blacklist changed, on whichever device. Also a system message."""

    change: RelationElem
    message: Message


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    """A friend's profile, or this user's own from another device; `fields` by TIM's tags. Also a system message."""

    user_id: str
    version: int
    fields: Mapping[str, str]
    message: Message


@dataclass(frozen=True, slots=True)
class MessageRecalled:
    """A message that this device holds was taken back, by `operator`; `message` is what is left of it."""

    message: Message
    operator: str


@dataclass(frozen=True, slots=True)
class MessageEdited:
    """A message that this device holds has another content; `message` has it."""

    message: Message
    operator: str


@dataclass(frozen=True, slots=True)
class ReactionsChanged:
    """`user` reacted to a message that this device holds, or took the reaction back (`removed`); see `message.reactions`."""

    message: Message
    user: str
    reaction: str
    removed: bool


@dataclass(frozen=True, slots=True)
class ReadReceipt:
    """Somebody has read. In C2C: `user` has read all up to `seq`. In a group: `readers` have read the message of `seq`,
    which was sent with `request_receipt=True`, and `others` have not.
    """

    conversation: ConversationKey
    seq: int
    user: str = ""
    readers: int = 1
    others: int = 0


@dataclass(frozen=True, slots=True)
class ConversationChanged:
    """Another device of this account pinned or muted a conversation, or wrote a draft; what it is now."""

    conversation: ConversationKey
    pinned: bool
    muted: bool
    draft: str


def is_group_tip(message: Message) -> bool:
    """Whether it is a group's tip, which nobody has to read: it does not count as unread."""
    in_group = message.conversation is not None and message.conversation.type is ConversationType.GROUP
    return in_group and is_from_server(message)


def is_from_server(message: Message) -> bool:
    """Whether the server itself said it: by no message else is anything told as an event."""
    return message.msg_id == SERVER_MSG_ID


def events_from_message(message: Message) -> Iterator[object]:
    """What a new message of the server itself tells as an event."""
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
