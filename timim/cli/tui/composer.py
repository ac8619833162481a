"""The input of a message: several lines, Enter sends."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key
from textual.message import Message as TextualMessage
from textual.widgets import TextArea

# Ctrl+J is a line feed in every terminal; the others arrive from terminals with the keyboard protocol of kitty.
NEWLINE_KEYS = ("ctrl+j", "alt+enter", "shift+enter")


class Composer(TextArea):
    """Text area of one to six lines. Enter submits, Ctrl+J begins a line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Send"),
        Binding(",".join(NEWLINE_KEYS), "newline", "New line", key_display="^j"),
        Binding("escape", "cancel", "Cancel reply", show=False),
    ]
    DEFAULT_CSS = """
    Composer {
        height: auto;
        max-height: 6;
        border: none;
        padding: 0 1;
        background: $surface-lighten-1;
    }
    """

    class Submitted(TextualMessage):
        """The text that the user sends."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class ReplyCancelled(TextualMessage):
        """The user takes back the reply."""

    class ScrollHistory(TextualMessage):
        """The user looks at older (-1) or newer (1) messages from the input; `select` moves the focus to the messages."""

        def __init__(self, direction: int, *, select: bool = False) -> None:
            super().__init__()
            self.direction = direction
            self.select = select

    def __init__(self, *, id: str) -> None:
        super().__init__(
            id=id,
            soft_wrap=True,
            tab_behavior="focus",
            compact=True,
            highlight_cursor_line=False,
            placeholder="Write a message",
        )

    async def on_key(self, event: Key) -> None:
        """Send or begin a line at once. A binding is executed after the keys that follow it, if they come fast."""
        if event.key == "enter":
            self.action_submit()
        elif event.key in NEWLINE_KEYS:
            self.action_newline()
        else:
            return
        event.stop()
        event.prevent_default()

    def action_submit(self) -> None:
        """Report the text."""
        text = self.text.strip("\n")
        if text.strip():
            self.post_message(self.Submitted(text))

    def action_newline(self) -> None:
        """Begin a line."""
        self.insert("\n")

    def action_cancel(self) -> None:
        """Report that the user takes back the reply."""
        self.post_message(self.ReplyCancelled())

    def action_cursor_page_up(self) -> None:
        """Scroll the messages instead of the input."""
        self.post_message(self.ScrollHistory(-1))

    def action_cursor_page_down(self) -> None:
        """Scroll the messages instead of the input."""
        self.post_message(self.ScrollHistory(1))

    def action_cursor_up(self, select: bool = False) -> None:
        """Move up; from the first line to the messages."""
        if not select and self.cursor_at_first_line:
            self.post_message(self.ScrollHistory(-1, select=True))
        else:
            super().action_cursor_up(select)
