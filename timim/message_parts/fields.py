"""Values of messages: fields, status, priority, offline push, sender, readers, quotes; and their interface to the client."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import msgspec

from ..elem_base import Elem, Progress
from ..errors import AlreadySent, InvalidArgument
from ..ids import ConversationKey, random_of, unique_id
from ..util.displayed import Displayed
from ..util.read_only import refusing
from .extensions import ExtensionVerbs, MessageExtensions
from .offline_push import OfflinePush

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
    "MessageTarget",
    "MessageVerbs",
    "OfflinePush",
    "Priority",
    "Reader",
    "SenderMember",
    "SenderProfile",
    "check_forwardable",
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
class Reader(Displayed):
    """Member who read a group message, and the time in server seconds."""

    user_id: str
    timestamp: int


ALL = "__kImSDK_MesssageAtALL__"
"""Tencent's id for all members of a group, in `mention=` and `message.mentions`."""


class MessageVerbs(Protocol[M]):
    """Actions that a client offers on its messages. Each raises the errors of the Message method of the same name."""

    async def set_custom_int(self, message: M, value: int) -> None: ...
    async def set_custom_data(self, message: M, value: bytes) -> None: ...
    async def remove(self, message: M, *, everywhere: bool) -> bool: ...
    async def delete_from_storage(self, message: M) -> bool: ...
    async def reply(self, message: M, answer: M) -> M: ...
    async def resend(self, message: M, *, push: OfflinePush | None, progress: Progress | None) -> M: ...
    async def recall(self, message: M) -> None: ...
    async def edit(self, message: M, edited: M) -> None: ...
    async def react(self, message: M, reaction: str, *, remove: bool) -> None: ...
    def extensions(self, message: M) -> ExtensionVerbs: ...
    def readers(self, message: M) -> AsyncIterator[Reader]: ...
    def not_readers(self, message: M) -> AsyncIterator[str]: ...


class ConversationSource(Protocol):
    """The conversations of a client."""

    def of_key(self, key: ConversationKey) -> Conversation:
        """Return the conversation with this key."""


@runtime_checkable
class MessageTarget(Protocol[M]):
    """A Conversation, to which a message can be forwarded."""

    async def send(self, message: M, /) -> M: ...


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


@refusing(
    "the client and the server set it",
    key="send a new Message to another conversation",
    status="use await message.remove() or message.resend()",
    is_read="use await message.conversation.mark_read(message)",
    priority="pass priority= to conversation.send()",
    custom_int="use await message.set_custom_int(…)",
    custom_data="use await message.set_custom_data(…)",
    mentions="pass mention= to conversation.send()",
    receipt_requested="pass request_receipt=True to conversation.send()",
    extensible="call message.allow_extensions() before sending",
)
class MessageFields(Displayed):
    """Fields of a message besides its elems. The client sets them when it sends, stores or receives the message."""

    # fmt: off
    __slots__ = (
        "_attempt",
        "_cloud_custom_data",
        "_custom_data",
        "_custom_int",
        "_excluded_from_last_message",
        "_excluded_from_unread",
        "_extensible",
        "_is_read",
        "_is_self",
        "_key",
        "_local_id",
        "_mentions",
        "_msg_id",
        "_owner",
        "_priority",
        "_read_by_peer",
        "_read_receipt_count",
        "_receipt_requested",
        "_redelivered",
        "_replayed",
        "_scheduled_at",
        "_sender",
        "_sender_member",
        "_sender_profile",
        "_seq",
        "_state",
        "_status",
        "_timestamp",
        "_unread_receipt_count",
    )
    # fmt: on

    def __init__(self, cloud_custom_data: str) -> None:
        self._owner: MessageOwner[Any] | None = None  # None until a client sends, stores or receives the message
        self._state = NO_STATE
        self._cloud_custom_data: str = cloud_custom_data
        self._timestamp: int = 0
        self._msg_id: str = ""
        self._key: ConversationKey | None = None
        self._status: MessageStatus | None = None
        self._seq: int = 0
        self._sender: str = ""
        self._sender_profile: SenderProfile | None = None
        self._sender_member: SenderMember | None = None
        self._is_self: bool = True
        self._is_read: bool = True
        self._priority: Priority = Priority.NORMAL
        self._custom_int: int = 0
        self._custom_data: bytes = b""
        self._excluded_from_unread: bool = False
        self._excluded_from_last_message: bool = False
        self._local_id: int = 0
        self._mentions: tuple[str, ...] = ()
        self._receipt_requested: bool = False
        self._extensible: bool = False
        self._read_by_peer: bool = False
        self._read_receipt_count: int = 0
        self._unread_receipt_count: int = 0
        self._attempt: int = 1
        self._redelivered: bool = False
        self._replayed: bool = False
        self._scheduled_at: float = 0.0

    @property
    def key(self) -> ConversationKey | None:
        """The type and the peer of the conversation; None before the message is sent."""
        return self._key

    @property
    def status(self) -> MessageStatus | None:
        """SENDING, SUCCEEDED, FAILED or DELETED; None before the message is sent."""
        return self._status

    @property
    def timestamp(self) -> int:
        """The time in server seconds: as known on this device, and exact after the server's ack."""
        return self._timestamp

    @property
    def msg_id(self) -> str:
        """The id that the sender gave the message, at most 30 characters, unique for ever."""
        return self._msg_id

    @property
    def seq(self) -> int:
        """The number of the message in its conversation; 0 before the server has numbered it."""
        return self._seq

    @property
    def sender(self) -> str:
        """The user who sent the message."""
        return self._sender

    @property
    def sender_profile(self) -> SenderProfile | None:
        """The sender's profile at the time of sending, or None if it is not known."""
        return self._sender_profile

    @property
    def sender_member(self) -> SenderMember | None:
        """The sender's name card and role in the group at the time of sending; None in C2C."""
        return self._sender_member

    @property
    def is_self(self) -> bool:
        """True if this account sent the message, from any device."""
        return self._is_self

    @property
    def is_read(self) -> bool:
        """True if this account has read the message, on any device, or has sent it."""
        return self._is_read

    @property
    def priority(self) -> Priority:
        """The priority in a group."""
        return self._priority

    @property
    def custom_int(self) -> int:
        """The number that this device stores with the message."""
        return self._custom_int

    @property
    def custom_data(self) -> bytes:
        """The bytes that this device stores with the message."""
        return self._custom_data

    @property
    def excluded_from_unread(self) -> bool:
        """True if the sender or the server decided that the message does not count as unread."""
        return self._excluded_from_unread

    @property
    def excluded_from_last_message(self) -> bool:
        """True if the message is never the last message of its conversation."""
        return self._excluded_from_last_message

    @property
    def local_id(self) -> int:
        """The number of the message in this device's store; 0 before it is stored."""
        return self._local_id

    @property
    def mentions(self) -> tuple[str, ...]:
        """The ids of the mentioned users, and ALL."""
        return self._mentions

    @property
    def receipt_requested(self) -> bool:
        """True if the sender asked for the readers of the group message."""
        return self._receipt_requested

    @property
    def extensible(self) -> bool:
        """True if the sender allowed extensions of the message."""
        return self._extensible

    def allow_extensions(self) -> None:
        """Let the users of the conversation set extensions of this message; call this before sending.

        Raises:
            AlreadySent: The message was sent before.
        """
        if self._status is not None:
            raise AlreadySent("the message was sent before, and its extensions are allowed or not; create a new Message")
        self._extensible = True

    @property
    def extensions(self) -> MessageExtensions:
        """The extensions of the message: keys with values that all users of the conversation read and set.

        Raises:
            InvalidArgument: The message does not belong to a client, or the server has not numbered it.
        """
        if self._owner is None:
            raise InvalidArgument(UNBOUND)
        return MessageExtensions(self._owner.message_verbs.extensions(self))

    @property
    def read_by_peer(self) -> bool:
        """True if this account sent the message and the peer has read the conversation up to it, or this message, in C2C."""
        return self._read_by_peer

    @property
    def read_receipt_count(self) -> int:
        """The number of users who have read the message, sent with `request_receipt=True`; set for its sender only."""
        return self._read_receipt_count

    @property
    def unread_receipt_count(self) -> int:
        """The number of members of a group who have not read the message, once one has; set for its sender only."""
        return self._unread_receipt_count

    @property
    def attempt(self) -> int:
        """The number of the attempt of `client.on_message` handlers at this message, from 1 up to `max_attempts`."""
        return self._attempt

    @property
    def redelivered(self) -> bool:
        """True if a handler may have had the message before: it raised, was cancelled, or the program ended."""
        return self._redelivered

    @property
    def scheduled_at(self) -> float:
        """The server time in seconds at which `send(at=…)` sends the message; 0 for one that was not scheduled."""
        return self._scheduled_at

    @property
    def replayed(self) -> bool:
        """True if `send()` in a repeated handler returned this message of the earlier attempt and sent nothing."""
        return self._replayed

    @property
    def cloud_custom_data(self) -> str:
        """The text for the receivers, which the server stores with the message. It can be assigned until `send()`."""
        return self._cloud_custom_data

    @cloud_custom_data.setter
    def cloud_custom_data(self, value: str) -> None:
        """Set the text for the receivers.

        Raises:
            AttributeError: The message was sent; use `await message.edit(…)`.
        """
        if self._status is not None:
            raise AttributeError("cloud_custom_data: cannot be assigned after send(); use await message.edit(…)")
        self._cloud_custom_data = value

    @property
    def unique_id(self) -> int:
        """The number of the message in its conversation, `seq · 2³² + random`; 0 until the server has numbered it."""
        return unique_id(self._seq, random_of(self._msg_id)) if self._seq else 0


def check_forwardable(message: MessageFields) -> None:
    """Check that a message has content on the server.

    Raises:
        InvalidArgument: The message was recalled, or was not sent.
    """
    if message._state.recall_seq:
        raise InvalidArgument("a recalled message has no content and cannot be forwarded")
    if message.status not in (MessageStatus.SUCCEEDED, MessageStatus.DELETED):
        raise InvalidArgument("a message cannot be forwarded before it was sent")
