"""Writing many messages by one statement, which reads them from JSON and a blob: received ones, sent ones and their acks.

The sqlite3 module releases the GIL for each statement and must get it back from a busy event loop. Binding a value holds
the GIL, and a statement with many rows is prepared again for each number of rows. The statements here have the same few
values for any number of rows, and read the rows while the event loop runs. docs/adr/0044-bulk-insert-from-json.md and
docs/adr/0081-messages-on-their-way-without-a-sync.md have the measurements.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from functools import cache
from zlib import adler32

import msgspec

from ..ids import ConversationKey
from ..message import Priority, SenderMember, SenderProfile
from . import message_actions
from .checksums import CHECKSUM_BYTES, TIME_LIMIT, of_body, of_header
from .message_rows import packed, packed_mentions
from .requests import packed_requests
from .types import Ack, IngestBatch, MessageRow, Outgoing


class HoldsNUL(Exception):
    """A text has a NUL character. SQLite would cut such a text off there when reading it from JSON."""


_OF_ALL = (
    *("seq", "msg_id", "sender", "timestamp", "is_self", "priority", "cloud_custom_data"),
    *("body", "profile", "member", "header_checksum"),
)
_OF_FEW = ("state", "quiet", "mentions", "calls", "receipt")  # most messages have the defaults
_BYTES = frozenset({"body", "profile", "member", "state"})  # the JSON has their offset and length in the blob
_OFFSET_BITS = 32  # the lower bits are the offset in the blob, the upper ones the length
_SPAN = f"{{0}}&{(1 << _OFFSET_BITS) - 1},{{0}}>>{_OFFSET_BITS}"
_encode = msgspec.json.Encoder().encode


def _rows(count: int) -> str:
    """Return the table `r` of the rows in the JSON `:rows`, with their numbers in `key`, and their values in `v0` and so on.

    It is materialized, so that each value is read from the JSON once, also if it is used twice.
    """
    read = ",".join(["key", *(f"json_extract(value,'$[{i}]') AS v{i}" for i in range(count))])
    return f"WITH r AS MATERIALIZED (SELECT {read} FROM json_each(:rows))"


_INSERT_PLAIN = (
    "INSERT INTO messages(local_id, type, peer, position, msg_id, sender, timestamp, status, is_self, priority, body,"
    f" cloud_custom_data, checksum, header_checksum, unsent, mentions, receipt, started) {_rows(3)}"
    f" SELECT :first+key, :type, :peer, :position, v0, :sender, v1, 1, 1, :priority, substr(:blob,{_SPAN.format('v2')}), '',"
    f" substr(:checksums,key*{CHECKSUM_BYTES}+1,{CHECKSUM_BYTES}), :header+v1, 1, '', 0, :started FROM r WHERE true"
)
_SETTLE_PLAIN = (
    f"{_rows(4)} UPDATE messages SET seq=v2, position=v2, header_checksum=header_checksum-timestamp+v3, timestamp=v3,"
    " unsent=0, error_code=0, error_info='', profile=coalesce(:profile, profile), member=coalesce(:member, member),"
    " status=CASE WHEN status=4 THEN 4 ELSE 2 END FROM r WHERE local_id=v0 AND msg_id=v1 RETURNING msg_id, local_id, status"
)


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
    blob = _Blob()
    few, alike = False, True
    common = _common(batch.incoming[0])
    for item in batch.incoming:
        few = few or item.state is not None or bool(item.mentions or item.calls or item.requests or item.quiet)
        alike = alike and _common(item) == common and -TIME_LIMIT < item.timestamp < TIME_LIMIT
    if few or not alike:
        statement, values = _insert_all(few=few), {}
        rows = [_row(item, blob, few=few) for item in batch.incoming]
    else:
        statement, values = _INSERT_ALIKE, _of_alike(batch.incoming[0])
        rows = [(item.seq, item.msg_id, item.timestamp, blob.append(item.body)) for item in batch.incoming]
    text = _encode(rows)
    if b"\\u0000" in text:
        raise HoldsNUL
    # as of_body, without a call for each
    checksums = struct.pack(f">{len(rows)}I", *[adler32(item.body) for item in batch.incoming])
    values |= {"type": batch.key.type, "peer": batch.key.peer, "live": batch.live, "rows": text.decode(), "blob": blob.whole()}
    values["checksums"] = checksums
    cursor = connection.execute(statement, values)
    return cursor.rowcount, cursor.lastrowid or 0


def _common(item: MessageRow) -> tuple[object, ...]:
    """Return the values that the messages of one user have in common, the time apart."""
    return item.sender, item.is_self, item.priority, item.cloud_custom_data, item.profile, item.member


def _of_alike(item: MessageRow) -> dict[str, object]:
    """Return the values of `_INSERT_ALIKE` that are equal for all messages."""
    header = of_header(item.sender, 0, item.is_self, item.cloud_custom_data)
    values = {"sender": item.sender, "is_self": item.is_self, "priority": item.priority, "header": header}
    return values | {"cloud": item.cloud_custom_data, "profile": packed(item.profile), "member": packed(item.member)}


def _row(item: MessageRow, blob: _Blob, *, few: bool) -> tuple[object, ...]:
    row = _of_all(item, blob.append(item.body), blob.profile(item.profile), blob.member(item.member))
    if not few:
        return row
    state = _state(item)
    return row + _of_few(item, blob.append(state) if state is not None else None)


def insert_outgoing(
    connection: sqlite3.Connection, key: ConversationKey, position: int, first_id: int, outgoing: Sequence[Outgoing]
) -> bool:
    """Insert messages of one conversation that are being sent; return False, with nothing done, if one is not plain.

    A plain message has defaults for all but its elems. The messages get consecutive local_ids from `first_id` on.
    """
    blob, rows, checksums = _Blob(), [], []
    sender, started = outgoing[0].message.sender, outgoing[0].noted
    for one in outgoing:
        message = one.message
        if (
            message.cloud_custom_data
            or message.mentions
            or packed_requests(message)
            or message.priority is not Priority.NORMAL
            or one.noted is not started
        ):
            return False
        rows.append((message.msg_id, message.timestamp, blob.append(one.row_body)))
        checksums.append(adler32(one.row_body))
    values = {"first": first_id, "type": key.type, "peer": key.peer, "position": position, "sender": sender, "started": started}
    values |= {"priority": Priority.NORMAL.value, "header": of_header(sender, 0, True, ""), "rows": _encode(rows).decode()}
    values |= {"blob": blob.whole(), "checksums": struct.pack(f">{len(rows)}I", *checksums)}
    connection.execute(_INSERT_PLAIN, values)
    return True


def settle_all(connection: sqlite3.Connection, acks: Sequence[Ack]) -> list[tuple[str, int, int]] | None:
    """Set the seqs of acked rows; return msg_id, local_id and status of each, or None, with nothing done, if one is not plain.

    The rows of plain acks have the body that was sent, and all have the same sender.

    Raises:
        IntegrityError: A push has stored one of the messages; nothing is done.
    """
    profile, member = acks[0].profile, acks[0].member
    rows: list[tuple[int, str, int, int]] = []
    for ack in acks:
        if (
            ack.body is not None
            or ack.profile != profile
            or ack.member != member
            or not -TIME_LIMIT < ack.timestamp < TIME_LIMIT
        ):
            return None
        rows.append((ack.local_id, ack.msg_id, ack.seq, ack.timestamp))
    values = {"rows": _encode(rows).decode(), "profile": packed(profile), "member": packed(member)}
    return connection.execute(_SETTLE_PLAIN, values).fetchall()


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
    values = [f"substr(:blob,{_SPAN.format(f'v{i}')})" if name in _BYTES else f"v{i}" for i, name in enumerate(columns)]
    first = f":type,:peer,:live,2,v0,substr(:checksums,key*{CHECKSUM_BYTES}+1,{CHECKSUM_BYTES})"
    return f"{_into(columns)} {_rows(len(columns))} SELECT {first},{','.join(values)} FROM r WHERE true ON CONFLICT DO NOTHING"


_INSERT_ALIKE = (
    f"{_into(_OF_ALL)} {_rows(4)} SELECT :type,:peer,:live,2,v0,substr(:checksums,key*{CHECKSUM_BYTES}+1,{CHECKSUM_BYTES}),"
    f"v0,v1,:sender,v2,:is_self,:priority,:cloud,substr(:blob,{_SPAN.format('v3')}),:profile,:member,:header+v2"
    " FROM r WHERE true ON CONFLICT DO NOTHING"
)
_VALUES = ",".join("?" * len(_OF_ALL + _OF_FEW))
_INSERT = f"{_into(_OF_ALL + _OF_FEW)} VALUES(?,?,?,2,?,?,{_VALUES}) ON CONFLICT DO NOTHING"
