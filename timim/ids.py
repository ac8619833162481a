"""Names of things: who talks, where, and what tells two messages apart. Pure; no clock, no randomness of its own.

A `msg_id` is `{client_time}-{random}`, made by the sender, at most 21 characters; with the sender and the conversation
it names one message for ever. A `unique_id` is `seq · 2³² + random`, known once the server numbered the message.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from .errors import InvalidArgument, InvalidConversation

USER_ID_LIMIT_BYTES = 32
GROUP_ID_LIMIT_BYTES = 48
SYSTEM_PEER = "@TIM#SYSTEM"
SERVER_MSG_ID = "0-0"  # of the server's own entries: a sender's random number is never 0
_MSG_ID = re.compile(r"(\d{1,10})-(\d{1,10})\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class ConversationType(enum.IntEnum):
    """The kinds of conversation, by TIM's numbers."""

    C2C = 1
    GROUP = 2
    SYSTEM = 3


class ConversationKey(NamedTuple):
    """What tells conversations apart: C2C `x` is not group `x`."""

    type: ConversationType
    peer: str

    def __str__(self) -> str:
        return f"{self.type.name.lower()}:{self.peer}"


SYSTEM_CONVERSATION = ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)


def conversation_key(type: ConversationType, peer: str) -> ConversationKey:
    """A checked key. Raises InvalidArgument for an empty, overlong or unprintable peer."""
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
    """`user_id` if it can be one: 1 to 32 bytes of UTF-8 without control characters. Raises InvalidArgument."""
    return _checked("user id", user_id, USER_ID_LIMIT_BYTES)


def checked_group_id(group_id: str) -> str:
    """`group_id` if it can be one: 1 to 48 bytes of UTF-8 without control characters. Raises InvalidArgument."""
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
    """A msg_id in its two parts: the sender's clock in seconds, and a 32-bit random number that is never 0."""

    client_time: int
    random: int

    def __str__(self) -> str:
        return f"{self.client_time}-{self.random}"


def parse_msg_id(text: str) -> MsgId:
    """The parts of a msg_id. Raises InvalidArgument when it is not one."""
    match = _MSG_ID.match(text)
    if match is None:
        raise InvalidArgument(f"not a msg_id: {text!r}")
    parts = MsgId(int(match[1]), int(match[2]))
    if max(parts) >= 1 << 32:
        raise InvalidArgument(f"not a msg_id: {text!r}")
    return parts


def random_of(msg_id: str) -> int:
    """The random part of a msg_id that is known to be one."""
    return int(msg_id.rpartition("-")[2])


def unique_id(seq: int, random: int) -> int:
    """The uint64 that is one message's within its conversation: `seq · 2³² + random`."""
    return seq << 32 | random
