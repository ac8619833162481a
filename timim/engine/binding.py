"""The owner of a client's messages, which provides their actions and the content of their elems."""

from __future__ import annotations

from collections.abc import Sequence

from ..elems import Elem
from ..message import ConversationSource, Message, MessageVerbs
from .attachments import Attachments


class ClientBinder:
    """Binds messages to one client; implements `timim.message.MessageOwner`.

    `Engine` sets `message_verbs` once: the actions need the store, and the store binds the messages that it reads. The
    registry of the client's conversations, which needs the engine, sets `conversations` once.
    """

    message_verbs: MessageVerbs[Message]
    conversations: ConversationSource

    def __init__(self, attachments: Attachments) -> None:
        self._attachments = attachments

    def bind_elems(self, elems: Sequence[Elem]) -> None:
        """Let these elems fetch their content through this client."""
        self._attachments.bind_elems(elems)

    def bind(self, message: Message) -> Message:
        """Bind a message to the client; return the message."""
        message.bind(self)
        return message
