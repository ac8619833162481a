"""Checksums of the rows on which the proof of completeness rests: bodies and headers of messages, coverage of conversations.

SQLite has none, so a flipped bit in a text would go unnoticed. Rows of versions before 9 have no checksum of the body, and
those before 10 none of the header, until they are written again. Adler-32 takes a third of the time of CRC-32, and finds each
change of a few bits too.
"""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import Any, Final
from zlib import adler32

from ..errors import StoreCorrupted
from ..ids import ConversationKey
from ..protocol.coverage import Coverage

__all__ = [
    "CHECKSUM_BYTES",
    "NOTHING",
    "TIME_LIMIT",
    "checked_coverage",
    "of_body",
    "of_coverage",
    "of_header",
    "require_body",
    "require_header",
    "require_rows",
    "summand",
]

CHECKSUM_BYTES: Final = 4
NOTHING: Final = adler32(b"[]")  # of an empty coverage
SENDERS: Final = 1024  # in the cache
TIME_LIMIT: Final = 1 << 62  # seconds; a server can send any number of 64 bits


def of_body(body: bytes) -> bytes:
    """Return the checksum of a message's row."""
    return adler32(body).to_bytes(CHECKSUM_BYTES)


def of_header(sender: str, timestamp: int, is_self: bool, cloud_custom_data: str) -> int | None:
    """Return the checksum of a message's header. SQL can follow a change of the timestamp, because `summand` of it is added.

    A time that leaves no room for the sum has no checksum.
    """
    if not -TIME_LIMIT < timestamp < TIME_LIMIT:
        return None
    if cloud_custom_data:
        return adler32(f"{sender}\0{is_self:d}\0{cloud_custom_data}".encode()) + timestamp
    return _of_sender(sender, is_self) + timestamp


def summand(timestamp: int) -> int | None:
    """Return a time as SQL adds it to a checksum; None, which ends the checksum, if there is no room for the sum."""
    return timestamp if -TIME_LIMIT < timestamp < TIME_LIMIT else None


@lru_cache(maxsize=SENDERS)
def _of_sender(sender: str, is_self: bool) -> int:
    return adler32(f"{sender}\0{is_self:d}\0".encode())


def of_coverage(coverage: str, floor: int, head: int) -> int | None:
    """Return the checksum of a conversation's row: its coverage, its first visible seq and its delivered seq.

    SQL can follow a change of a number, because the numbers are added. Without room for the sum there is no checksum.
    """
    checksum = adler32(coverage.encode()) + floor + head
    return checksum if checksum < 1 << 62 else None


def require_body(checksum: bytes | None, body: bytes) -> None:
    """Check the body of a message's row.

    Raises:
        StoreCorrupted: The row does not match its checksum.
    """
    if checksum is not None and checksum != adler32(body).to_bytes(CHECKSUM_BYTES):
        raise StoreCorrupted("a message in the local store was damaged on the disk; log in again")


def require_header(checksum: int | None, sender: str, timestamp: int, is_self: bool, cloud_custom_data: str) -> None:
    """Check the sender, the time and the custom data of a message's row.

    Raises:
        StoreCorrupted: The row does not match its checksum.
    """
    if checksum is not None and checksum != of_header(sender, timestamp, is_self, cloud_custom_data):
        raise StoreCorrupted("the header of a message in the local store was damaged on the disk; log in again")


def checked_coverage(coverage: str, floor: int, head: int, checksum: int | None) -> Coverage:
    """Return the coverage of a conversation's row.

    Raises:
        StoreCorrupted: The row does not match its checksum.
    """
    if checksum is not None and checksum != of_coverage(coverage, floor, head):
        raise StoreCorrupted("the coverage of a conversation in the local store was damaged on the disk; log in again")
    return Coverage(json.loads(coverage))


def require_rows(connection: sqlite3.Connection, key: ConversationKey, low: int, high: int, seqs: list[int]) -> None:
    """Check that a query by position found each row with a seq from `low` to `high`: the index of seqs has them too.

    Raises:
        StoreCorrupted: An index, or the seq of a row, was damaged.
    """
    sql = "SELECT count(*), total(seq) FROM messages INDEXED BY messages_seq WHERE type=? AND peer=? AND seq BETWEEN ? AND ?"
    found: tuple[Any, Any] = connection.execute(sql, (*key, low, high)).fetchone()
    if found != (len(seqs), float(sum(seqs))):
        raise StoreCorrupted("an index of the local store was damaged on the disk; log in again")
