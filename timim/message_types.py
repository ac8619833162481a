"""Values of messages: status, priority, offline push, sender, state and readers. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import msgspec

__all__ = [
    "ALL",
    "MessageState",
    "MessageStatus",
    "OfflinePush",
    "Priority",
    "Reader",
    "SenderMember",
    "SenderProfile",
]


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


@dataclass(frozen=True, slots=True)
class OfflinePush:
    """Title and text of a message's offline push; `disable=True` sends none."""

    title: str = ""
    desc: str = ""
    ext: str = ""
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
