"""Messages: lists of elems with the sender, the time, the state and the actions on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Self, overload

from .elems import AnyElem, Elem, FileElem, Progress, SoundElem, TextElem
from .errors import AlreadySent, ElemLimitError, InvalidArgument
from .message_parts.extensions import MessageExtension, MessageExtensions
from .message_parts.fields import (
    ALL,
    NO_STATE,
    UNBOUND,
    ConversationSource,
    MessageFields,
    MessageOwner,
    MessageState,
    MessageStatus,
    MessageTarget,
    MessageVerbs,
    OfflinePush,
    Priority,
    Reader,
    SenderMember,
    SenderProfile,
    check_forwardable,
)
from .message_parts.quotes import QuotedMessage, embed_quote, parse_quote
from .message_parts.text_form import message_repr
from .util.arguments import Int64, LocalData, Text, checked, text_fault
from .util.msg_ids import MSG_IDS
from .util.read_only import refusing

if TYPE_CHECKING:
    from timim import Conversation

__all__ = [
    "ALL", "NO_STATE", "ConversationSource", "ElemDecoder", "Message", "MessageExtension", "MessageExtensions", "MessageFields",
    "MessageOwner", "MessageState", "MessageStatus", "MessageVerbs", "OfflinePush", "Priority", "QuotedMessage", "Reader",
    "SenderMember", "SenderProfile", "check_forwardable", "embed_quote",
]  # fmt: skip

_AT_MOST_ONE: dict[type[Elem], str] = {SoundElem: "sound", FileElem: "file"}
ElemDecoder = Callable[[bytes], tuple[AnyElem, ...]]  # decodes the elems of a stored or received body
_ONLY_TEXT = frozenset({TextElem})  # kinds of elems that have no content to fetch


@refusing(
    "use message.add(…) before send(), and await message.edit(…) after it",
    conversation="send a new Message to another conversation",
    reactions="use await message.react(…)",
    recalled="use await message.recall()",
    reply_to="pass reply_to= to conversation.send()",
)
@checked(InvalidArgument, unless=("add", "bind", "check", "load_body", "replace_elems", "update_from"))
class Message(MessageFields, Sequence[AnyElem]):
    """List of elems, in order, with the sender, the time and the state of the message.

    `Message("text", ImageElem(path="cat.jpg"))`; strings become TextElem. `msg_id` is set at once and unique; `unique_id` and
    `seq` are 0 until the server has numbered the message. `timestamp` is in seconds of the server's clock as known here, and
    exact after the server's ack. A copy of a message that was not sent is another message, with its own msg_id.
    A sent or received message has one object in its client, which queries return again, until it is deleted from the storage.

    Args:
        parts: Strings and elems, at most one SoundElem and one FileElem.
        cloud_custom_data: Text for the receivers, stored by the server with the message.

    Raises:
        ElemLimitError: There is a second sound or a second file; send it in another message.
        InvalidArgument: A part is neither an elem nor a string.
        InvalidElem: A string is not valid Unicode.
    """

    __slots__ = ("__weakref__", "_body", "_decode", "_elems")

    def __init__(self, *parts: str | AnyElem, cloud_custom_data: str = "") -> None:
        MessageFields.__init__(self, cloud_custom_data)
        self._timestamp = int(MSG_IDS.time_s())
        self._msg_id = MSG_IDS.new(self._timestamp)
        self._elems: tuple[AnyElem, ...] | None = ()
        self._body = b""  # the encoded elems, while `_elems` is None
        self._decode: ElemDecoder | None = None
        if cloud_custom_data.__class__ is not str or cloud_custom_data:
            self.check()
        for part in parts:
            self.add(part)

    def add(self, part: str | AnyElem) -> Self:
        """Append an elem and return the message; an error leaves the message unchanged.

        Raises:
            ElemLimitError: There is a second sound or a second file; send it in another message.
            AlreadySent: The message was sent; make a new one.
            InvalidArgument: The part is neither an elem nor a string.
            InvalidElem: A string is not valid Unicode.
        """
        if self._status is not None:
            raise AlreadySent("the message was sent: its elems can no longer change; make a new Message")
        if isinstance(part, str):
            valid = part.__class__ is str and not text_fault(part)  # the checks of all elems would take twice the time
            self._elems = (*self.elems, TextElem.received(text=part) if valid else TextElem(text=part))
            return self
        if not isinstance(part, Elem):
            raise InvalidArgument(f"parts: must be strings or elems, not {part!r:.60}")
        elems, kind = self.elems, type(part)
        if kind in _AT_MOST_ONE and any(type(other) is kind for other in elems):
            raise ElemLimitError(f"a message can have at most one {_AT_MOST_ONE[kind]}")
        self._elems = (*elems, part)
        return self

    @property
    def elems(self) -> tuple[AnyElem, ...]:
        """All elems, in order."""
        if self._elems is None:
            assert self._decode is not None
            self._elems, self._body = self._decode(self._body), b""
            if self._owner is not None and not _ONLY_TEXT.issuperset(map(type, self._elems)):
                self._owner.bind_elems(self._elems)
        return self._elems

    @property
    def text(self) -> str:
        """The text of all TextElems, joined without a separator."""
        return "".join([elem.text for elem in self.elems if type(elem) is TextElem])

    @property
    def push_text(self) -> str:
        """The text of an offline push: the text of every elem, in order, without a separator."""
        return "".join(elem.push_text for elem in self.elems)

    @property
    def conversation(self) -> Conversation:
        """The conversation of the message, for example to answer: `await message.conversation.send("thanks")`.

        The same object as `client.conversation(*message.key)`. It also answers after the client was closed, and raises the
        errors of a closed client then. `key` is None for a message without a conversation, and raises nothing.

        Raises:
            InvalidArgument: The message belongs to no client: it was not sent yet, is a copy, or is inside a merger.
        """
        if self._owner is None:
            raise InvalidArgument(UNBOUND)
        conversations: ConversationSource = self._owner.conversations
        assert self._key is not None  # a client sets the key first
        return conversations.of_key(self._key)

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

    @property
    def reply_to(self) -> QuotedMessage | None:
        """The message that this one quotes, or None if it quotes none."""
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

    def __reduce__(self) -> tuple[type[Message], tuple[()], tuple[None, dict[str, object]]]:
        slots = [name for base in type(self).__mro__ for name in getattr(base, "__slots__", ()) if name[1] != "_"]
        fields = {name: getattr(self, name) for name in slots}
        return type(self), (), (None, fields | {"_owner": None})  # a copy belongs to no client

    def __setstate__(self, state: tuple[None, dict[str, object]]) -> None:
        for name, value in state[1].items():
            setattr(self, name, value)
        if self._status is None:
            self._msg_id = MSG_IDS.new(self._timestamp)

    def __repr__(self) -> str:
        return message_repr(self, self.elems, recalled=self.recalled)

    async def set_custom_int(self, value: Int64) -> None:
        """Store a signed 64-bit number with the message, on this device only.

        Raises:
            InvalidArgument: The number is out of range, or the message is not in the local store.
            NotLoggedIn: The client is not open.
            StorageError: The local store failed.
        """
        await self._bound().set_custom_int(self, value)

    async def set_custom_data(self, value: LocalData) -> None:
        """Store bytes with the message, on this device only.

        Raises:
            InvalidArgument: The message is not in the local store.
            NotLoggedIn: The client is not open.
            StorageError: The local store failed.
        """
        await self._bound().set_custom_data(self, value)

    async def remove(self, *, everywhere: bool = False) -> bool:
        """Mark the message as deleted on this device (status 4). Fetching the message again does not remove the mark.

        With `everywhere`, the server deletes it for this account on all devices; see docs/how-to/delete_messages.md. A message
        that waits to be sent is not sent, and its `send()` raises MessageWithdrawn. Cancelling does not stop the deletion.

        Returns:
            False if the message was marked already, or is not in the local store.

        Raises:
            AlreadySent: The message is on its way to the server; wait until it is sent, then recall or delete it.
            InvalidArgument: The message does not belong to a client.
            NotLoggedIn: The client is not open; with `everywhere`, not logged in.
            StorageError: The local store failed.
            TimimError: With `everywhere`, the other errors of `client.conversations.clear_history`.
        """
        return await self._bound().remove(self, everywhere=everywhere)

    async def delete_from_storage(self) -> bool:
        """Delete the message from the local store; a later query can fetch the message again.

        A message that waits to be sent, and a cancellation, are treated as by `remove`.

        Returns:
            False if the message was not in the local store.

        Raises:
            TimimError: The errors of `remove`.
        """
        return await self._bound().delete_from_storage(self)

    async def reply(self, *parts: str | AnyElem) -> Message:
        """Send an answer that quotes this message, in its conversation. An online message is answered without a quote.

        Raises:
            InvalidConversation: This message is a notice of the system conversation.
            InvalidArgument: This message does not belong to a client, or the answer is wrong.
            TimimError: The other errors of `Conversation.send`.
        """
        answer = Message(*parts)
        return await self._bound().reply(self, answer)

    async def forward(self, conversation: MessageTarget[Message]) -> Message:
        """Send the elems of this message to another conversation, without uploading their content again; return the copy.

        The copy has no quote, mentions and `cloud_custom_data`. `Conversation.forward` sends several messages as one.

        Raises:
            InvalidArgument: This message was not sent or was recalled, or is a tip or notice of the server (InvalidElem).
            TimimError: The other errors of `Conversation.send`.
        """
        check_forwardable(self)
        return await conversation.send(Message(*self.elems))

    async def resend(self, *, push: OfflinePush | None = None, progress: Progress | None = None) -> Self:
        """Send a message that failed once more, under its own msg_id, and return it when the server has stored it.

        It is sent after all messages that wait in the conversation. Content given as bytes must have been uploaded before
        the failure, because this device does not keep it. Cancelling does not stop the sending.

        Args:
            push: Title and text of the offline push; that of the first attempt is not kept.
            progress: Called with the bytes done and the bytes in all while content is uploaded.

        Raises:
            InvalidArgument: The message did not fail, or is not stored on this device.
            NotLoggedIn: The client is not open, or logs out during the call; the message stays queued.
            TimimError: The other errors of `Conversation.send`.
        """
        await self._bound().resend(self, push=push, progress=progress)
        return self

    async def recall(self) -> None:
        """Recall the message and remove its content on all devices. Recalling a recalled message changes nothing.

        The sender may recall within 2 minutes (the server's `recall_window_s`), a group's owner and admins at any time.
        Cancelling does not stop a request that was sent: the message can still be recalled.

        Raises:
            RecallTooLate: The time limit is over (20016, 10031).
            NoPermission: Another user sent the message (10007).
            UnknownMessage: The server does not have the message (10030).
            InvalidArgument: The server has not numbered the message, or is the sender of the message.
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
            StorageError: The local store failed.
        """
        await self._bound().recall(self)

    async def edit(self, *parts: str | AnyElem, cloud_custom_data: Text | None = None) -> None:
        """Replace the content of a message that this account sent. Cancelling during an upload changes nothing.

        Args:
            parts: The new content, as for Message.
            cloud_custom_data: The new text for the receivers; None keeps the present one.

        Raises:
            NoPermission: Another user sent the message (10007).
            AlreadyRecalled: The message was recalled (20023).
            UnknownMessage: The server does not have the message (10030).
            MediaError: Content cannot be read or uploaded.
            InvalidArgument: The parts are empty, wrong or too long, or the server has not numbered the message.
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
            StorageError: The local store failed.
        """
        edited = Message(*parts, cloud_custom_data=self.cloud_custom_data if cloud_custom_data is None else cloud_custom_data)
        await self._bound().edit(self, edited)

    async def react(self, reaction: Text) -> None:
        """Add a reaction of this account, an emoji or a word of up to 64 bytes. A second equal one changes nothing.

        Raises:
            LimitReached: The message has 10 different reactions, or this reaction has 100 users (10014).
            AlreadyRecalled: The message was recalled (20023).
            UnknownMessage: The server does not have the message (10030).
            InvalidArgument: The reaction is empty or too long, or the server has not numbered the message.
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
            StorageError: The local store failed.
        """
        await self._bound().react(self, reaction, remove=False)

    async def unreact(self, reaction: Text) -> None:
        """Remove a reaction of this account.

        Raises:
            TimimError: The errors of `react`, except LimitReached.
        """
        await self._bound().react(self, reaction, remove=True)

    def readers(self) -> AsyncIterator[Reader]:
        """Fetch, page by page, the readers of a group message that this account sent with `request_receipt=True`.

        Raises:
            NoPermission: Another user sent the message, or no receipt was requested (10007).
            InvalidConversation: This is a C2C message; see `read_by_peer`.
            InvalidArgument: The message does not belong to a client, or the server has not numbered it.
            NetworkError: The server did not answer; call again.
            NotLoggedIn: The client is not logged in.
        """
        return self._bound().readers(self)

    def not_readers(self) -> AsyncIterator[str]:
        """Fetch, page by page, the members who have not read the message.

        Raises:
            TimimError: The errors of `readers`.
        """
        return self._bound().not_readers(self)

    def check(self) -> None:
        """Check `cloud_custom_data`; `send()` calls this.

        Raises:
            InvalidArgument: `cloud_custom_data` is not valid Unicode text (6017).
        """
        data: object = self.cloud_custom_data
        if fault := text_fault(data) if isinstance(data, str) else f"must be a string, not {data!r:.60}":
            raise InvalidArgument(f"cloud_custom_data: {fault}")

    def bind(self, owner: MessageOwner[Message]) -> None:
        """Set the client that executes the actions on this message; the client calls this for each message it makes."""
        if self._owner is not owner and self._elems is not None and not _ONLY_TEXT.issuperset(map(type, self._elems)):
            owner.bind_elems(self._elems)
        self._owner = owner

    def replace_elems(self, elems: Sequence[AnyElem]) -> None:
        """Replace the elems of a message that is being sent by elems with stored or uploaded content."""
        self._elems = tuple(elems)

    def load_body(self, body: bytes, decode: ElemDecoder) -> None:
        """Set the encoded body of the message; `elems` decodes the body when first used."""
        self._elems, self._body, self._decode = None, body, decode

    def update_from(self, other: Message) -> None:
        """Copy the content and the state from `other`, a newer copy of this message."""
        self._elems, self._body, self._decode = other._elems, other._body, other._decode
        self._state, self._cloud_custom_data = other._state, other._cloud_custom_data
        self._read_receipt_count, self._unread_receipt_count = other._read_receipt_count, other._unread_receipt_count

    def _bound(self) -> MessageVerbs[Message]:
        if self._owner is None:
            raise InvalidArgument(UNBOUND)
        verbs: MessageVerbs[Message] = self._owner.message_verbs
        return verbs
