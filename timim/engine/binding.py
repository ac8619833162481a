"""The owner of a client's messages: gives each message its actions, and its elems their content."""

from __future__ import annotations

from collections.abc import Sequence

from ..elems import AnyElem
from ..message import Message, MessageVerbs
from .attachments import Attachments


class MessageBinder:
    """Binds messages to one client; implements `timim.message.MessageOwner`."""

    def __init__(self, verbs: MessageVerbs, attachments: Attachments) -> None:
        self._verbs = verbs
        self._attachments = attachments

    @property
    def message_verbs(self) -> MessageVerbs:
        """Return the actions on messages of this client."""
        return self._verbs

    def bind_elems(self, elems: Sequence[AnyElem]) -> None:
        """Let these elems fetch their content through this client."""
        self._attachments.bind_elems(elems)

    def bind(self, message: Message) -> Message:
        """Attach the client to a message; return the message."""
        message.bind(self)
        return message
