"""What others said, as rows of the local store: many messages by one statement, which reads them from JSON and a blob.

SQLite gives the interpreter away for each statement, and has to win it back from a busy loop; each value that is bound to one
holds it, and a statement of many rows is prepared anew for each number of them. Here two values are bound, one statement takes
any number of rows from them, and reads them while the loop goes on. docs/decisions.md has what was measured.
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


class HoldsNUL(Exception):
    """A text holds NUL, at which SQLite ends a text that it reads from JSON."""


class _Row(msgspec.Struct, array_like=True, gc=False):
    """The columns of a row, but for those of its batch; of bytes, where they stand in the blob, by `_BYTES`."""

    seq: int
    msg_id: str
    sender: str
    timestamp: int
    is_self: bool
    priority: str
    cloud_custom_data: str
    body: int
    profile: int | None
    member: int | None


class _FullRow(_Row, array_like=True, gc=False):
    """With those that most messages have as they are by default."""

    state: int | None
    quiet: bool
    mentions: str
    calls: bool
    receipt: bool


_BYTES = frozenset({"body", "profile", "member", "state"})
_PLACE_BITS = 32  # of a place in the blob; its length stands above them
_encode = msgspec.json.Encoder().encode


class _Blob:
    """Bytes after each other; what is said again by the same object stands there once."""

    def __init__(self) -> None:
        self._parts = [b"-"]  # SQLite takes nothing of an empty blob, not even nothing
        self._end = 2  # it counts from 1
        self._profile: tuple[SenderProfile | None, int | None] = None, None
        self._member: tuple[SenderMember | None, int | None] = None, None

    def place(self, part: bytes) -> int:
        """Where it stands now."""
        at = self._end | len(part) << _PLACE_BITS
        self._parts.append(part)
        self._end += len(part)
        return at

    def profile(self, profile: SenderProfile | None) -> int | None:
        if profile is not self._profile[0]:
            said = packed(profile)
            self._profile = profile, self.place(said) if said is not None else None
        return self._profile[1]

    def member(self, member: SenderMember | None) -> int | None:
        if member is not self._member[0]:
            said = packed(member)
            self._member = member, self.place(said) if said is not None else None
        return self._member[1]

    def whole(self) -> bytes:
        return b"".join(self._parts)


def insert_all(connection: sqlite3.Connection, batch: Batch) -> tuple[int, int]:
    """Insert what is not here yet; how many that is, and the last one's local_id: they follow each other. Raises HoldsNUL."""
    full = any(item.state is not None or item.mentions or item.calls or item.receipt for item in batch.incoming)
    blob = _Blob()
    rows = _encode([_full_row(item, blob) if full else _row(item, blob) for item in batch.incoming])
    if b"\\u0000" in rows:
        raise HoldsNUL
    values = (*batch.key, batch.live, rows.decode(), blob.whole())
    cursor = connection.execute(_insert_all(_FullRow if full else _Row), values)
    return cursor.rowcount, cursor.lastrowid or 0


def insert_each(connection: sqlite3.Connection, batch: Batch) -> tuple[int, int]:
    """The same for any messages, by a statement each."""
    count, last = 0, 0
    for item in batch.incoming:
        cursor = connection.execute(_INSERT, (*batch.key, batch.live, *_values(item)))
        if cursor.rowcount:
            count, last = count + 1, cursor.lastrowid or 0
    return count, last


def _row(item: Incoming, blob: _Blob) -> _Row:
    return _Row(
        item.seq,
        item.msg_id,
        item.sender,
        item.timestamp,
        item.is_self,
        item.priority,
        item.cloud_custom_data,
        blob.place(item.body),
        blob.profile(item.profile),
        blob.member(item.member),
    )


def _full_row(item: Incoming, blob: _Blob) -> _FullRow:
    row, state = _row(item, blob), _state(item)
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
        blob.place(state) if state is not None else None,
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
    for i, name in enumerate(row.__struct_fields__):
        if name in _BYTES:
            values[i] = f"substr(?5,{values[i]}&{(1 << _PLACE_BITS) - 1},{values[i]}>>{_PLACE_BITS})"
    rows = f"SELECT ?1,?2,?3,2,{values[0]},{','.join(values)} FROM json_each(?4) WHERE true"
    return f"INSERT INTO {_columns(row)} {rows} ON CONFLICT DO NOTHING"


_PLACES = ",".join(f"?{i + 4}" for i in range(len(_FullRow.__struct_fields__)))
_INSERT = f"INSERT INTO {_columns(_FullRow)} VALUES(?1,?2,?3,2,?4,{_PLACES}) ON CONFLICT DO NOTHING"
