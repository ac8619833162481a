"""Messages in one line: the time, the direction and the kinds of elems, and never the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from ..elem_base import Elem
from ..ids import ConversationKey, ConversationType
from .fields import MessageFields, MessageStatus

__all__ = ["kind_of", "message_repr", "printable", "time_text"]

KINDS_LIMIT = 6  # kinds in one line
NAME_LIMIT = 40  # characters of a name that another program chose
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def message_repr(message: MessageFields, elems: Sequence[Elem], *, recalled: bool) -> str:
    """Return `<Message 12:03 alice → group team, seq 17: text, image>`."""
    kinds = [kind_of(elem) for elem in elems[:KINDS_LIMIT]]
    if len(elems) > KINDS_LIMIT:
        kinds.append(f"… {len(elems)} in all")
    content = "recalled" if recalled else ", ".join(kinds) or "empty"
    if message.status is None:
        return f"<Message not sent: {content}>"
    facts = [f"{time_text(message.timestamp)} {direction(message)}"]
    if message.seq:
        facts.append(f"seq {message.seq}")
    if message.status is not MessageStatus.SUCCEEDED:
        facts.append(message.status.name.lower())
    return f"<Message {', '.join(facts)}: {content}>"


def direction(message: MessageFields) -> str:
    """Return the sender and the receiver of a message: `alice → bob`, `bob → me`, `bob → group team`."""
    sender = printable(message.sender) or "me"
    return f"{sender} → {_receiver(message.key, is_self=message.is_self)}"


def _receiver(key: ConversationKey | None, *, is_self: bool) -> str:
    if key is not None and key.type is ConversationType.GROUP:
        return f"group {printable(key.peer)}"
    if key is not None and is_self and key.type is ConversationType.C2C:
        return printable(key.peer)
    return "me"


def kind_of(elem: Elem) -> str:
    """Return the kind of an elem in lower case: `text`, `group tip`; for an unknown one its type on the wire."""
    if (wire_type := getattr(elem, "MsgType", None)) is not None:  # an UnknownElem
        return printable(wire_type) or "unknown"
    return _WORDS.sub(" ", type(elem).__name__.removesuffix("Elem")).lower()


def time_text(timestamp: float) -> str:
    """Return a time of the server on this machine's clock: `12:03` for today, else with the date."""
    try:
        at = datetime.fromtimestamp(timestamp).astimezone()
    except (OverflowError, ValueError, OSError):
        return "?"
    return at.strftime("%H:%M" if at.date() == datetime.now(at.tzinfo).date() else "%Y-%m-%d %H:%M")


def printable(name: str, limit: int = NAME_LIMIT) -> str:
    """Return a name in one line, without control characters and changes of the writing direction, at most `limit` long."""
    return _CONTROLS.sub("\ufffd", name if len(name) <= limit else f"{name[: limit - 1]}…")
