"""The owner of a client's messages: gives each message its actions, and its elems their content."""

from __future__ import annotations

from collections.abc import Sequence

from ..elems import AnyElem
from ..message import Message, MessageVerbs
from .attachments import Attachments


class ClientBinder:
    """Binds messages to one client; implements `timim.message.MessageOwner`.

    `message_verbs` is set once, by `Engine`: the actions need the store, and the store binds the messages it reads.
    """

    message_verbs: MessageVerbs

    def __init__(self, attachments: Attachments) -> None:
        self._attachments = attachments

    def bind_elems(self, elems: Sequence[AnyElem]) -> None:
        """Let these elems fetch their content through this client."""
        self._attachments.bind_elems(elems)

    def bind(self, message: Message) -> Message:
        """Attach the client to a message; return the message."""
        message.bind(self)
        return message
