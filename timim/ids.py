"""Identifiers of users, groups, conversations and messages. Pure: no clock and no randomness.

A `msg_id` is `{client_time}-{random}-{source}`, at most 30 characters, chosen by the sender; ids of other clients and of old
messages have no source. `timim/util/msg_ids.py` makes new ones. Sender, conversation and msg_id
identify a message permanently. A `unique_id` is `seq · 2³² + random`, known when the server has numbered the message.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from .errors import InvalidArgument, InvalidConversation

__all__ = [
    "SERVER_MSG_ID",
    "SYSTEM_PEER",
    "TOPIC_MARK",
    "ConversationKey",
    "ConversationSetting",
    "ConversationType",
    "GroupId",
    "MsgId",
    "MsgIdText",
    "UniqueId",
    "UserId",
    "checked_group_id",
    "checked_topic_id",
    "checked_user_id",
    "community_of",
    "conversation_key",
    "flat_ids",
    "format_msg_id",
    "parse_msg_id",
    "random_of",
    "seq_and_random",
    "unique_id",
]

USER_ID_LIMIT_BYTES = 32
GROUP_ID_LIMIT_BYTES = 48
TOPIC_MARK = "@TOPIC#_"  # between the id of a Community and the own part of the id of its topic
TOPIC_ID_LIMIT_BYTES = 2 * GROUP_ID_LIMIT_BYTES + len(TOPIC_MARK)
SYSTEM_PEER = "@TIM#SYSTEM"
SERVER_MSG_ID = "0-0"  # of entries that the server writes; the random number of a sender is never 0
_MSG_ID = re.compile(r"([0-9]{1,10})-([0-9]{1,10})(?:-([1-9a-f][0-9a-f]{0,7}))?\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class ConversationType(enum.IntEnum):
    """Type of a conversation, by Tencent's numbers."""

    C2C = 1
    GROUP = 2
    SYSTEM = 3


class ConversationSetting(enum.Enum):
    """Setting of a conversation that all devices of an account share."""

    PINNED = "pinned"
    MUTED = "muted"
    DRAFT = "draft"
    READ = "read"


class ConversationKey(NamedTuple):
    """Identity of a conversation: type and peer, so that C2C `x` differs from group `x`."""

    type: ConversationType
    peer: str

    def __str__(self) -> str:
        return f"{self.type.name.lower()}:{self.peer}"


SYSTEM_CONVERSATION = ConversationKey(ConversationType.SYSTEM, SYSTEM_PEER)


def conversation_key(type: ConversationType, peer: str, *, argument: str = "peer") -> ConversationKey:
    """Return the key of a conversation with a valid peer, which an error calls `argument`.

    Raises:
        InvalidArgument: The type is no ConversationType, or the peer is empty, too long or has control characters.
        InvalidConversation: A peer is given for the system conversation.
    """
    if type.__class__ is not ConversationType:
        raise InvalidArgument(f"type: must be a ConversationType such as ConversationType.C2C, not {type!r:.40}")
    if type is ConversationType.SYSTEM:
        if peer not in ("", SYSTEM_PEER):
            raise InvalidConversation(f"{argument}: must be empty for the system conversation, not {peer!r:.40}")
        return SYSTEM_CONVERSATION
    limit = USER_ID_LIMIT_BYTES if type is ConversationType.C2C else _group_limit(peer)
    return ConversationKey(type, _checked(argument, peer, limit))


def checked_user_id(user_id: str) -> str:
    """Return a valid user id unchanged.

    Raises:
        InvalidArgument: `user_id` is not 1 to 32 bytes of UTF-8, has control characters, or begins or ends with a space.
    """
    return _checked("user id", user_id, USER_ID_LIMIT_BYTES)


def checked_group_id(group_id: str) -> str:
    """Return a valid id of a group or a topic unchanged.

    Raises:
        InvalidArgument: `group_id` is not 1 to 48 bytes of UTF-8 (104 for a topic), has control characters, or begins or ends
            with a space.
    """
    return _checked("group id", group_id, _group_limit(group_id))


def checked_topic_id(topic_id: str) -> str:
    """Return a valid topic id unchanged.

    Raises:
        InvalidArgument: `topic_id` is not the id of a Community, `@TOPIC#_` and at most 48 bytes, or is no valid id.
    """
    community = community_of(topic_id)
    if not community or len(topic_id.encode()) - len(community.encode()) > len(TOPIC_MARK) + GROUP_ID_LIMIT_BYTES:
        rule = f"must be the id of a Community, {TOPIC_MARK} and at most {GROUP_ID_LIMIT_BYTES} bytes"
        raise InvalidArgument(f"topic id: {rule}, not {topic_id[:120]!r}")
    return _checked("topic id", topic_id, TOPIC_ID_LIMIT_BYTES)


def community_of(group_id: str) -> str:
    """Return the id of the Community of a topic, or "" for the id of a group."""
    community, mark, own = group_id.partition(TOPIC_MARK)
    return community if mark and own else ""


def _group_limit(group_id: object) -> int:
    return TOPIC_ID_LIMIT_BYTES if isinstance(group_id, str) and TOPIC_MARK in group_id else GROUP_ID_LIMIT_BYTES


def flat_ids(ids: Iterable[str | Sequence[str]]) -> list[str]:
    """Return ids, given one by one or in sequences, in one list, each once."""
    flat: list[str] = []
    for one in ids:
        flat += [one] if isinstance(one, str) else one
    return list(dict.fromkeys(flat))


def _checked(name: str, value: str, limit: int) -> str:
    try:
        return _id_within(value, limit)
    except ValueError as fault:
        raise InvalidArgument(f"{name}: {fault}") from None


def _id_within(value: str, limit: int) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {value!r:.40}")
    return _text_within(value, limit)


@lru_cache(maxsize=2048)
def _text_within(value: str, limit: int) -> str:
    if not value or value != value.strip():
        raise ValueError(f"must not be empty or begin or end with a space, but is {value[:40]!r}")
    if _CONTROL.search(value):
        raise ValueError(f"must not contain control characters or surrogates, but is {value[:40]!r}")
    if (size := len(value.encode())) > limit:
        raise ValueError(f"must be at most {limit} bytes of UTF-8, not {size}: {value[:40]!r}")
    return value


UserId = Annotated[str, AfterValidator(partial(_id_within, limit=USER_ID_LIMIT_BYTES))]
"""User id: 1 to 32 bytes of UTF-8 without control characters."""
GroupId = Annotated[str, AfterValidator(lambda value: _id_within(value, _group_limit(value)))]
"""Group id: 1 to 48 bytes of UTF-8 without control characters; the id of a topic has up to 104."""


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
    seconds, number, source = match.groups("0")
    parts = MsgId(int(seconds), int(number), int(source, 16))
    if parts[0] >> 32 or parts[1] >> 32 or parts[2] >> 31:
        raise InvalidArgument(f"not a msg_id: {text!r}")
    return parts


def random_of(msg_id: str) -> int:
    """Return the random part of a valid msg_id."""
    return int(msg_id.split("-", 2)[1])


def unique_id(seq: int, random: int) -> int:
    """Return the number that identifies a message within its conversation: `seq · 2³² + random`, 64 bits."""
    return seq << 32 | random


def seq_and_random(unique_id: int) -> tuple[int, int]:
    """Split a unique_id into its seq and the random part of its msg_id."""
    return unique_id >> 32, unique_id & 0xFFFFFFFF


def _checked_msg_id(text: str) -> str:
    try:
        parse_msg_id(text)
    except InvalidArgument:
        raise ValueError(f"must be a msg_id such as message.msg_id, not {text!r:.40}") from None
    return text


MsgIdText = Annotated[str, AfterValidator(_checked_msg_id)]
"""Text that has the form of a msg_id."""
UniqueId = Annotated[int, Field(ge=1, lt=2**64)]
"""Number that has the form of a unique_id."""
