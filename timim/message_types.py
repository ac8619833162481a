"""Values of messages: status, priority, offline push, sender, state and readers; and their interface to the client. Pure."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from .elem_base import Elem, Progress
from .errors import InvalidArgument
from .util.arguments import Text, checked

__all__ = [
    "ALL",
    "MessageOwner",
    "MessageState",
    "MessageStatus",
    "MessageVerbs",
    "OfflinePush",
    "Priority",
    "Reader",
    "SenderMember",
    "SenderProfile",
]

M = TypeVar("M")  # Message; its module imports this one


class MessageStatus(enum.IntEnum):
    """State of a message, by Tencent's numbers. Queries return DELETED messages too; a user interface hides them."""

    SENDING = 1
    SUCCEEDED = 2
    FAILED = 3
    DELETED = 4


class Priority(enum.StrEnum):
    """Priority of a group message when the group is busy: likes are LOW, red packets HIGH."""

    HIGH = "High"
    NORMAL = "Normal"
    LOW = "Low"
    LOWEST = "Lowest"


@checked(InvalidArgument)
@dataclass(frozen=True, slots=True)
class OfflinePush:
    """Title and text of a message's offline push; `disable=True` sends none.

    Raises:
        InvalidArgument: A text is over 12 KB or has NUL.
    """

    title: Text = ""
    desc: Text = ""
    ext: Text = ""
    disable: bool = False


class SenderProfile(msgspec.Struct, frozen=True, gc=False):
    """Profile of the sender at the time of sending, written by the server (Tencent IM SDK guide, 消息发送者以及相关资料)."""

    identifier: str
    nickname: str = ""
    face_url: str = ""
    custom: dict[str, str] = {}


class SenderMember(msgspec.Struct, frozen=True, gc=False):
    """Name card and role of the sender in the group at the time of sending, written by the server."""

    member: str
    name_card: str = ""
    role: str = ""
    custom: dict[str, str] = {}


class MessageState(msgspec.Struct, frozen=True, gc=False):
    """Result of all actions on a message: for each kind of action its last seq (0 for none) and values."""

    recall_seq: int = 0
    recaller: str = ""
    recalled_at: int = 0
    edit_seq: int = 0
    editor: str = ""
    edited_at: int = 0
    version: int = 0
    react_seq: int = 0
    reactions: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class Reader:
    """Member who read a group message, and the time in server seconds."""

    user_id: str
    timestamp: int


ALL = "__kImSDK_MesssageAtALL__"
"""Tencent's id for all members of a group, in `mention=` and `message.mentions`."""


class MessageVerbs(Protocol[M]):
    """Actions that a client offers on its messages. Each raises the errors of the Message method of the same name."""

    async def set_custom_int(self, message: M, value: int) -> None: ...
    async def set_custom_data(self, message: M, value: bytes) -> None: ...
    async def remove(self, message: M) -> bool: ...
    async def delete_from_storage(self, message: M) -> bool: ...
    async def resend(self, message: M, *, push: OfflinePush | None, progress: Progress | None) -> M: ...
    async def recall(self, message: M) -> None: ...
    async def edit(self, message: M, edited: M) -> None: ...
    async def react(self, message: M, reaction: str, *, remove: bool) -> None: ...
    def readers(self, message: M) -> AsyncIterator[Reader]: ...
    def not_readers(self, message: M) -> AsyncIterator[str]: ...


class MessageOwner(Protocol[M]):
    """The interface through which a message uses its client."""

    @property
    def message_verbs(self) -> MessageVerbs[M]:
        """The actions on messages of this client."""

    def bind_elems(self, elems: Sequence[Elem]) -> None:
        """Set this client as the source of the elems' content."""
