"""The full-text index of the local store: an FTS5 table, and the conversion of texts and queries to its words.

The index has exactly the rows up to `indexing.last`. A search first indexes the newer rows, in batches, so that storing a
message does not pay for the index. Triggers keep indexed rows up to date: a row and its words are changed or deleted by
one statement. A local_id that is used again must be above `indexing.last`; otherwise its row would never be indexed. The
index stores words, not texts: removing a text derives its words again, so `indexed_text` must not change without a new
number of the rules in `folding.py`: `follow_rules` then empties the index, and the next search makes it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..elems import ELEM_TYPES, AnyElem
from ..errors import InvalidArgument
from ..ids import ConversationKey
from ..protocol.searchable import parse_query, readable_text, searchable_elems
from ..util.folding import RULES, alternatives, folded

BATCH_ROWS = 2000  # rows indexed in one transaction, which delays the storing of messages by about 30 ms
# the type of each elem of a message is indexed as a character of Unicode's private use area, which users do not type
_KIND_SIGNS = {kind.wire_type: chr(0xE000 + kind.search_number) for kind in ELEM_TYPES if kind.search_number}


def register(connection: sqlite3.Connection) -> None:
    """Register on a writing connection the SQL function that the triggers call."""
    connection.create_function("timim_words", 1, indexed_text, deterministic=True)


def follow_rules(connection: sqlite3.Connection) -> None:
    """Empty the index if it was made by other rules of folding; the next search makes it again."""
    (rules,) = connection.execute("SELECT rules FROM indexing").fetchone()
    if rules != RULES:
        connection.execute("INSERT INTO words(words) VALUES('delete-all')")
        connection.execute("UPDATE indexing SET last=0, rules=?", (RULES,))


def indexed_text(body: bytes) -> str:
    """Return the text to index for a `MsgBody`: the characters of its elems' types, then its words."""
    members = searchable_elems(body)
    signs = " ".join(_KIND_SIGNS.get(member.kind, "") for member in members)
    return f"{signs} {folded(readable_text(members))}"


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search for messages with all of `words` and, if given, an elem of one of `kinds`.

    Attributes:
        words: Words that a message must have.
        kinds: Elem types, one of which a message must have; empty for any.
        key: The conversation; None for all.
        sender: The sender's user id; empty for any.
        since: Server seconds, inclusive.
        until: Server seconds, inclusive.
        deleted: Also find deleted messages.
        after: The timestamp and local_id of the last message of the previous page, or None for the first page.
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
        """Return the FTS5 MATCH expression. Each word is a quoted phrase, so that user input is never an operator."""
        wanted = [_phrase(word) for word in self.words]
        if self.kinds:
            wanted.append(f"({' OR '.join(_quoted(_KIND_SIGNS[kind.wire_type]) for kind in self.kinds)})")
        return " AND ".join(wanted)

    def where(self) -> tuple[str, list[Any]]:
        """Return the SQL conditions on the row, and their values."""
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


def elem_types(elems: ElemTypes) -> tuple[type[AnyElem], ...]:
    """Return the elem types to search for. Raises InvalidArgument for a type that cannot be searched."""
    kinds = (elems,) if isinstance(elems, type) else tuple(elems)
    for kind in kinds:
        if kind not in ELEM_TYPES or not kind.search_number:
            raise InvalidArgument(f"elem= must be a searchable elem type such as FileElem, not {kind!r}")
    return kinds


def _phrase(word: str) -> str:
    """Return the FTS5 expression of one word; a trailing star makes it a prefix search."""
    begins = word.endswith("*") and word.strip("*") != ""
    phrases = [f"{_quoted(part)}{' *' if begins else ''}" for part in alternatives(word.rstrip("*") if begins else word)]
    return phrases[0] if len(phrases) == 1 else f"({' OR '.join(phrases)})"


def _quoted(text: str) -> str:
    quoted = text.replace('"', '""').replace("\0", " ")
    return f'"{quoted}"'


def search(connection: sqlite3.Connection, query: SearchQuery, limit: int) -> list[tuple[int, int]]:
    """Return the timestamp and local_id of the newest `limit` rows that match; both are the row's sort key."""
    where, values = query.where()
    rows: list[tuple[int, int]] = connection.execute(
        "SELECT m.timestamp, m.local_id FROM words w JOIN messages m ON m.local_id=w.rowid"
        f" WHERE w.words MATCH ? AND {where} ORDER BY m.timestamp DESC, m.local_id DESC LIMIT ?",
        (query.match(), *values, limit),
    ).fetchall()
    return rows


def unindexed(connection: sqlite3.Connection) -> bool:
    """Return whether some rows are not indexed yet."""
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
    "follow_rules",
    "index_more",
    "indexed_text",
    "parse_query",
    "register",
    "search",
    "unindexed",
]
