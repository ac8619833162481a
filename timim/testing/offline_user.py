"""A user who writes messages to handlers without a server, and gets their answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn, Self, cast

from timim import ConversationKey, ConversationType, InvalidArgument, Message, MessageStatus

from ..ids import conversation_key
from ..message import ConversationSource, MessageVerbs

__all__ = ["OfflineUser"]


class OfflineUser:
    """A user who writes messages for `router.feed()`, without a server: `await router.feed(alice.message("/order 3"))`.

    `message.reply()`, `message.react()` and `message.conversation.send()` of these messages are recorded, and
    `message.conversation.typing()` runs its block; for other actions, use `running_server()`.

    Args:
        user_id: The sender of the messages.
        group_id: The group of the messages; by default the user writes to the program itself.

    Attributes:
        replies: The answers to the messages of this user, in order.
        reactions: The reactions to the messages of this user, in order.

    Raises:
        InvalidArgument: An id cannot exist.
    """

    def __init__(self, user_id: str, *, group_id: str = "") -> None:
        self.replies: list[Message] = []
        self.reactions: list[str] = []
        self._user_id = conversation_key(ConversationType.C2C, user_id, argument="user_id").peer
        self._key: ConversationKey = (
            conversation_key(ConversationType.GROUP, group_id, argument="group_id")
            if group_id
            else ConversationKey(ConversationType.C2C, user_id)
        )
        self._seq = 0

    def message(self, content: str | Message) -> Message:
        """Return a message of this user, as a client receives it.

        Args:
            content: The text, or a new Message with other elems.
        """
        message = content if isinstance(content, Message) else Message(content)
        self._seq += 1
        message._key, message._sender, message._seq = self._key, self._user_id, self._seq
        message._status, message._is_self, message._is_read = MessageStatus.SUCCEEDED, False, False
        message.bind(self)
        return message

    @property
    def in_group(self) -> bool:
        """True if the messages are of a group."""
        return self._key.type is ConversationType.GROUP

    @property
    def texts(self) -> list[str]:
        """The texts of the replies."""
        return [reply.text for reply in self.replies]

    @property
    def message_verbs(self) -> MessageVerbs[Message]:
        """The actions on the messages; the messages call this."""
        return cast("MessageVerbs[Message]", _RecordedVerbs(self))

    @property
    def conversations(self) -> ConversationSource:
        """The conversation of the messages, whose `send()` is recorded; the messages call this."""
        return cast("ConversationSource", _RecordedConversations(self))

    def bind_elems(self, elems: Sequence[object]) -> None:
        """Do nothing: the content of elems cannot be fetched without a server."""


class _RecordedConversations:
    """The conversation of the messages; only its `send()` and `typing()` work."""

    def __init__(self, user: OfflineUser) -> None:
        self._user = user

    def of_key(self, key: ConversationKey) -> Self:
        return self

    async def send(self, message: str | Message, **options: object) -> Message:
        answer = message if isinstance(message, Message) else Message(message)
        self._user.replies.append(answer)
        return answer

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[None]:
        yield

    def __getattr__(self, name: str) -> NoReturn:
        raise InvalidArgument(f"{name} of a conversation needs a server: use timim.testing.running_server()")


class _RecordedVerbs:
    """The recorded actions; another one raises InvalidArgument."""

    def __init__(self, user: OfflineUser) -> None:
        self._user = user

    async def reply(self, message: Message, answer: Message) -> Message:
        self._user.replies.append(answer)
        return answer

    async def react(self, message: Message, reaction: str, *, remove: bool) -> None:
        if remove:
            self._user.reactions.remove(reaction)
        else:
            self._user.reactions.append(reaction)

    def __getattr__(self, name: str) -> NoReturn:
        raise InvalidArgument(f"{name}() needs a server: use timim.testing.running_server()")
