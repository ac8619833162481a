"""The lines of one row of the message list: time, status, sender, content, quote and reactions."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.style import Style

from timim import Message

from .rows import Gap, MessageId, Row, message_id
from .text import body_of, clean, clock_of, day_of, mark_of, sender_of

INDENT = 9  # columns of the time and the status
NARROWEST = 8  # columns that a text gets at least


@dataclass(frozen=True, slots=True)
class LineStyles:
    """The styles of the parts of a row."""

    faint: Style
    name: Style
    own: Style
    failed: Style


@dataclass(frozen=True, slots=True)
class RowLines:
    """The lines of one row, and the values that they were made from."""

    id: MessageId | Gap
    made_from: object
    lines: tuple[Content, ...]


def id_of(row: Row) -> MessageId | Gap:
    """Return the identity of a row."""
    return row if isinstance(row, Gap) else message_id(row)


def state_of(row: Row, day: str, gap_text: str) -> object:
    """Return the values that the lines of a row show; equal values make equal lines."""
    if isinstance(row, Gap):
        return gap_text
    content = id(row.elems), row.version, row.recalled, tuple(row.reactions.items())
    return day, mark_of(row), row.timestamp, sender_of(row), content


def lines_of(row: Row, day: str, gap_text: str, width: int, styles: LineStyles) -> tuple[Content, ...]:
    """Return the lines of a row.

    Args:
        row: The row.
        day: The heading above the row; "" for none.
        gap_text: The text of a gap.
        width: Columns of a line.
        styles: The styles of the parts.
    """
    if isinstance(row, Gap):
        return tuple(Content.styled(f"┄ {gap_text}", styles.faint).wrap(width))
    heading = [_heading(day, width, styles)] if day else []
    return (*heading, *_message_lines(row, width, styles))


def _heading(day: str, width: int, styles: LineStyles) -> Content:
    return Content.styled(f"── {day} ".ljust(width, "─")[:width], styles.faint)


def _message_lines(message: Message, width: int, styles: LineStyles) -> list[Content]:
    failed = mark_of(message) == "✗"
    first = Content.styled(f"{clock_of(message)} {mark_of(message):<2} ", styles.failed if failed else styles.faint)
    room = max(width - INDENT, NARROWEST)
    name = Content.styled(sender_of(message), styles.own if message.is_self else styles.name)
    body = Content.styled(body_of(message), styles.faint) if message.recalled else Content(body_of(message))
    text = Content.assemble(name, ": ", body) if name else Content.styled(body_of(message), styles.faint)
    shown = [*_quote(message, room, styles), *text.wrap(room), *_reactions(message, room, styles)]
    blank = Content(" " * INDENT)
    return [Content.assemble(blank if at else first, line) for at, line in enumerate(shown)]


def _quote(message: Message, width: int, styles: LineStyles) -> list[Content]:
    quoted = message.reply_to
    if quoted is None:
        return []
    text = f"┃ {clean(quoted.sender)}: {clean(quoted.abstract)}"
    return [Content.styled(text, styles.faint).truncate(width, ellipsis=True)]


def _reactions(message: Message, width: int, styles: LineStyles) -> list[Content]:
    if not message.reactions:
        return []
    each = (f"{clean(reaction)} {', '.join(map(clean, users))}" for reaction, users in message.reactions.items())
    return Content.styled("  ".join(each), styles.faint).wrap(width)


def days_of(rows: list[Row]) -> list[str]:
    """Return the heading of each row: its day, if the row before is of another day."""
    days, before = [], ""
    for row in rows:
        day = "" if isinstance(row, Gap) else day_of(row)
        days.append(day if day != before else "")
        before = day or before
    return days
