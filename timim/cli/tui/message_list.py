"""The messages of the open conversation. The view keeps its place when rows are added above, or follows the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message as TextualMessage
from textual.scroll_view import ScrollView
from textual.strip import Strip

from timim import Message

from .message_lines import LineStyles, RowLines, days_of, id_of, lines_of, state_of
from .rows import Gap, MessageId, Row, message_id


class MessageList(ScrollView, can_focus=True):
    """Scrolling list of messages and gaps, in which the user selects a message."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "select(-1)", "Select", show=False),
        Binding("down", "select(1)", "Select", show=False),
        Binding("r", "act('reply')", "Reply"),
        Binding("e", "act('react')", "React"),
        Binding("f", "act('resend')", "Resend"),
        Binding("s", "act('save')", "Save"),
        Binding("escape", "write", "Write"),
        Binding("home", "scroll_home", "Oldest", show=False),
        Binding("end", "scroll_end", "Newest", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "message-list--faint",
        "message-list--name",
        "message-list--own",
        "message-list--failed",
        "message-list--selected",
    }
    DEFAULT_CSS = """
    MessageList {
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .message-list--faint { color: $text-muted; }
        & > .message-list--name { color: $text-accent; text-style: bold; }
        & > .message-list--own { color: $text-primary; text-style: bold; }
        & > .message-list--failed { color: $text-error; text-style: bold; }
        & > .message-list--selected { background: $surface-lighten-2; }
    }
    """

    class GapInView(TextualMessage):
        """A gap that the user sees, or would see a screen further."""

        def __init__(self, gap: Gap) -> None:
            super().__init__()
            self.gap = gap

    class Act(TextualMessage):
        """An action that the user wants on the selected message: reply, react, resend or save."""

        def __init__(self, action: str, message: Message) -> None:
            super().__init__()
            self.action = action
            self.message = message

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: list[Row] = []
        self._begins = False
        self._gap_text = ""
        self._made: dict[MessageId | Gap, RowLines] = {}
        self._lines: list[tuple[int, Content]] = []  # the index of the row, and the line
        self._starts: list[int] = []  # the first line of each row
        self._width = 0
        self._selected: MessageId | None = None

    @property
    def selected(self) -> Message | None:
        """The selected message, or the last one."""
        messages = self._messages()
        return next((one for one in messages if message_id(one) == self._selected), messages[-1] if messages else None)

    @property
    def follows_end(self) -> bool:
        """True if the last line is in view."""
        return self.is_vertical_scroll_end or self.virtual_size.height <= self.size.height

    def show(self, rows: Sequence[Row], *, begins: bool, gap_text: str, to_end: bool = False) -> None:
        """Show these rows. The view keeps its place, or the end.

        Args:
            rows: Messages and gaps, in order.
            begins: True shows that the first message is the first one of the conversation.
            gap_text: The text of the gaps.
            to_end: True moves the view to the end.
        """
        anchor = None if to_end or self.follows_end else self._anchor()
        self._rows, self._begins, self._gap_text = list(rows), begins, gap_text
        if not self.size.width:
            return  # shown when the size is known
        self._lay_out()
        if anchor is None:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
        else:
            self._return_to(*anchor)
        self.refresh()
        self.call_after_refresh(self._report_gaps)

    def select(self, message: Message, *, middle: bool = False) -> None:
        """Select a message and scroll until it can be seen; if `middle`, until it is in the middle."""
        self._selected = message_id(message)
        ids = [id_of(row) for row in self._rows]
        if self._selected in ids:
            at = ids.index(self._selected)
            if middle:
                self.scroll_to(y=self._starts[at] - self.size.height // 2, animate=False, force=True)
            self._reveal(at)

    def action_select(self, step: int) -> None:
        """Select the next message in a direction, beginning with the last one in view."""
        messages = self._messages()
        if not messages:
            return
        ids = [message_id(one) for one in messages]
        if self._selected in ids:
            at = min(max(ids.index(self._selected) + step, 0), len(ids) - 1)
        else:
            at = len(ids) - 1
        self.select(messages[at])

    def action_write(self) -> None:
        """Go to the input; the next selection begins with the last message."""
        self.clear_selection()
        self.screen.query_one("#composer").focus()

    def action_scroll_home(self) -> None:
        """Go to the first loaded message."""
        self.scroll_home(animate=False)

    def action_scroll_end(self) -> None:
        """Go to the last message."""
        self.scroll_end(animate=False)

    def action_page_up(self) -> None:
        """Go up by one screen."""
        self.scroll_page_up(animate=False)

    def action_page_down(self) -> None:
        """Go down by one screen."""
        self.scroll_page_down(animate=False)

    def action_act(self, action: str) -> None:
        """Report an action on the selected message."""
        if (message := self.selected) is not None:
            self._selected = message_id(message)
            self.refresh()
            self.post_message(self.Act(action, message))

    def clear_selection(self) -> None:
        """Select no message."""
        self._selected = None
        self.refresh()

    def on_resize(self) -> None:
        """Wrap the lines again."""
        self.show(self._rows, begins=self._begins, gap_text=self._gap_text)

    def on_focus(self) -> None:
        """Select the last message, unless one is selected."""
        if (message := self.selected) is not None:
            self.select(message)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Look for gaps that came into view."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._report_gaps()

    def render_line(self, y: int) -> Strip:
        """Return a line of the view."""
        width, base = self.size.width, self.rich_style
        y += self.scroll_offset.y
        if not 0 <= y < len(self._lines):
            return Strip.blank(width, base)
        at, line = self._lines[y]
        strip = Strip(line.render_segments(self.visual_style)).crop_extend(0, width, base)
        if self.has_focus and at >= 0 and id_of(self._rows[at]) == self._selected:
            strip = strip.apply_style(self.get_component_rich_style("message-list--selected", partial=True))
        return strip

    def _messages(self) -> list[Message]:
        return [row for row in self._rows if not isinstance(row, Gap)]

    def _lay_out(self) -> None:
        width = self.size.width
        if width != self._width:
            self._made.clear()
        self._width = width
        styles = LineStyles(
            *(self.get_visual_style(f"message-list--{part}", partial=True) for part in ("faint", "name", "own", "failed"))
        )
        begin = Content.styled("beginning of the conversation", styles.faint)
        self._lines = [(-1, begin)] if self._begins and self._rows else []
        self._starts, made = [], {}
        for at, (row, day) in enumerate(zip(self._rows, days_of(self._rows), strict=True)):
            state, id = state_of(row, day, self._gap_text), id_of(row)
            known = self._made.get(id)
            if known is None or known.made_from != state:
                known = RowLines(id, state, lines_of(row, day, self._gap_text, width, styles))
            made[id] = known
            self._starts.append(len(self._lines))
            self._lines += [(at, line) for line in known.lines]
        self._made = made
        self.virtual_size = Size(width, len(self._lines))

    def _anchor(self) -> tuple[MessageId | Gap, int] | None:
        """Return the row of the first message in view, and the number of lines from the top of the view to its end.

        The heading of a row is left out, because it moves to another row when rows are added above.
        """
        top = self.scroll_offset.y
        for at, row in enumerate(self._rows):
            end = self._end_of(at)
            if end > top and not isinstance(row, Gap):
                return id_of(row), end - top
        return None

    def _end_of(self, at: int) -> int:
        """Return the line after the last one of a row."""
        return self._starts[at + 1] if at + 1 < len(self._starts) else len(self._lines)

    def _return_to(self, id: MessageId | Gap, lines_to_end: int) -> None:
        at = next((at for at, row in enumerate(self._rows) if id_of(row) == id), None)
        if at is not None:
            self.scroll_to(y=self._end_of(at) - lines_to_end, animate=False, force=True)

    def _reveal(self, at: int) -> None:
        first, end = self._starts[at], self._end_of(at)
        top, height = self.scroll_offset.y, self.size.height
        if first < top or end - first > height:
            top = first if at > 0 else 0
        elif end > top + height:
            top = end - height
        self.scroll_to(y=top, animate=False, force=True)
        self.refresh()

    def _report_gaps(self) -> None:
        if not self._starts:
            return
        height = self.size.height
        top, bottom = self.scroll_offset.y - height, self.scroll_offset.y + 2 * height
        for at in range(len(self._rows) - 1, -1, -1):
            row = self._rows[at]
            if isinstance(row, Gap) and top <= self._starts[at] < bottom:
                self.post_message(self.GapInView(row))
                return
