"""Identifiers of users, groups, conversations and messages. Pure: no clock and no randomness.

A `msg_id` is `{client_time}-{random}-{source}`, at most 30 characters, chosen by the sender; ids of other clients and of old
messages have no source. `timim/util/msg_ids.py` makes new ones. Sender, conversation and msg_id
identify a message permanently. A `unique_id` is `seq · 2³² + random`, known when the server has numbered the message.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
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
    "checked_user_ids",
    "conversation_key",
    "format_msg_id",
    "parse_msg_id",
    "random_of",
    "unique_id",
]

USER_ID_LIMIT_BYTES = 32
GROUP_ID_LIMIT_BYTES = 48
SYSTEM_PEER = "@TIM#SYSTEM"
SERVER_MSG_ID = "0-0"  # of entries that the server writes; the random number of a sender is never 0
_MSG_ID = re.compile(r"([0-9]{1,10})-([0-9]{1,10})(?:-([1-9a-f][0-9a-f]{0,7}))?\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class ConversationType(enum.IntEnum):
    """Type of a conversation, by Tencent's numbers."""

    C2C = 1
    GROUP = 2
    SYSTEM = 3


class ConversationKey(NamedTuple):
    """Identity of a conversation: type and peer, so that C2C `x` differs from group `x`."""

    type: ConversationType
    peer: str

    def __str__(self) -> str:
        return f"{self.type.name.lower()}:{self.peer}"


SYSTEM_CONVERSATION = ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)


def conversation_key(type: ConversationType, peer: str) -> ConversationKey:
    """Return the key of a conversation with a valid peer.

    Raises:
        InvalidArgument: The peer is empty, too long or has control characters.
        InvalidConversation: A peer is given for the system conversation.
    """
    match type:
        case ConversationType.C2C:
            return ConversationKey(type, checked_user_id(peer))
        case ConversationType.GROUP:
            return ConversationKey(type, checked_group_id(peer))
        case ConversationType.SYSTEM:
            if peer not in ("", SYSTEM_PEER):
                raise InvalidConversation(f"the peer of the system conversation must be empty, not {peer!r}")
            return SYSTEM_CONVERSATION


def checked_user_id(user_id: str) -> str:
    """Return a valid user id unchanged.

    Raises:
        InvalidArgument: `user_id` is not 1 to 32 bytes of UTF-8, has control characters, or begins or ends with a space.
    """
    return _checked("user id", user_id, USER_ID_LIMIT_BYTES)


def checked_group_id(group_id: str) -> str:
    """Return a valid group id unchanged.

    Raises:
        InvalidArgument: `group_id` is not 1 to 48 bytes of UTF-8, has control characters, or begins or ends with a space.
    """
    return _checked("group id", group_id, GROUP_ID_LIMIT_BYTES)


def checked_user_ids(user_ids: Iterable[str | Sequence[str]]) -> list[str]:
    """Return valid user ids, given one by one or in sequences, in one list.

    Raises:
        InvalidArgument: One of the ids cannot be a user id.
    """
    users: list[str] = []
    for one in user_ids:
        users += [one] if isinstance(one, str) else one
    return [checked_user_id(user) for user in dict.fromkeys(users)]


def _checked(field: str, value: str, limit: int) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(f"{field} must be a string, not {type(value).__name__}")
    if not value or value != value.strip():
        raise InvalidArgument(f"{field} must not be empty or begin or end with a space: {value!r}")
    if _CONTROL.search(value):
        raise InvalidArgument(f"{field} must not contain control characters or surrogates: {value!r}")
    if (size := len(value.encode())) > limit:
        raise InvalidArgument(f"{field} is {size} bytes long; the limit is {limit}: {value!r}")
    return value


class MsgId(NamedTuple):
    """Parts of a msg_id: seconds of the sender's clock, a number of 32 bits, and one of 31 bits for the process; 0 is none."""

    client_time: int
    random: int
    source: int = 0

    def __str__(self) -> str:
        return format_msg_id(self.client_time, self.random, self.source)

    @property
    def number(self) -> int:
        """`random` and `source` in one number of 63 bits."""
        return self.source << 32 | self.random


def format_msg_id(client_time: int, random: int, source: int) -> str:
    """Return the msg_id of these parts; see MsgId."""
    return f"{client_time}-{random}-{source:x}" if source else f"{client_time}-{random}"


def parse_msg_id(text: str) -> MsgId:
    """Split a msg_id into its parts.

    Raises:
        InvalidArgument: The text is no msg_id.
    """
    match = _MSG_ID.match(text)
    if match is None:
        raise InvalidArgument(f"not a msg_id: {text!r}")
    parts = MsgId(int(match[1]), int(match[2]), int(match[3] or "0", 16))
    if max(parts.client_time, parts.random) >= 1 << 32 or parts.source >= 1 << 31:
        raise InvalidArgument(f"not a msg_id: {text!r}")
    return parts


def random_of(msg_id: str) -> int:
    """Return the random part of a valid msg_id."""
    return int(msg_id.split("-", 2)[1])


def unique_id(seq: int, random: int) -> int:
    """Return the number that identifies a message within its conversation: `seq · 2³² + random`, 64 bits."""
    return seq << 32 | random
