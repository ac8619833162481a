"""Identifiers of users, groups, conversations and messages. Pure: no clock and no randomness.

A `msg_id` is `{client_time}-{random}`, made by the sender, at most 21 characters; with the sender and the conversation
it identifies one message for ever. A `unique_id` is `seq · 2³² + random`, known once the server has numbered the message.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from .errors import InvalidArgument, InvalidConversation

__all__ = [
    "SERVER_MSG_ID",
    "SYSTEM_PEER",
    "ConversationKey",
    "ConversationType",
    "MsgId",
    "checked_group_id",
    "checked_user_id",
    "conversation_key",
    "parse_msg_id",
    "random_of",
    "unique_id",
]

USER_ID_LIMIT_BYTES = 32
GROUP_ID_LIMIT_BYTES = 48
SYSTEM_PEER = "@TIM#SYSTEM"
SERVER_MSG_ID = "0-0"  # of the server's own entries: a sender's random number is never 0
_MSG_ID = re.compile(r"(\d{1,10})-(\d{1,10})\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class ConversationType(enum.IntEnum):
    """The kinds of conversation, by Tencent's numbers."""

    C2C = 1
    GROUP = 2
    SYSTEM = 3


class ConversationKey(NamedTuple):
    """A conversation's identity: its type and its peer, so that C2C `x` is not group `x`."""

    type: ConversationType
    peer: str

    def __str__(self) -> str:
        return f"{self.type.name.lower()}:{self.peer}"


SYSTEM_CONVERSATION = ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)


def conversation_key(type: ConversationType, peer: str) -> ConversationKey:
    """Return a checked key. Raises InvalidArgument if the peer is empty, too long or not printable."""
    match type:
        case ConversationType.C2C:
            return ConversationKey(type, checked_user_id(peer))
        case ConversationType.GROUP:
            return ConversationKey(type, checked_group_id(peer))
        case ConversationType.SYSTEM:
            if peer not in ("", SYSTEM_PEER):
                raise InvalidConversation(f"the system conversation has no peer, not {peer!r}")
            return SYSTEM_CONVERSATION


def checked_user_id(user_id: str) -> str:
    """Return `user_id`, or raise InvalidArgument unless it is 1 to 32 bytes of UTF-8 without control characters."""
    return _checked("user id", user_id, USER_ID_LIMIT_BYTES)


def checked_group_id(group_id: str) -> str:
    """Return `group_id`, or raise InvalidArgument unless it is 1 to 48 bytes of UTF-8 without control characters."""
    return _checked("group id", group_id, GROUP_ID_LIMIT_BYTES)


def _checked(field: str, value: str, limit: int) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{field} must be a string, not {type(value).__name__}")
    if not value or value != value.strip():
        raise InvalidArgument(f"{field} must not be empty or begin or end with a space: {value!r}")
    if _CONTROL.search(value):
        raise InvalidArgument(f"{field} must not hold control characters or surrogates: {value!r}")
    if (size := len(value.encode())) > limit:
        raise InvalidArgument(f"{field} is {size} bytes long, the limit is {limit}: {value!r}")
    return value


class MsgId(NamedTuple):
    """The two parts of a msg_id: the sender's clock in seconds, and a 32-bit random number that is never 0."""

    client_time: int
    random: int

    def __str__(self) -> str:
        return f"{self.client_time}-{self.random}"


def parse_msg_id(text: str) -> MsgId:
    """Split a msg_id into its parts. Raises InvalidArgument if the text is no msg_id."""
    match = _MSG_ID.match(text)
    if match is None:
        raise InvalidArgument(f"not a msg_id: {text!r}")
    parts = MsgId(int(match[1]), int(match[2]))
    if max(parts) >= 1 << 32:
        raise InvalidArgument(f"not a msg_id: {text!r}")
    return parts


def random_of(msg_id: str) -> int:
    """Return the random part of a valid msg_id."""
    return int(msg_id.rpartition("-")[2])


def unique_id(seq: int, random: int) -> int:
    """Return the number that identifies a message within its conversation: `seq · 2³² + random`, 64 bits."""
    return seq << 32 | random
