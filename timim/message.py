"""A message: a list of elems, at most one sound and one file of them, and the facts of its sending."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, Self, overload

from .elems import AnyElem, Elem, FileElem, SoundElem, TextElem
from .errors import AlreadySent, ElemLimitError, InvalidArgument
from .ids import ConversationKey, random_of, unique_id
from .message_types import (
    ALL,
    MessageState,
    MessageStatus,
    OfflinePush,
    Priority,
    Reader,
    SenderMember,
    SenderProfile,
)
from .replies import QuotedMessage, parse_quote

__all__ = [
    "ALL",
    "ElemDecoder",
    "Message",
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


NO_STATE = MessageState()


class MessageVerbs(Protocol):
    """The actions that a client offers on its messages. Each raises the errors of the same method of Message."""

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
    """A function that makes the elems of a stored or received body, when they are first read."""

    def __call__(self, body: bytes, /) -> tuple[AnyElem, ...]: ...


class Message(Sequence[AnyElem]):
    """A list of elems, in order (a sound or file may move), with the facts of its sending.

    `Message("text", ImageElem(path="cat.jpg"))`; strings become TextElem. `msg_id` is set when the message is given to
    `send()`, `unique_id` and `seq` (0 before) when the server has numbered it. `timestamp` is in server seconds, and
    exact once the server has answered.

    Raises:
        ElemLimitError: a second sound or file is added (1); the message stays as it was.
        StorageError: the local store failed. Every coroutine may raise this.
        NetworkError: the server did not answer. The coroutines that ask the server may raise this and the next.
        NotLoggedIn: the client is not logged in.
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

    def __init__(self, *parts: str | AnyElem, cloud_custom_data: str = "") -> None:
        self._owner: MessageOwner | None = None  # None until a client sends, stores or receives the message
        self._elems: tuple[AnyElem, ...] | None = ()
        self._body = b""  # what its elems are made of, while `_elems` is None
        self._decode: ElemDecoder | None = None
        self.conversation: ConversationKey | None = None
        self.status: MessageStatus | None = None
        self.msg_id: str = ""
        self.seq: int = 0
        self.timestamp: int = 0
        self.sender: str = ""
        self.sender_profile: SenderProfile | None = None
        self.sender_member: SenderMember | None = None
        self.is_self: bool = True
        self.is_read: bool = True
        self.priority: Priority = Priority.NORMAL
        self.custom_int: int = 0
        self.custom_data: bytes = b""
        self.cloud_custom_data: str = cloud_custom_data
        self.local_id: int = 0  # the row in this device's store; 0 before it has one
        self._state = NO_STATE
        self.mentions: tuple[str, ...] = ()  # user ids, and ALL
        self.read_by_peer: bool = False
        self.receipt_requested: bool = False  # its sender wants to know who read it
        self.read_receipt_count: int = 0  # how many have read it; only its sender is told
        self.unread_receipt_count: int = 0  # and how many have not
        for part in parts:
            self.add(part)

    def add(self, part: str | AnyElem) -> Self:
        """Append an elem and return the message. Raises ElemLimitError (1), AlreadySent or InvalidArgument."""
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
        """The message's number in its conversation, `seq · 2³² + random`; 0 before the server has numbered it."""
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
        """The text of an offline push: the text of every elem, in order, without a separator."""
        return "".join(elem.push_text for elem in self.elems)

    @property
    def recalled(self) -> bool:
        """Whether the message was recalled: its content is gone then."""
        return self._state.recall_seq > 0

    @property
    def recaller(self) -> str:
        """The user who recalled the message, "" if nobody did."""
        return self._state.recaller

    @property
    def recalled_at(self) -> int:
        """The time of the recall in server seconds."""
        return self._state.recalled_at

    @property
    def version(self) -> int:
        """The number of edits."""
        return self._state.version

    @property
    def edited_at(self) -> int:
        """The time of the last edit in server seconds, 0 if there was none."""
        return self._state.edited_at

    @property
    def reactions(self) -> Mapping[str, tuple[str, ...]]:
        """The users of each reaction, in the order in which they reacted."""
        return MappingProxyType(self._state.reactions)

    @property
    def reply_to(self) -> QuotedMessage | None:
        """The message that this one quotes, None if it quotes none."""
        return parse_quote(self.cloud_custom_data)

    def __len__(self) -> int:
        return len(self.elems)

    @overload
    def __getitem__(self, index: int) -> AnyElem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[AnyElem, ...]: ...
    def __getitem__(self, index: int | slice) -> AnyElem | tuple[AnyElem, ...]:
        return self.elems[index]

    def __iter__(self) -> Iterator[AnyElem]:
        return iter(self.elems)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __repr__(self) -> str:
        where = f" in {self.conversation}" if self.conversation else ""
        state = self.status.name.lower() if self.status else "not sent"
        number = f" seq {self.seq}" if self.seq else ""
        return f"<Message {self.msg_id or 'new'} {state}{number} from {self.sender or 'me'}{where}, {len(self)} elems>"

    async def set_custom_int(self, value: int) -> None:
        """Store a signed 64-bit number with the message on this device only. Raises InvalidArgument if it is not held here."""
        await self._bound().set_custom_int(self, value)

    async def set_custom_data(self, value: bytes) -> None:
        """Store bytes with the message on this device; they are never sent. Raises InvalidArgument as `set_custom_int`."""
        await self._bound().set_custom_data(self, value)

    async def remove(self) -> bool:
        """Mark the message as deleted on this device (status 4). The mark stays when the message is fetched again.

        Return False if it was marked already. Raises InvalidArgument if the message does not belong to a client.
        """
        return await self._bound().remove(self)

    async def delete_from_storage(self) -> bool:
        """Delete the message from the local store (a later query may fetch it again); False if absent. Raises as `remove`."""
        return await self._bound().delete_from_storage(self)

    async def recall(self) -> None:
        """Recall the message: its content is removed everywhere. Recalling it again changes nothing.

        The sender may recall within 2 minutes (the server's `recall_window_s`), a group's owner and admins at any time.
        Cancelling ends the waiting only.

        Raises:
            RecallTooLate: the time is over (20016, 10031).
            NoPermission: the message is another's (10007).
            UnknownMessage: the server has no such message (10030).
            InvalidArgument: the message has no number yet, or the server wrote it.
        """
        await self._bound().recall(self)

    async def edit(self, *parts: str | AnyElem, cloud_custom_data: str | None = None) -> None:
        """Replace the content of a message that this account sent.

        Raises:
            NoPermission: the message is another's (10007).
            AlreadyRecalled: the message was recalled (20023).
            UnknownMessage: the server has no such message (10030).
            MediaError: content could not be read or uploaded.
            InvalidArgument: there are no parts or too long ones, or the message has no number yet.
        """
        kept = self.cloud_custom_data if cloud_custom_data is None else cloud_custom_data
        await self._bound().edit(self, Message(*parts, cloud_custom_data=kept))

    async def react(self, reaction: str) -> None:
        """Add this account's reaction, an emoji or a word of up to 64 bytes. Adding it again changes nothing.

        Raises:
            LimitReached: the message has 10 different reactions, or this one 100 users (10014).
            AlreadyRecalled: the message was recalled (20023).
            UnknownMessage: the server has no such message (10030).
            InvalidArgument: the reaction is empty or too long, or the message has no number yet.
        """
        await self._bound().react(self, reaction, remove=False)

    async def unreact(self, reaction: str) -> None:
        """Remove this account's reaction. Raises the errors of `react`."""
        await self._bound().react(self, reaction, remove=True)

    def readers(self) -> AsyncIterator[Reader]:
        """Fetch, page by page, the readers of a group message that this account sent with `request_receipt=True`.

        Raises:
            NoPermission: the message is another's, or was sent without that (10007).
            InvalidConversation: the message is of a C2C conversation; see `read_by_peer`.
        """
        return self._bound().readers(self)

    def not_readers(self) -> AsyncIterator[str]:
        """Fetch, page by page, the members who have not read the message. Raises the errors of `readers`."""
        return self._bound().not_readers(self)

    def check(self) -> None:
        """Raise InvalidArgument (6017) if `cloud_custom_data` is not valid Unicode text."""
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
