"""Inserting received messages: many rows by one statement, which reads them from JSON and a blob.

The sqlite3 module releases the GIL for each statement and must get it back from a busy event loop. Binding a value holds
the GIL, and a statement with many rows is prepared again for each number of rows. The statement here has two bound values
for any number of rows, and reads them while the event loop runs. docs/adr/0044-bulk-insert-from-json.md has the measurements.
"""

from __future__ import annotations

import sqlite3
import struct
from functools import cache
from zlib import adler32

import msgspec

from ..message import SenderMember, SenderProfile
from . import message_actions
from .checksums import CHECKSUM_BYTES, of_body, of_header
from .message_rows import packed, packed_mentions
from .types import IngestBatch, MessageRow


class HoldsNUL(Exception):
    """A text has a NUL character. SQLite would cut such a text off there when reading it from JSON."""


_OF_ALL = (
    *("seq", "msg_id", "sender", "timestamp", "is_self", "priority", "cloud_custom_data"),
    *("body", "profile", "member", "header_checksum"),
)
_OF_FEW = ("state", "quiet", "mentions", "calls", "receipt")  # most messages have the defaults
_BYTES = frozenset({"body", "profile", "member", "state"})  # the JSON has their offset and length in the blob
_OFFSET_BITS = 32  # the lower bits are the offset in the blob, the upper ones the length
_encode = msgspec.json.Encoder().encode


class _Blob:
    """Concatenated bytes of many rows. A profile or member that is the same object as the previous one is stored once."""

    def __init__(self) -> None:
        self._parts = [b"-"]  # SQLite's substr of an empty blob is NULL, also for a length of 0
        self._end = 2  # SQLite's offsets begin with 1
        self._profile: tuple[SenderProfile | None, int | None] = None, None
        self._member: tuple[SenderMember | None, int | None] = None, None

    def append(self, part: bytes) -> int:
        """Append bytes; return their offset and length in one number."""
        span = self._end | len(part) << _OFFSET_BITS
        self._parts.append(part)
        self._end += len(part)
        return span

    def profile(self, profile: SenderProfile | None) -> int | None:
        if profile is not self._profile[0]:
            encoded = packed(profile)
            self._profile = profile, self.append(encoded) if encoded is not None else None
        return self._profile[1]

    def member(self, member: SenderMember | None) -> int | None:
        if member is not self._member[0]:
            encoded = packed(member)
            self._member = member, self.append(encoded) if encoded is not None else None
        return self._member[1]

    def whole(self) -> bytes:
        return b"".join(self._parts)


def insert_all(connection: sqlite3.Connection, batch: IngestBatch) -> tuple[int, int]:
    """Insert the messages of a batch that have no row yet, by one statement.

    Returns:
        The number of new rows, and the local_id of the last one. The local_ids of the new rows are consecutive.

    Raises:
        HoldsNUL: A text has a NUL character; use `insert_each`.
    """
    few = any(item.state is not None or item.mentions or item.calls or item.requests or item.quiet for item in batch.incoming)
    blob = _Blob()
    rows: list[tuple[object, ...]] = []
    for item in batch.incoming:
        row = _of_all(item, blob.append(item.body), blob.profile(item.profile), blob.member(item.member))
        if few:
            state = _state(item)
            row += _of_few(item, blob.append(state) if state is not None else None)
        rows.append(row)
    text = _encode(rows)
    if b"\\u0000" in text:
        raise HoldsNUL
    # as of_body, without a call for each
    checksums = struct.pack(f">{len(batch.incoming)}I", *[adler32(item.body) for item in batch.incoming])
    values = {"type": batch.key.type, "peer": batch.key.peer, "live": batch.live, "rows": text.decode(), "blob": blob.whole()}
    values["checksums"] = checksums
    cursor = connection.execute(_insert_all(few=few), values)
    return cursor.rowcount, cursor.lastrowid or 0


def insert_each(connection: sqlite3.Connection, batch: IngestBatch) -> tuple[int, int]:
    """Insert the messages of a batch that have no row yet, by one statement each; see `insert_all`."""
    count, last = 0, 0
    for item in batch.incoming:
        row = _of_all(item, item.body, packed(item.profile), packed(item.member)) + _of_few(item, _state(item))
        cursor = connection.execute(_INSERT, (*batch.key, batch.live, row[0], of_body(item.body), *row))
        if cursor.rowcount:
            count, last = count + 1, cursor.lastrowid or 0
    return count, last


def _of_all(item: MessageRow, body: object, profile: object, member: object) -> tuple[object, ...]:
    return (
        item.seq,
        item.msg_id,
        item.sender,
        item.timestamp,
        item.is_self,
        item.priority,
        item.cloud_custom_data,
        body,
        profile,
        member,
        of_header(item.sender, item.timestamp, item.is_self, item.cloud_custom_data),
    )


def _of_few(item: MessageRow, state: object) -> tuple[object, ...]:
    recalled = item.state is not None and item.state.recall_seq > 0
    return state, item.quiet | recalled, packed_mentions(item.mentions), item.calls, item.requests


def _state(item: MessageRow) -> bytes | None:
    return message_actions.packed_state(item.state) if item.state is not None else None


def _into(columns: tuple[str, ...]) -> str:
    return f"INSERT INTO messages(type,peer,thrown,status,position,checksum,{','.join(columns)})"


@cache
def _insert_all(*, few: bool) -> str:
    columns = _OF_ALL + _OF_FEW * few
    read = ",".join(["key", *(f"json_extract(value,'$[{i}]') AS v{i}" for i in range(len(columns)))])
    span = f"v{{0}}&{(1 << _OFFSET_BITS) - 1},v{{0}}>>{_OFFSET_BITS}"
    values = [f"substr(:blob,{span.format(i)})" if name in _BYTES else f"v{i}" for i, name in enumerate(columns)]
    # materialized, so that each value is read from the JSON once, also if it is used twice
    rows = f"WITH r AS MATERIALIZED (SELECT {read} FROM json_each(:rows))"
    first = f":type,:peer,:live,2,v0,substr(:checksums,key*{CHECKSUM_BYTES}+1,{CHECKSUM_BYTES})"
    return f"{_into(columns)} {rows} SELECT {first},{','.join(values)} FROM r WHERE true ON CONFLICT DO NOTHING"


_VALUES = ",".join("?" * len(_OF_ALL + _OF_FEW))
_INSERT = f"{_into(_OF_ALL + _OF_FEW)} VALUES(?,?,?,2,?,?,{_VALUES}) ON CONFLICT DO NOTHING"
