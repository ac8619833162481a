"""A message as one line of text, or as one JSON object."""

from __future__ import annotations

import json
import time
import unicodedata
from datetime import UTC, datetime

from rich.markup import escape

from timim import AnyElem, ConversationType, Elem, FileElem, ImageElem, Message, SoundElem, TextElem, VideoElem

from .console import out, print_json
from .files import content_of

DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # they show a name such as txt.exe as exe.txt
CONTINUED = "\n    "  # further lines of a text are indented, so that they cannot look like messages of others


def print_message(message: Message, *, as_json: bool = False) -> None:
    """Print a message on one line: its time, sender, group (if any) and content; or as a JSON object.

    Raises:
        OutputClosed: Nobody reads standard output any more.
    """
    if as_json:
        print_json(type="message", **message_fields(message))
        return
    group = message.key is not None and message.key.type == ConversationType.GROUP
    where = f" [{message.key.peer}]" if message.key is not None and group else ""
    body = " ".join(filter(None, map(_described, message))) or ("(recalled)" if message.recalled else "(empty)")
    when, who = shown_time(message.timestamp, time.time()), harmless(shown_sender(message))
    out.print(f"[dim]{when}[/dim] [bold]{escape(who)}[/bold]{escape(where)}: {escape(harmless(body))}", soft_wrap=True)


def message_fields(message: Message) -> dict[str, object]:
    """Return the fields of a message that its JSON object has."""
    when = datetime.fromtimestamp(message.timestamp, UTC).isoformat() if message.timestamp else None
    return {
        "conversation": str(message.key) if message.key is not None else None,
        "seq": message.seq,
        "msg_id": message.msg_id,
        "time": when,
        "sender": message.sender,
        "nickname": nickname(message),
        "status": message.status.name if message.status is not None else None,
        "text": message.text,
        "elems": [_elem_fields(elem) for elem in message],
    }


def shown_sender(message: Message) -> str:
    """Return the sender: `Alice (alice)` if the account alice had a nickname at the time of sending, otherwise `alice`."""
    nick = nickname(message)
    return f"{nick} ({message.sender})" if nick and nick != message.sender else message.sender


def nickname(message: Message) -> str:
    """Return the nickname that the sender had at the time of sending; empty if there was none."""
    return message.sender_profile.nickname if message.sender_profile is not None else ""


def shown_time(timestamp: int, now: float) -> str:
    """Return a time of the server in the time zone of this machine, with its date if that is not the date of `now`."""
    if not timestamp:
        return "--:--"
    when, today = (datetime.fromtimestamp(seconds, UTC).astimezone() for seconds in (timestamp, now))
    return f"{when:%H:%M}" if when.date() == today.date() else f"{when:%Y-%m-%d %H:%M}"


def harmless(text: str) -> str:
    """Return a text of a peer without characters that control a terminal or the direction. Further lines are indented."""
    lines = text.replace("\r\n", "\n").expandtabs(4).split("\n")
    return CONTINUED.join("".join("\ufffd" if _is_control(char) else char for char in line) for line in lines)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) == "Cc" or char in DIRECTIONS


def _described(elem: AnyElem) -> str:
    if isinstance(elem, TextElem):
        return elem.text
    words = [elem.push_text or f"[{type(elem).__name__}]"]
    content = content_of(elem)
    if content is not None:
        words.append(content[1])
    match elem:
        case FileElem():
            words.append(f"({shown_size(elem.size)})")
        case SoundElem() | VideoElem():
            words.append(f"({elem.duration} s, {shown_size(elem.size)})")
        case ImageElem() if content is not None:
            words.append(f"({shown_size(content[0].size)})")
        case _:
            pass
    return " ".join(words)


def shown_size(size: int) -> str:
    """Return a number of bytes in words: `999 bytes`, `119 kB`, `2.4 MB`."""
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _elem_fields(elem: AnyElem) -> dict[str, object]:
    fields: dict[str, object] = {"type": type(elem).__name__}
    if isinstance(elem, Elem):
        fields |= json.loads(elem.model_dump_json())
    content = content_of(elem)
    return fields if content is None else fields | {"name": content[1]}
