"""What others said, as rows of the local store: many messages by one statement, as JSON.

SQLite gives the interpreter away for each statement, and has to win it back from a busy loop; each value that is bound to one
holds it, and a statement of many rows is prepared anew for each number of them. A text is one value, one statement takes any
number of rows from it, and reads it while the loop goes on. docs/decisions.md has what was measured.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any

import msgspec

from . import act_rows
from .message import SenderMember, SenderProfile
from .message_rows import packed, packed_mentions
from .records import Batch, Incoming


class NotAsJSON(Exception):
    """A message holds NUL, at which SQLite ends a text that it reads from JSON, or bytes that are no UTF-8."""


class _Row(msgspec.Struct, array_like=True, gc=False):
    """The values of a row, but for those of its batch."""

    seq: int
    msg_id: str
    sender: str
    timestamp: int
    is_self: bool
    priority: str
    cloud_custom_data: str
    body: str
    profile: SenderProfile | None
    member: SenderMember | None


class _FullRow(_Row, array_like=True, gc=False):
    """With those that most messages have as they are by default."""

    state: str | None
    quiet: bool
    mentions: str
    calls: bool
    receipt: bool


_BLOBS = frozenset({"body", "profile", "member", "state"})
_encode = msgspec.json.Encoder().encode


def insert_all(connection: sqlite3.Connection, batch: Batch) -> tuple[int, int]:
    """Insert what is not here yet; how many that is, and the last one's local_id: they follow each other. Raises NotAsJSON."""
    full = any(item.state is not None or item.mentions or item.receipt for item in batch.incoming)
    try:
        rows = _encode([_full_row(item) if full else _row(item) for item in batch.incoming])
    except UnicodeDecodeError:
        raise NotAsJSON from None
    if b"\\u0000" in rows:
        raise NotAsJSON
    cursor = connection.execute(_insert_all(_FullRow if full else _Row), (*batch.key, batch.live, rows.decode()))
    return cursor.rowcount, cursor.lastrowid or 0


def insert_each(connection: sqlite3.Connection, batch: Batch) -> tuple[int, int]:
    """The same for any messages, by a statement each."""
    count, last = 0, 0
    for item in batch.incoming:
        cursor = connection.execute(_INSERT, (*batch.key, batch.live, *_values(item)))
        if cursor.rowcount:
            count, last = count + 1, cursor.lastrowid or 0
    return count, last


def _row(item: Incoming) -> _Row:
    return _Row(
        item.seq,
        item.msg_id,
        item.sender,
        item.timestamp,
        item.is_self,
        item.priority,
        item.cloud_custom_data,
        str(item.body, "utf-8"),
        item.profile,
        item.member,
    )


def _full_row(item: Incoming) -> _FullRow:
    row, state = _row(item), _state(item)
    return _FullRow(
        row.seq,
        row.msg_id,
        row.sender,
        row.timestamp,
        row.is_self,
        row.priority,
        row.cloud_custom_data,
        row.body,
        row.profile,
        row.member,
        str(state, "utf-8") if state is not None else None,
        *_rest(item),
    )


def _values(item: Incoming) -> tuple[Any, ...]:
    return (
        item.seq,
        item.msg_id,
        item.sender,
        item.timestamp,
        item.is_self,
        item.priority,
        item.cloud_custom_data,
        item.body,
        packed(item.profile),
        packed(item.member),
        _state(item),
        *_rest(item),
    )


def _state(item: Incoming) -> bytes | None:
    return act_rows.packed_state(item.state) if item.state is not None else None


def _rest(item: Incoming) -> tuple[bool, str, bool, bool]:
    recalled = item.state is not None and item.state.recall_seq > 0
    return recalled, packed_mentions(item.mentions), item.calls, item.receipt


def _columns(row: type[_Row]) -> str:
    return f"messages(type,peer,thrown,status,position,{','.join(row.__struct_fields__)})"


@cache
def _insert_all(row: type[_Row]) -> str:
    values = [f"json_extract(value,'$[{i}]')" for i in range(len(row.__struct_fields__))]
    values = [f"CAST({v} AS BLOB)" if name in _BLOBS else v for name, v in zip(row.__struct_fields__, values, strict=True)]
    rows = f"SELECT ?1,?2,?3,2,{values[0]},{','.join(values)} FROM json_each(?4) WHERE true"
    return f"INSERT INTO {_columns(row)} {rows} ON CONFLICT DO NOTHING"


_PLACES = ",".join(f"?{i + 4}" for i in range(len(_FullRow.__struct_fields__)))
_INSERT = f"INSERT INTO {_columns(_FullRow)} VALUES(?1,?2,?3,2,?4,{_PLACES}) ON CONFLICT DO NOTHING"
