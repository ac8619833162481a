"""Values of messages: fields, status, priority, offline push, sender and readers; and their interface to the client."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import msgspec

from .elem_base import Elem, Progress
from .errors import InvalidArgument
from .ids import ConversationKey, random_of, unique_id
from .util.arguments import Text, checked
from .util.msg_ids import MSG_IDS

if TYPE_CHECKING:  # the one import that goes up: a message has a conversation, whose methods return messages
    from timim import Conversation

__all__ = [
    "ALL",
    "NO_STATE",
    "ConversationSource",
    "MessageFields",
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


class ConversationSource(Protocol):
    """The conversations of a client."""

    def of_key(self, key: ConversationKey) -> Conversation:
        """Return the conversation with this key."""


class MessageOwner(Protocol[M]):
    """The interface through which a message uses its client."""

    @property
    def conversations(self) -> ConversationSource:
        """The conversations of this client."""

    @property
    def message_verbs(self) -> MessageVerbs[M]:
        """The actions on messages of this client."""

    def bind_elems(self, elems: Sequence[Elem]) -> None:
        """Set this client as the source of the elems' content."""


NO_STATE = MessageState()
UNBOUND = "this message does not belong to a client: send it first, or use the object that the client returned, not a copy"


class MessageFields:
    """Fields of a message besides its elems. The client sets them when it sends, stores or receives the message."""

    # fmt: off
    __slots__ = (
        "_owner", "_state", "cloud_custom_data", "custom_data", "custom_int", "excluded_from_last_message",
        "excluded_from_unread", "is_read", "is_self", "key", "local_id", "mentions", "msg_id", "priority", "read_by_peer",
        "read_receipt_count", "receipt_requested", "sender", "sender_member", "sender_profile", "seq", "status", "timestamp",
        "unread_receipt_count",
    )
    # fmt: on

    def __init__(self, cloud_custom_data: str) -> None:
        self._owner: MessageOwner[Any] | None = None  # None until a client sends, stores or receives the message
        self.key: ConversationKey | None = None  # of the conversation; None before the message is sent
        self.status: MessageStatus | None = None
        self.timestamp: int = int(MSG_IDS.time_s())
        self.msg_id: str = MSG_IDS.new(self.timestamp)
        self.seq: int = 0
        self.sender: str = ""
        self.sender_profile: SenderProfile | None = None
        self.sender_member: SenderMember | None = None
        self.is_self: bool = True
        self.is_read: bool = True
        self.priority: Priority = Priority.NORMAL
        self.custom_int: int = 0
        self.custom_data: bytes = b""
        self.cloud_custom_data: str = cloud_custom_data
        self.excluded_from_unread: bool = False  # not counted as unread: the sender or the server decided so
        self.excluded_from_last_message: bool = False  # never the last message of the conversation list
        self.local_id: int = 0  # the row in this device's store; 0 before it has one
        self._state = NO_STATE
        self.mentions: tuple[str, ...] = ()  # user ids, and ALL
        self.read_by_peer: bool = False
        self.receipt_requested: bool = False
        self.read_receipt_count: int = 0  # set for the sender only
        self.unread_receipt_count: int = 0

    @property
    def conversation(self) -> Conversation:
        """The conversation of the message, for example to answer: `await message.conversation.send("thanks")`.

        The same object as `client.conversation(*message.key)`. It also answers after the client was closed, and raises the
        errors of a closed client then. `key` is None for a message without a conversation, and raises nothing.

        Raises:
            InvalidArgument: The message does not belong to a client: it was not sent yet, is a copy or was unpickled, or is
                inside a merger.
        """
        if self._owner is None:
            raise InvalidArgument(UNBOUND)
        conversations: ConversationSource = self._owner.conversations
        assert self.key is not None  # a client sets the key first
        return conversations.of_key(self.key)

    @property
    def unique_id(self) -> int:
        """The number of the message in its conversation, `seq · 2³² + random`; 0 until the server has numbered it."""
        return unique_id(self.seq, random_of(self.msg_id)) if self.seq else 0

    @property
    def recalled(self) -> bool:
        """True if the message was recalled; it has no elems then."""
        return self._state.recall_seq > 0

    @property
    def recaller(self) -> str:
        """The user who recalled the message, "" if it was not recalled."""
        return self._state.recaller

    @property
    def recalled_at(self) -> int:
        """The time of the recall in server seconds, or 0 if the message was not recalled."""
        return self._state.recalled_at

    @property
    def version(self) -> int:
        """The number of edits."""
        return self._state.version

    @property
    def edited_at(self) -> int:
        """The time of the last edit in server seconds, or 0 if there was none."""
        return self._state.edited_at

    @property
    def reactions(self) -> Mapping[str, tuple[str, ...]]:
        """The users of each reaction, in the order in which they reacted."""
        return MappingProxyType(self._state.reactions)

    def update_fields(self, other: MessageFields) -> None:
        """Copy the fields that an action of a user or a receipt can change from `other`, a newer copy of this message."""
        self._state, self.cloud_custom_data = other._state, other.cloud_custom_data
        self.read_receipt_count, self.unread_receipt_count = other.read_receipt_count, other.unread_receipt_count

    def __reduce__(self) -> tuple[type[Self], tuple[()], tuple[None, dict[str, object]]]:
        slots = [name for base in type(self).__mro__ for name in getattr(base, "__slots__", ())]
        fields = {name: getattr(self, name) for name in slots}
        return type(self), (), (None, fields | {"_owner": None})  # a copy belongs to no client

    def __setstate__(self, state: tuple[None, dict[str, object]]) -> None:
        for name, value in state[1].items():
            setattr(self, name, value)
        if self.status is None:
            self.msg_id = MSG_IDS.new(self.timestamp)
