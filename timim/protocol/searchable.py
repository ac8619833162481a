"""The text of a message that a search reads, and the words of a query. The local store and the server search alike."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ..elems import SEARCHED_MEMBERS
from ..errors import InvalidArgument
from ..util.folding import has_words

WORDS_LIMIT = 32  # words of a query
QUERY_LIMIT = 1000  # characters of a query; a longer one was pasted by mistake


class SearchableContent(msgspec.Struct):
    """The members of a `MsgContent` that a search reads."""

    text: str = msgspec.field(name="Text", default="")
    desc: str = msgspec.field(name="Desc", default="")
    file_name: str = msgspec.field(name="FileName", default="")
    title: str = msgspec.field(name="Title", default="")


class SearchableElem(msgspec.Struct):
    """A member of a `MsgBody`, as a search reads it."""

    kind: str = msgspec.field(name="MsgType", default="")
    content: SearchableContent = msgspec.field(name="MsgContent", default_factory=SearchableContent)


_members = msgspec.json.Decoder(list[SearchableElem])
_anything = msgspec.json.Decoder()


def readable_text(members: Sequence[SearchableElem]) -> str:
    """Return the searchable text: texts, descriptions of custom elems and locations, file names, titles of mergers."""
    parts: list[str] = []
    for member in members:
        content = member.content
        parts += (part for part in (content.text, content.desc, content.file_name, content.title) if part)
    return "\n".join(parts)


def searchable_elems(body: bytes) -> list[SearchableElem]:
    """Return the members of a `MsgBody`; an empty list for a body that is no list of elems."""
    try:
        return _members.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decoded_loosely(body)


def _decoded_loosely(body: bytes) -> list[SearchableElem]:
    """Decode a body that has fields of unexpected types, which are left empty, so that a search finds its other fields."""
    try:
        members = _anything.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    found: list[SearchableElem] = []
    for member in members if isinstance(members, list) else []:
        if isinstance(member, dict) and isinstance(kind := member.get("MsgType"), str):
            content = member.get("MsgContent")
            fields = content if isinstance(content, dict) else {}
            texts = [value if isinstance(value := fields.get(name), str) else "" for name in SEARCHED_MEMBERS]
            found.append(SearchableElem(kind, SearchableContent(*texts)))
    return found


def parse_query(text: str) -> tuple[str, ...]:
    """Return the words of a user's query. Raises InvalidArgument if the query is too long or has no searchable word."""
    if not isinstance(text, str):
        raise InvalidArgument(f"the words of a search must be a string, not {type(text).__name__}")
    if len(text) > QUERY_LIMIT:
        raise InvalidArgument(f"a search has at most {QUERY_LIMIT} characters; this one has {len(text)}")
    words = tuple(word for word in text.split() if has_words(word))
    if not words:
        raise InvalidArgument("the search has no words; give at least one letter, digit or character")
    if len(words) > WORDS_LIMIT:
        raise InvalidArgument(f"a search has at most {WORDS_LIMIT} words; this one has {len(words)}")
    return words
