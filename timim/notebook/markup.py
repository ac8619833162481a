"""Markup of outputs. Every text of a user passes through `escaped`, and no output has a script or loads an address."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import NewType

from ..message_parts.text_form import printable, time_text
from .style import STYLE

__all__ = [
    "Html",
    "card",
    "data_url",
    "document",
    "escaped",
    "facts_table",
    "joined",
    "name_of",
    "soft",
    "table",
    "tags",
    "text_block",
    "time_of",
    "title",
]

TEXT_LIMIT = 2000  # characters of one text
CELL_LIMIT = 200  # characters of a value in a table

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")  # of text, direction and UTF-16

Html = NewType("Html", str)
"""Markup in which each text of a user is escaped."""


def escaped(text: object, limit: int = CELL_LIMIT) -> Html:
    """Return a text as markup, at most `limit` characters and the number of those left out."""
    shown = str(text)
    left = len(shown) - limit
    if left > 0:
        shown = f"{shown[:limit]}… ({left:,} more characters)"
    return Html(escape(_CONTROLS.sub("\ufffd", shown)))


def name_of(name: str) -> Html:
    """Return a name in one line."""
    return Html(escape(f"\u2068{printable(name)}\u2069"))  # isolated: a name cannot change the order of the text around it


def time_of(timestamp: float) -> Html:
    """Return a time in the zone of this machine, or nothing for 0."""
    return Html(escape(time_text(timestamp))) if timestamp else Html("")


def joined(*parts: str, by: str = "") -> Html:
    """Return parts that are markup already, without the empty ones."""
    return Html(by.join(part for part in parts if part))


def text_block(text: str, found: tuple[tuple[int, int], ...] = ()) -> Html:
    """Return a text with its line breaks; the ranges `found` are marked."""
    pieces, at = [], 0
    for begin, end in found:
        pieces += [escaped(text[at:begin], TEXT_LIMIT), f"<mark>{escaped(text[begin:end])}</mark>"]
        at = end
    pieces.append(escaped(text[at:], TEXT_LIMIT))
    return Html(f'<div class="t-text" dir="auto">{"".join(pieces)}</div>')


def soft(text: str) -> Html:
    """Return markup in a small, soft font."""
    return Html(f'<span class="t-soft">{text}</span>') if text else Html("")


def title(name: str, *details: str) -> Html:
    """Return the first line of an output: a name, and soft details; both are markup."""
    return Html(f'<div class="t-head"><span class="t-title">{name}</span>{"".join(soft(one) for one in details)}</div>')


def card(icon: str, name: str, details: str) -> Html:
    """Return a card with an icon, a name and details; all are markup."""
    body = f"<div>{name}<div class='t-soft'>{details}</div></div>"
    return Html(f'<div class="t-card"><span class="t-icon">{icon}</span>{body}</div>')


def tags(*names: str) -> Html:
    """Return small labels of markup."""
    shown = "".join(f"<span>{name}</span>" for name in names if name)
    return Html(f'<span class="t-tags">{shown}</span>') if shown else Html("")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Html:
    """Return a table; all cells are markup."""
    first = "".join(f"<th>{name}</th>" for name in head)
    rest = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return Html(f"<table><thead><tr>{first}</tr></thead><tbody>{rest}</tbody></table>")


def facts_table(facts: Mapping[str, str]) -> Html:
    """Return a table of names and values; the values are markup."""
    rows = "".join(f"<tr><th>{escaped(name)}</th><td>{value}</td></tr>" for name, value in facts.items() if value)
    return Html(f"<table><tbody>{rows}</tbody></table>") if rows else Html("")


def data_url(kind: str, content: bytes) -> Html:
    """Return content inside an address, so that showing it loads nothing."""
    return Html(f"data:{kind};base64,{b64encode(content).decode()}")


def document(body: str) -> str:
    """Return the whole output: its style and its body."""
    return f'{STYLE}<div class="timim">{body}</div>'
