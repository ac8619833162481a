"""The message that the input answers, in one line."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from timim import Message

from .text import sender_of, summary_of


class ReplyLine(Static):
    """Line with the quoted message; hidden while there is none.

    Attributes:
        message: The message that is answered.
    """

    DEFAULT_CSS = """
    ReplyLine {
        height: 1;
        padding: 0 1;
        color: $text-muted;
        display: none;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self.message: Message | None = None

    def show(self, message: Message | None) -> None:
        """Show a message, or none."""
        self.message = message
        self.display = message is not None
        if message is not None:
            self.update(Content(f"↩ {sender_of(message)}: {summary_of(message)}"))
