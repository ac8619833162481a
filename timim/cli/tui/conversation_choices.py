"""The list of conversations with unread counts, from which the user opens one."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from timim import Conversation, ConversationKey

from .text import clean, name_of, summary_of

WIDTH = 21  # columns of a name with its counts
SHOWN = 500  # conversations of the list; the others open by their id


class ConversationChoices(OptionList):
    """List of conversations: name, unread messages, and the last message or the draft."""

    DEFAULT_CSS = """
    ConversationChoices {
        border: none;
        padding: 0;
        background: $background;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        &:focus { border: none; }
        scrollbar-size-vertical: 1;
    }
    """

    class Chosen(TextualMessage):
        """The conversation that the user chose."""

        def __init__(self, key: ConversationKey) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self._shown: list[tuple[ConversationKey, str, str]] = []
        self._opened: ConversationKey | None = None

    def show(self, conversations: Sequence[Conversation], opened: ConversationKey | None) -> None:
        """Show these conversations; the open one has a mark. The highlight stays on its conversation."""
        self._opened = opened
        shown = [
            (one.key, f"{'▸' if one.key == opened else ' '}{_name_line(one)}", _last_line(one)) for one in conversations[:SHOWN]
        ]
        if shown == self._shown:
            return
        before = self.highlighted
        key = self._shown[before][0] if before is not None else opened
        self._shown = shown
        self.set_options(Option(Content.assemble((name, "bold"), "\n ", (last, "dim"))) for _, name, last in shown)
        keys = [each for each, _, _ in shown]
        self.highlighted = keys.index(key) if key in keys else 0 if keys else None

    def on_focus(self) -> None:
        """Highlight the open conversation."""
        keys = [key for key, _, _ in self._shown]
        if self._opened in keys:
            self.highlighted = keys.index(self._opened)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Report the chosen conversation."""
        event.stop()
        self.post_message(self.Chosen(self._shown[event.option_index][0]))


def _name_line(conversation: Conversation) -> str:
    """Return the name and the counts, which a long name does not push out of the list."""
    counts = _counts(conversation)
    return Content(name_of(conversation)).truncate(max(WIDTH - len(counts), 8), ellipsis=True).plain + counts


def _counts(conversation: Conversation) -> str:
    unread = f" ({conversation.unread})" if conversation.unread else ""
    mentioned = " @" if conversation.mentioned else ""
    return f"{unread}{mentioned}{' muted' if conversation.muted else ''}{' ↑' if conversation.pinned else ''}"


def _last_line(conversation: Conversation) -> str:
    if conversation.draft:
        return f"draft: {clean(conversation.draft)}"[:200]
    last = conversation.last_message
    return summary_of(last)[:200] if last is not None else ""
