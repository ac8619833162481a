"""The owner of a client's messages, which provides their actions and the content of their elems."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..elems import Elem
from ..message import ConversationSource, Message, MessageVerbs
from .attachments import Attachments
from .live_messages import LiveMessages


class ClientBinder:
    """Binds messages to one client; implements `timim.message.MessageOwner` and `timim.storage.MessageBinder`.

    `Engine` sets `message_verbs` once: the actions need the store, and the store binds the messages that it reads. The
    registry of the client's conversations, which needs the engine, sets `conversations` once.
    """

    message_verbs: MessageVerbs[Message]
    conversations: ConversationSource

    def __init__(self, attachments: Attachments, live: LiveMessages) -> None:
        self._attachments = attachments
        self.live: LiveMessages = live

    def bind_elems(self, elems: Sequence[Elem]) -> None:
        """Let these elems fetch their content through this client."""
        self._attachments.bind_elems(elems)

    def bind(self, message: Message) -> Message:
        """Bind a message without a row to the client; return the message."""
        message.bind(self)
        return message

    def begin_read(self) -> int:
        """Note that a read of the store begins; `end_read` must follow."""
        return self.live.begin_read()

    def end_read(self, begun: int, messages: Iterable[Message]) -> list[Message]:
        """Return the bound object of each message that a read has made of a row."""
        found = self.live.end_read(begun, messages)
        for message in found:
            message.bind(self)
        return found

    def changed(self, message: Message) -> None:
        """Note that a write has changed the row of this object, and the object."""
        self.live.changed(message)

    def written_all(self, messages: Sequence[Message]) -> list[Message]:
        """Return the bound objects of rows of one conversation that a write has reported."""
        found = self.live.written_all(messages)
        for message in found:
            message.bind(self)
        return found

    def written(self, message: Message) -> Message:
        """Return the bound object of a row that a write has reported."""
        known = self.live.written(message)
        known.bind(self)
        return known
