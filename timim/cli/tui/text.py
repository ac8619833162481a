"""Texts of messages and names, made safe for a terminal: nothing that a user wrote can style, move or reverse the screen."""

from __future__ import annotations

import time
import unicodedata

from timim import (
    AnyElem,
    Conversation,
    ConversationType,
    CustomElem,
    FaceElem,
    FileElem,
    GroupNoticeElem,
    GroupTipElem,
    ImageElem,
    ImageType,
    LocationElem,
    MergerElem,
    Message,
    MessageStatus,
    RelationElem,
    SoundElem,
    TextElem,
    UnknownElem,
    VideoElem,
)

JOINERS = "\u200c\u200d"  # parts of emoji and of words in some scripts
MARKS_LIMIT = 3  # combining marks on one character
STATUS_MARKS = {MessageStatus.SENDING: "…", MessageStatus.SUCCEEDED: "✓", MessageStatus.FAILED: "✗"}


def clean(text: str, *, lines: bool = False) -> str:
    """Return a text without characters that control a terminal or the direction of the text.

    Args:
        text: The text of a user.
        lines: True keeps line ends; otherwise each becomes a space.
    """
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    text = text if lines else text.replace("\n", " ")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= MARKS_LIMIT:
            shown.append(character if character == "\n" else _visible(character, category))
    return "".join(shown)


def _visible(character: str, category: str) -> str:
    if category == "Cc":
        return chr(0x2400 + ord(character)) if character < " " else "\N{REPLACEMENT CHARACTER}"
    if category in ("Zl", "Zp"):
        return " "
    if category in ("Cf", "Cs", "Co", "Cn") and character not in JOINERS:
        return "\N{REPLACEMENT CHARACTER}"
    return character


def name_of(conversation: Conversation) -> str:
    """Return the name of a conversation for lists: a group has a # before its id."""
    match conversation.type:
        case ConversationType.GROUP:
            return f"#{clean(conversation.peer)}"
        case ConversationType.SYSTEM:
            return "notices"
        case _:
            return clean(conversation.peer)


def sender_of(message: Message) -> str:
    """Return the name card, the nickname or the id of the sender; "" for the server."""
    member, profile = message.sender_member, message.sender_profile
    return clean((member and member.name_card) or (profile and profile.nickname) or message.sender)


def body_of(message: Message) -> str:
    """Return the content of a message as text, with a description of each elem that is no text."""
    if message.recalled:
        by = "" if message.recaller == message.sender else f"{clean(message.recaller)} "
        return f"{by}recalled this message"
    parts = [clean(elem.text, lines=True) if isinstance(elem, TextElem) else describe(elem) for elem in message.elems]
    return "\n".join(parts) + (" (edited)" if message.version else "")


def summary_of(message: Message) -> str:
    """Return the content of a message in one line."""
    return clean(body_of(message))


def describe(elem: AnyElem) -> str:
    """Return one line that describes an elem."""
    match elem:
        case ImageElem():
            original = elem.images.get(ImageType.ORIGINAL)
            return f"[picture {original.width}×{original.height}, {size(original.size)}]" if original else "[picture]"
        case FileElem():
            return f"[file {clean(elem.filename)}, {size(elem.size)}]"
        case SoundElem():
            return f"[sound, {elem.duration} s]"
        case VideoElem():
            return f"[video, {elem.duration} s, {size(elem.size)}]"
        case FaceElem():
            return f"[sticker {elem.index}]"
        case LocationElem():
            return f"[location {clean(elem.desc)} {elem.latitude:.5f}, {elem.longitude:.5f}]"
        case MergerElem():
            return f"[{elem.count} messages: {clean(elem.title)}]"
        case CustomElem():
            return f"[custom: {clean(elem.desc) or size(len(elem.data))}]"
        case _:
            return _describe_notice(elem)


def _describe_notice(elem: AnyElem) -> str:
    match elem:
        case GroupTipElem():
            who = ", ".join(clean(user) for user in elem.users) or clean(elem.operator)
            return f"[{_kind(elem.type)}: {who}]"
        case GroupNoticeElem():
            return (
                f"[group {clean(elem.group_id)}, {_kind(elem.type)}: {clean(elem.operator)} {clean(elem.text)}".rstrip() + "]"
            )
        case RelationElem():
            return f"[{_kind(elem.type)}: {', '.join(clean(user) for user in elem.users)}]"
        case UnknownElem():
            return f"[{clean(elem.MsgType)}]"
        case _:
            return f"[{clean(elem.push_text)}]"


def _kind(type: int) -> str:
    return str(getattr(type, "name", f"kind {int(type)}")).lower().replace("_", " ")


def size(size_bytes: int) -> str:
    """Return a number of bytes with a unit."""
    number = float(size_bytes)
    for unit in ("B", "KB", "MB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GB"


def mark_of(message: Message) -> str:
    """Return the sign of an own message's status: waiting, sent, read by others, or failed; "" for other messages."""
    if not message.is_self or message.msg_id == "0-0":
        return ""
    if message.read_by_peer or message.read_receipt_count:
        return "✓✓"
    return STATUS_MARKS.get(message.status or MessageStatus.SENDING, "")


def clock_of(message: Message) -> str:
    """Return the local time of a message as HH:MM."""
    return time.strftime("%H:%M", time.localtime(message.timestamp))


def day_of(message: Message) -> str:
    """Return the local day of a message."""
    return time.strftime("%Y-%m-%d, %A", time.localtime(message.timestamp))
