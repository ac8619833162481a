"""A message: a list of elems and what is known of its sending. One sound and one file at most; frozen once sent."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from .elems import AnyElem, Elem, FileElem, SoundElem, TextElem
from .errors import AlreadySent, ElemLimitError, InvalidArgument
from .ids import ConversationKey


class MessageStatus(enum.IntEnum):
    """TIM's numbers. DELETED is returned by the queries, and the screen hides it (source: 消息状态)."""

    SENDING = 1
    SUCCEEDED = 2
    FAILED = 3
    DELETED = 4


class Priority(enum.StrEnum):
    """How important a group message is when the group is too busy: likes are LOW, red packets HIGH."""

    HIGH = "High"
    NORMAL = "Normal"
    LOW = "Low"
    LOWEST = "Lowest"


@dataclass(frozen=True, slots=True)
class OfflinePush:
    """Overrides what an offline push shows; `disable` sends none."""

    title: str = ""
    desc: str = ""
    ext: str = ""
    disable: bool = False


@dataclass(frozen=True, slots=True)
class SenderProfile:
    """The sender's profile when the message was sent, written by the server (source: 消息发送者以及相关资料)."""

    identifier: str
    nickname: str = ""
    face_url: str = ""
    custom: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SenderMember:
    """The sender's card in the group when the message was sent, written by the server."""

    member: str
    name_card: str = ""
    role: str = ""
    custom: dict[str, str] = field(default_factory=dict)


class MessageActions(Protocol):
    """What a message can have done to itself; the client binds one to the messages it makes."""

    async def set_custom_int(self, message: Message, value: int) -> None: ...

    async def set_custom_data(self, message: Message, value: bytes) -> None: ...

    async def remove(self, message: Message) -> bool: ...

    async def delete_from_storage(self, message: Message) -> bool: ...


class ElemSource(Protocol):
    """Elems of a stored or received message, decoded when they are first looked at."""

    def __call__(self) -> tuple[AnyElem, ...]: ...


class Message(Sequence[AnyElem]):
    """A list of elems, in order (sound and file may move, source: Elem 顺序), with the facts of its sending.

    `Message("text", ImageElem(path="cat.jpg"))`; strings become TextElem. Raises ElemLimitError (code 1) for a second
    sound or file, and leaves the message as it was. Once given to `send()` it is frozen, and is that message for ever.

    `status` is a MessageStatus; `msg_id` is fixed when it is created for sending, `unique_id` and `seq` (both 0 before)
    once the server has numbered it; `timestamp` is in server seconds, exact after the ack.
    """

    __slots__ = (
        "_actions",
        "_elem_source",
        "_elems",
        "cloud_custom_data",
        "conversation",
        "custom_data",
        "custom_int",
        "is_read",
        "is_self",
        "local_id",
        "msg_id",
        "priority",
        "sender",
        "sender_member",
        "sender_profile",
        "seq",
        "status",
        "timestamp",
        "unique_id",
    )

    conversation: ConversationKey | None
    status: MessageStatus | None
    msg_id: str
    unique_id: int
    seq: int
    timestamp: int
    sender: str
    sender_profile: SenderProfile | None
    sender_member: SenderMember | None
    is_self: bool
    is_read: bool
    priority: Priority
    custom_int: int
    custom_data: bytes
    cloud_custom_data: str
    local_id: int

    def __init__(self, *parts: str | AnyElem, cloud_custom_data: str = "") -> None:
        self._actions: MessageActions | None = None
        self._elem_source: ElemSource | None = None
        self._elems: tuple[AnyElem, ...] | None = ()
        self.conversation = None
        self.status = None
        self.msg_id = ""
        self.unique_id = 0
        self.seq = 0
        self.timestamp = 0
        self.sender = ""
        self.sender_profile = None
        self.sender_member = None
        self.is_self = True
        self.is_read = True
        self.priority = Priority.NORMAL
        self.custom_int = 0
        self.custom_data = b""
        self.cloud_custom_data = cloud_custom_data
        self.local_id = 0  # the row in this device's store; 0 before it has one
        for part in parts:
            self.add(part)

    def add(self, part: str | AnyElem) -> Self:
        """Append an elem; returns the message. Raises ElemLimitError (1), AlreadySent, InvalidArgument; atomic."""
        if self.status is not None:
            raise AlreadySent("the message was sent: its elems can no longer change; make a new Message")
        elem = TextElem(text=part) if isinstance(part, str) else part
        if not isinstance(elem, Elem):
            raise InvalidArgument(f"a message holds elems and strings, not {type(part).__name__}")
        for kind, word in ((SoundElem, "sound"), (FileElem, "file")):
            if type(elem) is kind and any(type(other) is kind for other in self.elems):
                raise ElemLimitError(f"a message holds at most one {word}")
        self._elems = (*self.elems, elem)
        return self

    @property
    def elems(self) -> tuple[AnyElem, ...]:
        """All elems, in order."""
        if self._elems is None:
            assert self._elem_source is not None
            self._elems = self._elem_source()
        return self._elems

    @property
    def text(self) -> str:
        """The text of all its text elems, joined without a separator."""
        return "".join(elem.text for elem in self.elems if isinstance(elem, TextElem))

    @property
    def push_text(self) -> str:
        """What an offline push shows: the text of every elem, in order, without a separator (F33)."""
        return "".join(elem.push_text for elem in self.elems)

    def __len__(self) -> int:
        return len(self.elems)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # the overloads of Sequence say it
        return self.elems[index]

    def __iter__(self) -> Iterator[AnyElem]:
        return iter(self.elems)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        where = f" in {self.conversation}" if self.conversation else ""
        state = self.status.name.lower() if self.status else "not sent"
        number = f" seq {self.seq}" if self.seq else ""
        return f"<Message {self.msg_id or 'new'} {state}{number} from {self.sender or 'me'}{where}, {len(self)} elems>"

    async def set_custom_int(self, value: int) -> None:
        """Set this device's own number on the message, kept in its store and never sent. 64 bits, signed."""
        await self._bound().set_custom_int(self, value)

    async def set_custom_data(self, value: bytes) -> None:
        """Set this device's own bytes on the message, kept in its store and never sent."""
        await self._bound().set_custom_data(self, value)

    async def remove(self) -> bool:
        """Mark it deleted (status 4) on this device; the row stays and the mark survives a refetch. True if it did."""
        return await self._bound().remove(self)

    async def delete_from_storage(self) -> bool:
        """Delete its row on this device; a roaming query may bring it back (source: 消息删除). True if it was there."""
        return await self._bound().delete_from_storage(self)

    def _bound(self) -> MessageActions:
        if self._actions is None:
            raise InvalidArgument("this message does not belong to a client yet: send it first")
        return self._actions
