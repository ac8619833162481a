"""A message: a list of elems and what is known of its sending. One sound and one file at most; frozen once sent."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, Self

import msgspec

from .elems import AnyElem, Elem, FileElem, SoundElem, TextElem
from .errors import AlreadySent, ElemLimitError, InvalidArgument
from .ids import ConversationKey, random_of, unique_id
from .replies import QuotedMessage, parse_quote


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


class SenderProfile(msgspec.Struct, frozen=True, gc=False):
    """The sender's profile when the message was sent, written by the server (source: 消息发送者以及相关资料)."""

    identifier: str
    nickname: str = ""
    face_url: str = ""
    custom: dict[str, str] = {}


class SenderMember(msgspec.Struct, frozen=True, gc=False):
    """The sender's card in the group when the message was sent, written by the server."""

    member: str
    name_card: str = ""
    role: str = ""
    custom: dict[str, str] = {}


class MessageState(msgspec.Struct, frozen=True, gc=False):
    """What acts have made of a message: for each kind the seq of the last one (0: none), and what it says."""

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
    """Who read a group message, and when (server seconds)."""

    user_id: str
    timestamp: int


ALL = "__kImSDK_MesssageAtALL__"
"""Everybody in the group, in `mention=` and `message.mentions`: Tencent's own word for it."""
NO_STATE = MessageState()


class MessageVerbs(Protocol):
    """The actions that a client offers on its messages."""

    async def set_custom_int(self, message: Message, value: int) -> None: ...

    async def set_custom_data(self, message: Message, value: bytes) -> None: ...

    async def remove(self, message: Message) -> bool: ...

    async def delete_from_storage(self, message: Message) -> bool: ...

    async def recall(self, message: Message) -> None: ...

    async def edit(self, message: Message, edited: Message) -> None: ...

    async def react(self, message: Message, reaction: str, *, remove: bool) -> None: ...

    def readers(self, message: Message) -> AsyncIterator[Reader]: ...

    def not_readers(self, message: Message) -> AsyncIterator[str]: ...


class MessageOwner(Protocol):
    """The client that a message belongs to, as far as the message needs to know it."""

    @property
    def message_verbs(self) -> MessageVerbs:
        """Return the actions on messages of this client."""

    def bind_elems(self, elems: Sequence[AnyElem]) -> None:
        """Let these elems fetch their content through this client."""


class ElemDecoder(Protocol):
    """Makes elems of a stored or received message's body, when they are first looked at."""

    def __call__(self, body: bytes, /) -> tuple[AnyElem, ...]: ...


class Message(Sequence[AnyElem]):
    """A list of elems, in order (sound and file may move, source: Elem 顺序), with the facts of its sending.

    `Message("text", ImageElem(path="cat.jpg"))`; strings become TextElem. Raises ElemLimitError (code 1) for a second
    sound or file, and leaves the message as it was. Once given to `send()` it is frozen, and is that message for ever.

    `status` is a MessageStatus; `msg_id` is fixed when it is created for sending, `unique_id` and `seq` (both 0 before)
    once the server has numbered it; `timestamp` is in server seconds, exact after the ack.
    """

    __slots__ = (
        "_body",
        "_decode",
        "_elems",
        "_owner",
        "_state",
        "cloud_custom_data",
        "conversation",
        "custom_data",
        "custom_int",
        "is_read",
        "is_self",
        "local_id",
        "mentions",
        "msg_id",
        "priority",
        "read_by_peer",
        "read_receipt_count",
        "receipt_requested",
        "sender",
        "sender_member",
        "sender_profile",
        "seq",
        "status",
        "timestamp",
        "unread_receipt_count",
    )

    conversation: ConversationKey | None
    status: MessageStatus | None
    msg_id: str
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
    mentions: tuple[str, ...]
    read_by_peer: bool
    receipt_requested: bool
    read_receipt_count: int
    unread_receipt_count: int

    def __init__(self, *parts: str | AnyElem, cloud_custom_data: str = "") -> None:
        self._owner: MessageOwner | None = None  # None until a client sends, stores or receives the message
        self._elems: tuple[AnyElem, ...] | None = ()
        self._body = b""  # what its elems are made of, while `_elems` is None
        self._decode: ElemDecoder | None = None
        self.conversation = None
        self.status = None
        self.msg_id = ""
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
        self._state = NO_STATE
        self.mentions = ()  # user ids, and ALL
        self.read_by_peer = False
        self.receipt_requested = False  # its sender wants to know who read it
        self.read_receipt_count = 0  # how many have read it; only its sender is told
        self.unread_receipt_count = 0  # and how many have not
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
    def unique_id(self) -> int:
        """`seq · 2³² + random`, 0 before the server has numbered it."""
        return unique_id(self.seq, random_of(self.msg_id)) if self.seq else 0

    @property
    def elems(self) -> tuple[AnyElem, ...]:
        """All elems, in order."""
        if self._elems is None:
            assert self._decode is not None
            self._elems, self._body = self._decode(self._body), b""
            if self._owner is not None:
                self._owner.bind_elems(self._elems)
        return self._elems

    @property
    def text(self) -> str:
        """The text of all its text elems, joined without a separator."""
        return "".join([elem.text for elem in self.elems if type(elem) is TextElem])

    @property
    def push_text(self) -> str:
        """What an offline push shows: the text of every elem, in order, without a separator (F33)."""
        return "".join(elem.push_text for elem in self.elems)

    @property
    def recalled(self) -> bool:
        """It was taken back: nothing of what it said is left."""
        return self._state.recall_seq > 0

    @property
    def recaller(self) -> str:
        """Who took it back, "" when nobody did."""
        return self._state.recaller

    @property
    def recalled_at(self) -> int:
        """When it was taken back, server seconds."""
        return self._state.recalled_at

    @property
    def version(self) -> int:
        """How often it was edited."""
        return self._state.version

    @property
    def edited_at(self) -> int:
        """When it was edited last, server seconds; 0: never."""
        return self._state.edited_at

    @property
    def reactions(self) -> Mapping[str, tuple[str, ...]]:
        """Reaction → who reacts so, in their order."""
        return MappingProxyType(self._state.reactions)

    @property
    def reply_to(self) -> QuotedMessage | None:
        """What it replies to, None when it is no reply."""
        return parse_quote(self.cloud_custom_data)

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

    async def recall(self) -> None:
        """Take it back: everywhere nothing of it is left but who recalled it. Recalling it again changes nothing.

        One's own within 2 minutes (the server's `recall_window_s`), a group's owner and admins any member's at any time.
        Raises RecallTooLate (20016, 10031), NoPermission (10007), UnknownMessage (10030), NetworkError, NotLoggedIn.
        Cancelling stops the waiting. Source: Tencent Chat's "recalling a message".
        """
        await self._bound().recall(self)

    async def edit(self, *parts: str | AnyElem, cloud_custom_data: str | None = None) -> None:
        """Give it another content: text and elems, as for a new message. Only its sender may.

        Raises NoPermission (10007), AlreadyRecalled (20023), UnknownMessage, MessageTooLong, MediaError, NetworkError, …
        """
        kept = self.cloud_custom_data if cloud_custom_data is None else cloud_custom_data
        await self._bound().edit(self, Message(*parts, cloud_custom_data=kept))

    async def react(self, reaction: str) -> None:
        """React with an emoji or a short word of your own (64 bytes). Doing so twice changes nothing.

        Raises LimitReached (10014: 10 different reactions a message, 100 users each), AlreadyRecalled, UnknownMessage, …
        """
        await self._bound().react(self, reaction, remove=False)

    async def unreact(self, reaction: str) -> None:
        """Take one's reaction back. Raises as `react`."""
        await self._bound().react(self, reaction, remove=True)

    def readers(self) -> AsyncIterator[Reader]:
        """Who read it, fetched by page: of one's own group message that was sent with `request_receipt=True`.

        Raises NoPermission (10007), NetworkError, NotLoggedIn.
        """
        return self._bound().readers(self)

    def not_readers(self) -> AsyncIterator[str]:
        """Who is in the group now and has not read it; raises as `readers`."""
        return self._bound().not_readers(self)

    def check(self) -> None:
        """Raises InvalidArgument (6017) when `cloud_custom_data` is no text that can be stored or sent."""
        try:
            self.cloud_custom_data.encode()
        except (AttributeError, UnicodeEncodeError) as exc:
            raise InvalidArgument(f"cloud_custom_data must be str of valid Unicode: {exc}", code=6017) from None

    def bind(self, owner: MessageOwner) -> None:
        """Attach the client that acts on this message; the client does this for every message it makes."""
        self._owner = owner
        if self._elems is not None:
            owner.bind_elems(self._elems)

    def replace_elems(self, elems: Sequence[AnyElem]) -> None:
        """Set the elems of a message that is being sent: their content was stored or uploaded."""
        self._elems = tuple(elems)

    def load_body(self, body: bytes, decode: ElemDecoder) -> None:
        """Set the body that the message was stored or received with; `elems` decodes it when first used."""
        self._elems, self._body, self._decode = None, body, decode

    def update_from(self, other: Message) -> None:
        """Take the content and the state of `other`, a newer copy of the same message."""
        self._state, self.cloud_custom_data = other._state, other.cloud_custom_data
        self._elems, self._body, self._decode = other._elems, other._body, other._decode
        self.read_receipt_count, self.unread_receipt_count = other.read_receipt_count, other.unread_receipt_count

    def _bound(self) -> MessageVerbs:
        if self._owner is None:
            raise InvalidArgument("this message does not belong to a client yet: send it first")
        return self._owner.message_verbs
