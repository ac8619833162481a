"""Elems as HTML: text, pictures, players, cards, and mergers that unfold."""

from __future__ import annotations

from typing import Final

from timim import (
    AnyElem,
    CustomElem,
    Elem,
    FaceElem,
    FileElem,
    GroupNoticeElem,
    GroupTipElem,
    ImageElem,
    ImageType,
    LocationElem,
    MergedMessage,
    MergerElem,
    Message,
    RelationElem,
    SoundElem,
    TextElem,
    UnknownElem,
    VideoElem,
)

from ..message_parts.text_form import kind_of
from .markup import Html, card, data_url, escaped, joined, name_of, soft, text_block, time_of
from .previews import MERGER_DEPTH, PREVIEWS, Source, content_kind, merged_messages, sources_of

__all__ = ["Room", "elem_html", "elems_html", "merged_html", "sender_html"]

EMBEDDED_BYTES: Final = 5_000_000  # of pictures, sounds and videos in one output
ELEMS_LIMIT: Final = 20  # of a message
MERGED_LIMIT: Final = 50  # messages of a merger
ELEMS_IN_ALL: Final = 600  # in one output, those of mergers included
BOX: Final = 198  # pixels of the longer side of a thumbnail


class Room:
    """The space that is left in one output for embedded content and for elems."""

    def __init__(self) -> None:
        self._bytes = EMBEDDED_BYTES
        self._elems = ELEMS_IN_ALL

    def takes(self, content: bytes) -> bool:
        """Reserve space for content; return False if there is none."""
        if len(content) > self._bytes:
            return False
        self._bytes -= len(content)
        return True

    def elems(self, wanted: int) -> int:
        """Reserve space for elems, and return their number."""
        given = min(wanted, self._elems)
        self._elems -= given
        return given


def elems_html(elems: tuple[AnyElem, ...], room: Room, depth: int = 0) -> Html:
    """Return all elems of a message, at most ELEMS_LIMIT."""
    count = room.elems(min(len(elems), ELEMS_LIMIT))
    shown = [elem_html(elem, room, depth) for elem in elems[:count]]
    if len(elems) > count:
        shown.append(soft(f"… {len(elems) - count} more elems"))
    return joined(*shown)


def elem_html(elem: Elem, room: Room, depth: int = 0) -> Html:
    """Return one elem; `depth` is the number of mergers around it."""
    match elem:
        case TextElem():
            return text_block(elem.text)
        case ImageElem():
            return _image(elem, room)
        case SoundElem():
            return _sound(elem, room)
        case VideoElem():
            return _video(elem, room)
        case FileElem():
            return card("📄", escaped(elem.filename or "file"), _size(_bytes_of(elem)))
        case MergerElem():
            return _merger(elem, room, depth)
        case FaceElem():
            return card("🙂", Html("sticker"), f"number {elem.index}")
        case LocationElem():
            return card("📍", escaped(elem.desc or "location"), f"{elem.latitude:.5f}, {elem.longitude:.5f}")
        case CustomElem():
            return card("🧩", escaped(elem.desc or "custom content"), _size(len(elem.data)))
        case GroupTipElem():
            return _line(_sentence("group", elem.type, elem.operator, elem.users), elem.reason)
        case GroupNoticeElem():
            return _line(_sentence(f"group {elem.group_id}", elem.type, elem.operator, elem.users), elem.text)
        case RelationElem():
            return _line(_sentence("relations", elem.type, "", elem.users), elem.wording)
        case UnknownElem():
            return card("❔", escaped(kind_of(elem)), f"unknown kind of elem, {_size(len(elem.content))}")
        case _:
            return escaped(kind_of(elem))


def _image(elem: ImageElem, room: Room) -> Html:
    source = next(sources_of(elem), None)
    original = elem.images.get(ImageType.ORIGINAL)
    facts = f"{original.width} × {original.height}, {_size(original.size)}" if original else "picture"
    if shown := _embedded(source, "image/", room):
        return Html(f'<img src="{shown}" alt="picture" title="{escaped(facts)}">')
    width, height = _box(original.width, original.height) if original else (BOX, BOX // 2)
    return _placeholder("🖼", facts, source, width, height)


def _sound(elem: SoundElem, room: Room) -> Html:
    source = next(sources_of(elem), None)
    facts = f"{elem.duration} s"
    if shown := _embedded(source, "audio/", room):
        return Html(f'<audio controls preload="none" src="{shown}"></audio>{soft(facts)}')
    return card("🔊", Html("voice message"), joined(facts, _size(elem.size), _why(source), by=", "))


def _video(elem: VideoElem, room: Room) -> Html:
    sources = list(sources_of(elem))
    film = sources[-1] if sources else None
    still = _embedded(sources[0], "image/", room) if len(sources) > 1 else Html("")
    facts = joined(f"{elem.duration} s", _size(elem.size), by=", ")
    if shown := _embedded(film, "video/", room):
        poster = f' poster="{still}"' if still else ""
        return Html(f'<video controls preload="none" src="{shown}"{poster}></video>{soft(facts)}')
    how = _why(film) or (Html("use await elem.download(…) to watch it") if elem.url else Html(""))
    picture = f'<img src="{still}" alt="still picture of the video">' if still else ""
    return Html(picture + card("🎬", Html("video"), joined(facts, how, by=", ")))


def _merger(elem: MergerElem, room: Room, depth: int) -> Html:
    head = joined("📚 ", escaped(elem.title or "merged messages"), " ", soft(f"{elem.count} messages"))
    messages = merged_messages(elem) if depth < MERGER_DEPTH else ()
    if not messages:
        lines = joined(*(f"<div>{escaped(line)}</div>" for line in elem.abstracts[:3]))
        return card("📚", escaped(elem.title or "merged messages"), joined(lines, f"{elem.count} messages"))
    rows = [merged_html(message, room, depth + 1) for message in messages[:MERGED_LIMIT]]
    if len(messages) > MERGED_LIMIT:
        rows.append(Html(f'<div class="t-more">… {len(messages) - MERGED_LIMIT} more messages</div>'))
    return Html(f"<details><summary>{head}</summary>{joined(*rows)}</details>")


def merged_html(message: MergedMessage, room: Room, depth: int) -> Html:
    """Return a message of a merger."""
    profile = message.sender_profile if isinstance(message, Message) else None
    by = joined(sender_html(message.sender, profile.nickname if profile else ""), time_of(message.timestamp), by=" · ")
    content = elems_html(message.elems, room, depth)
    return Html(f'<div class="t-row"><div class="t-by">{by}</div><div class="t-bubble">{content}</div></div>')


def sender_html(user: str, name: str) -> Html:
    """Return the name of a user with the id in brackets, or only the id."""
    return name_of(user) if not name or name == user else joined(name_of(name), f"({name_of(user)})", by=" ")


def _embedded(source: Source | None, kind: str, room: Room) -> Html:
    """Return the address of content inside the output; nothing if the content is not in memory, or is of another kind."""
    content = PREVIEWS.content(source) if source is not None else None
    if content is None:
        return Html("")
    found = content_kind(content)
    return data_url(found, content) if found.startswith(kind) and room.takes(content) else Html("")


def _placeholder(icon: str, facts: str, source: Source | None, width: int, height: int) -> Html:
    text = joined(f"{icon} {facts}", _why(source), by="<br>")
    return Html(f'<div class="t-box" style="width:{max(width, 120)}px;min-height:{max(height, 40)}px">{text}</div>')


def _why(source: Source | None) -> Html:
    """Return the reason why content is not shown, or nothing."""
    return escaped(PREVIEWS.failure(source)) if source is not None else Html("")


def _box(width: int, height: int) -> tuple[int, int]:
    longest = max(width, height, 1)
    scale = min(1.0, BOX / longest)
    return round(width * scale), round(height * scale)


def _size(size_bytes: int) -> str:
    for unit, name in ((1_000_000, "MB"), (1000, "KB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:,.1f} {name}"
    return f"{size_bytes} bytes" if size_bytes else ""


def _bytes_of(elem: FileElem) -> int:
    return elem.size or (len(elem.data) if isinstance(elem.data, bytes) else 0)


def _sentence(what: str, type: int, operator: str, users: tuple[str, ...]) -> Html:
    kind = getattr(type, "name", f"change {type}").replace("_", " ").lower()
    named = joined(*(name_of(user) for user in users[:5]), by=", ")
    more = f" and {len(users) - 5} more" if len(users) > 5 else ""
    return joined(
        f"{name_of(what)}: {escaped(kind)}", f"by {name_of(operator)}" if operator else "", f"{named}{more}", by=" · "
    )


def _line(sentence: Html, text: str) -> Html:
    return joined(f"<div>{sentence}</div>", text_block(text) if text else "")
