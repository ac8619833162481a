"""The index of the words in the local store: an FTS5 table beside the rows, and how text and questions become its words.

The index holds exactly the rows up to `indexing.last`. A search first indexes what came since, in batches: storing a
message costs nothing, and who never searches never pays. Triggers keep what is in it: a row and its words change or go in
one statement, whoever changes it. A local_id that is free again is above `indexing.last`, or it would be taken for
indexed. The index keeps words, not texts: a text is taken out by deriving its words again, so `indexed_text` must not
change without a schema step.

Chinese, Japanese and Korean have no spaces between words: each character is a word here, and a word of a question is a
phrase of such words. So a question finds any run of characters, also of one or two.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ..elems import ELEM_TYPES, SEARCHED_MEMBERS, AnyElem
from ..errors import InvalidArgument
from ..ids import ConversationKey

BATCH_ROWS = 2000  # indexed in one transaction: messages that come meanwhile wait some 30 ms
WORDS_LIMIT = 32  # of one question
QUESTION_LIMIT = 1000  # characters; a longer one is a paste by mistake
# a sign before the words for each kind of elem in a message: of Unicode's private use, which nobody types
_KIND_SIGNS = {kind.wire_type: chr(0xE000 + kind.search_number) for kind in ELEM_TYPES if kind.search_number}
_PRIVATE = re.compile("[\ue000-\uf8ff]")
# runs of signs that are words of their own: CJK, kana, Hangul, and pictures (which people search for as they send them)
_CJK_RUN = re.compile(
    "[\u2600-\u27bf\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u3105-\u312f\u3131-\u318e\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7a3\ud7b0-\ud7ff\uf900-\ufaff"
    "\U0001f000-\U0001faff\U00020000-\U0003ffff]+"
)


class _SearchableContent(msgspec.Struct):
    text: str = msgspec.field(name="Text", default="")
    desc: str = msgspec.field(name="Desc", default="")
    file_name: str = msgspec.field(name="FileName", default="")
    title: str = msgspec.field(name="Title", default="")


class _SearchableElem(msgspec.Struct):
    kind: str = msgspec.field(name="MsgType", default="")
    content: _SearchableContent = msgspec.field(name="MsgContent", default_factory=_SearchableContent)


_members = msgspec.json.Decoder(list[_SearchableElem])
_anything = msgspec.json.Decoder()


def register(connection: sqlite3.Connection) -> None:
    """Give a connection that writes the function that the triggers call."""
    connection.create_function("timim_words", 1, indexed_text, deterministic=True)


def indexed_text(body: bytes) -> str:
    """The words of a `MsgBody` as the index takes them, behind the signs of its elems' types."""
    members = _decoded(body)
    signs = " ".join(_KIND_SIGNS.get(member.kind, "") for member in members)
    return f"{signs} {spaced(_readable(members))}"


def _readable(members: Sequence[_SearchableElem]) -> str:
    """What can be read: texts, descriptions of custom elems and places, file names, titles of mergers."""
    parts: list[str] = []
    for member in members:
        content = member.content
        parts += (part for part in (content.text, content.desc, content.file_name, content.title) if part)
    return "\n".join(parts)


def spaced(text: str) -> str:
    """With a space around each sign that is a word of its own; full-width letters as plain ones."""
    if text.isascii():
        return text
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return _CJK_RUN.sub(_apart, _PRIVATE.sub(" ", text))


def _apart(run: re.Match[str]) -> str:
    return f" {' '.join(run[0])} "


def _decoded(body: bytes) -> list[_SearchableElem]:
    try:
        return _members.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decoded_loosely(body)


def _decoded_loosely(body: bytes) -> list[_SearchableElem]:
    """A body of which some field is not what its name promises: the rest of it can be found all the same."""
    try:
        members = _anything.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    found: list[_SearchableElem] = []
    for member in members if isinstance(members, list) else []:
        if isinstance(member, dict) and isinstance(kind := member.get("MsgType"), str):
            content = member.get("MsgContent")
            fields = content if isinstance(content, dict) else {}
            texts = [value if isinstance(value := fields.get(name), str) else "" for name in SEARCHED_MEMBERS]
            found.append(_SearchableElem(kind, _SearchableContent(*texts)))
    return found


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is looked for: all of `words`, elems of one of `kinds`; `since` and `until` are server seconds, both included.

    `after`: the key of the last message of the page before, None for the first page.
    """

    words: tuple[str, ...]
    kinds: tuple[type[AnyElem], ...] = ()
    key: ConversationKey | None = None
    sender: str = ""
    since: float | None = None
    until: float | None = None
    deleted: bool = False
    after: tuple[int, int] | None = None

    def match(self) -> str:
        """In FTS5's language. Every word is a quoted phrase: nothing that a user types is an operator."""
        wanted = [_phrase(word) for word in self.words]
        if self.kinds:
            wanted.append(f"({' OR '.join(_quoted(_KIND_SIGNS[kind.wire_type]) for kind in self.kinds)})")
        return " AND ".join(wanted)

    def where(self) -> tuple[str, list[Any]]:
        """The conditions that are on the row."""
        conditions, values = ["1"], []
        if not self.deleted:
            conditions.append("m.status<>4")
        for condition, value in (
            ("m.sender=?", self.sender or None),
            ("m.timestamp>=?", self.since),
            ("m.timestamp<=?", self.until),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        if self.key is not None:
            conditions.append("m.type=? AND m.peer=?")
            values += self.key
        if self.after is not None:
            conditions.append("(m.timestamp, m.local_id)<(?,?)")
            values += self.after
        return " AND ".join(conditions), values


ElemTypes = type[AnyElem] | Sequence[type[AnyElem]]
"""One type of elem, or several."""


def parse_query(text: str) -> tuple[str, ...]:
    """The words of what a user typed. Raises InvalidArgument when it has none that could be found."""
    if not isinstance(text, str):
        raise InvalidArgument(f"search for a string, not {type(text).__name__}")
    if len(text) > QUESTION_LIMIT:
        raise InvalidArgument(f"a search has at most {QUESTION_LIMIT} characters, this one has {len(text)}")
    words = tuple(
        word for word in text.split() if any(unicodedata.category(sign)[0] in "LN" or _CJK_RUN.match(sign) for sign in word)
    )
    if not words:
        raise InvalidArgument("there is nothing to search for: give at least one letter, digit or character")
    if len(words) > WORDS_LIMIT:
        raise InvalidArgument(f"a search has at most {WORDS_LIMIT} words, this one has {len(words)}")
    return words


def elem_types(elems: ElemTypes) -> tuple[type[AnyElem], ...]:
    """The types of elems to look for. Raises InvalidArgument for what is none."""
    kinds = (elems,) if isinstance(elems, type) else tuple(elems)
    for kind in kinds:
        if kind not in ELEM_TYPES or not kind.search_number:
            raise InvalidArgument(f"elem= takes types of elems that can be searched for, like FileElem, not {kind!r}")
    return kinds


def word_pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern that finds these words in a text as the index does; None of them: one that finds nothing."""
    patterns = [r"\s*".join(map(re.escape, spaced(word.rstrip("*") or word).split())) for word in words]
    return re.compile("|".join(sorted(patterns, key=len, reverse=True)) or "(?!)", re.IGNORECASE)


def _phrase(word: str) -> str:
    """One word: the run of signs and letters that it is; with a star at its end, all words that begin like it."""
    begins = word.endswith("*") and word.strip("*") != ""
    return f"{_quoted(spaced(word.rstrip('*') if begins else word))}{' *' if begins else ''}"


def _quoted(text: str) -> str:
    quoted = text.replace('"', '""').replace("\0", " ")
    return f'"{quoted}"'


def search(connection: sqlite3.Connection, query: SearchQuery, limit: int) -> list[tuple[int, int]]:
    """The newest `limit` rows that match: each one's time and local_id, which is also its place among the results."""
    where, values = query.where()
    rows: list[tuple[int, int]] = connection.execute(
        "SELECT m.timestamp, m.local_id FROM words w JOIN messages m ON m.local_id=w.rowid"
        f" WHERE w.words MATCH ? AND {where} ORDER BY m.timestamp DESC, m.local_id DESC LIMIT ?",
        (query.match(), *values, limit),
    ).fetchall()
    return rows


def unindexed(connection: sqlite3.Connection) -> bool:
    """Whether there are rows that the index has not."""
    sql = "SELECT coalesce((SELECT max(local_id) FROM messages), 0) > (SELECT last FROM indexing)"
    return bool(connection.execute(sql).fetchone()[0])


def index_more(connection: sqlite3.Connection) -> None:
    """Index the next rows, at most BATCH_ROWS."""
    (last,) = connection.execute(
        "SELECT coalesce(max(local_id), (SELECT last FROM indexing)) FROM"
        " (SELECT local_id FROM messages WHERE local_id > (SELECT last FROM indexing) ORDER BY local_id LIMIT ?)",
        (BATCH_ROWS,),
    ).fetchone()
    connection.execute(
        "INSERT INTO words(rowid, text) SELECT local_id, timim_words(body) FROM messages"
        " WHERE local_id > (SELECT last FROM indexing) AND local_id <= ? ORDER BY local_id",
        (last,),
    )
    connection.execute("UPDATE indexing SET last=?", (last,))


__all__ = [
    "SearchQuery",
    "elem_types",
    "index_more",
    "indexed_text",
    "parse_query",
    "register",
    "search",
    "spaced",
    "unindexed",
    "word_pattern",
]
