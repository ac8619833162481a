"""The local store: messages, conversations and what is known of each timeline, in one SQLite file.

A message is here as SENDING before its first byte leaves. What this device knows of a timeline is a set of closed
intervals, kept in the same transaction as the rows. No media bytes are kept (source: 获取会话本地消息).
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from .errors import InvalidArgument, StorageError, StoreInUse
from .ids import SERVER_MSG_ID, ConversationKey, ConversationType, parse_msg_id, unique_id
from .message import Message, MessageStatus, Priority, SenderMember, SenderProfile
from .sqlite import Database
from .wire.coverage import Coverage, Interval
from .wire.elems import decode_body

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE conversations(type INTEGER NOT NULL, peer TEXT NOT NULL, coverage TEXT NOT NULL DEFAULT '[]',
  last_seq INTEGER NOT NULL DEFAULT 0, read_seq INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1,
  listed INTEGER NOT NULL DEFAULT 0, last_time INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(type, peer)) WITHOUT ROWID;
CREATE TABLE messages(local_id INTEGER PRIMARY KEY, type INTEGER NOT NULL, peer TEXT NOT NULL,
  position INTEGER NOT NULL, seq INTEGER, msg_id TEXT NOT NULL, sender TEXT NOT NULL, timestamp INTEGER NOT NULL,
  status INTEGER NOT NULL, is_self INTEGER NOT NULL, priority TEXT NOT NULL, body BLOB NOT NULL,
  cloud_custom_data TEXT NOT NULL, profile TEXT, member TEXT, custom_int INTEGER NOT NULL DEFAULT 0,
  custom_data BLOB NOT NULL DEFAULT x'', error_code INTEGER NOT NULL DEFAULT 0, error_info TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX messages_seq ON messages(type, peer, seq) WHERE seq IS NOT NULL;
CREATE INDEX messages_position ON messages(type, peer, position, local_id);
CREATE INDEX messages_unsettled ON messages(local_id) WHERE status = 1;
CREATE INDEX messages_unnumbered ON messages(type, peer, msg_id) WHERE seq IS NULL;
"""
_FIELDS = (
    "m.local_id, m.type, m.peer, m.seq, m.msg_id, m.sender, m.timestamp, m.status, m.is_self, m.priority, m.body,"
    " m.cloud_custom_data, m.profile, m.member, m.custom_int, m.custom_data"
)
_READ_SEQ = "coalesce((SELECT read_seq FROM conversations c WHERE c.type=m.type AND c.peer=m.peer), 0)"
_SELECT = f"SELECT {_FIELDS}, {_READ_SEQ} FROM messages m"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A received message, as its row will be."""

    seq: int
    msg_id: str
    sender: str
    timestamp: int
    is_self: bool
    body: bytes
    priority: str = Priority.NORMAL.value
    cloud_custom_data: str = ""
    profile: SenderProfile | None = None
    member: SenderMember | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of one conversation, and the intervals that this proves."""

    key: ConversationKey
    incoming: Sequence[Incoming]
    covered: Sequence[Interval]
    last_seq: int = 0
    read_seq: int = 0
    floor: int = 0


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """What is known of a conversation. `listed`: it stands in the conversation list."""

    key: ConversationKey
    coverage: Coverage
    last_seq: int
    read_seq: int
    floor: int
    listed: bool
    last_time: int


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    elif version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"the file is of a newer timim (schema {version})")


class LocalStore:
    """One account's store on this device; `path` None keeps nothing. One process at a time has it open."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._database = Database(path, migrate=_migrate)
        self._lock: int | None = None

    async def open(self) -> None:
        """Raises StoreInUse when it is open elsewhere, StorageError when it cannot be written or read."""
        if self._path is not None:
            self._lock = await asyncio.to_thread(_lock, self._path)
        try:
            await self._database.open()
        except BaseException:
            self._unlock()
            raise

    async def close(self) -> None:
        """Close the file; it can be opened again."""
        await self._database.close()
        self._unlock()
        self._database = Database(self._path, migrate=_migrate)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def add_outgoing(self, message: Message, body: bytes) -> None:
        """Store a message as SENDING; it has its `local_id` then."""
        key = _key_of(message)
        message.local_id = await self._database.write(partial(_add_outgoing, key=key, message=message, body=body))

    async def settle(self, message: Message, *, seq: int, timestamp: int, body: bytes) -> None:
        """The server numbered a message: SUCCEEDED, and its seq is covered. One row, also when its push came first."""
        key = _key_of(message)
        op = partial(_settle, key=key, local_id=message.local_id, seq=seq, timestamp=timestamp, body=body)
        message.local_id, status = await self._database.write(op)
        message.status = MessageStatus(status)
        message.seq, message.timestamp = seq, timestamp
        message.unique_id = unique_id(seq, parse_msg_id(message.msg_id).random)

    async def fail(self, message: Message, code: int, info: str) -> None:
        """The message will not be sent: FAILED."""

        def op(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE messages SET status=3, error_code=?, error_info=? WHERE local_id=? AND status=1",
                (code, info, message.local_id),
            )

        await self._database.write(op)
        message.status = MessageStatus.FAILED

    async def outgoing(self) -> list[Message]:
        """What is SENDING, in the order in which it was given."""
        return await self._messages(f"{_SELECT} WHERE m.status=1 ORDER BY m.local_id", ())

    async def add(self, batches: Sequence[Batch]) -> list[Message]:
        """Store what came, and what it proves; returns exactly the messages that were not here before, in order."""

        def op(connection: sqlite3.Connection) -> list[Message]:
            return [message for batch in batches for message in _add(connection, batch)]

        return await self._database.write(op)

    async def page(
        self, key: ConversationKey, count: int, *, before: Message | None = None, floor_seq: int = 0
    ) -> list[Message]:
        """Newest first, `before` exclusive; unnumbered and deleted ones too; none that stands below `floor_seq`."""

        def op(connection: sqlite3.Connection) -> list[Message]:
            at = (1 << 62, 1 << 62)
            if before is not None:
                found = connection.execute(
                    "SELECT position, local_id FROM messages WHERE local_id=?", (before.local_id,)
                ).fetchone()
                at = found if found is not None else (before.seq, 0)
            rows = connection.execute(
                f"{_SELECT} WHERE m.type=? AND m.peer=? AND m.position>=? AND (m.position, m.local_id)<(?,?)"
                " ORDER BY m.position DESC, m.local_id DESC LIMIT ?",
                (key.type, key.peer, floor_seq, *at, count),
            ).fetchall()
            return [_message(row) for row in rows]

        return await self._database.read(op)

    async def coverage(self, key: ConversationKey) -> Coverage:
        """The seqs that this device holds."""
        return await self._database.read(lambda connection: _coverage(connection, key))

    async def conversation(self, key: ConversationKey) -> ConversationRow | None:
        """What is known of a conversation, None when nothing is."""
        rows = await self._rows("WHERE type=? AND peer=?", (key.type, key.peer))
        return rows[0] if rows else None

    async def conversations(self) -> list[ConversationRow]:
        """Those in the conversation list, the newest first."""
        return await self._rows("WHERE listed ORDER BY last_time DESC", ())

    async def set_read(self, key: ConversationKey, read_seq: int) -> None:
        """Raise the read seq; it never falls."""

        def op(connection: sqlite3.Connection) -> None:
            _ensure(connection, key)
            connection.execute("UPDATE conversations SET read_seq=max(read_seq, ?) WHERE type=? AND peer=?", (read_seq, *key))

        await self._database.write(op)

    async def unread(self, key: ConversationKey) -> int:
        """How many held messages of others are above the read seq; neither deleted ones nor a group's tips count."""

        def op(connection: sqlite3.Connection) -> int:
            count: int = connection.execute(
                "SELECT count(*) FROM messages m WHERE m.type=? AND m.peer=? AND NOT m.is_self AND m.status<>4"
                f" AND m.position > {_READ_SEQ} AND m.seq IS NOT NULL AND NOT (m.type=? AND m.msg_id=?)",
                (*key, ConversationType.GROUP, SERVER_MSG_ID),
            ).fetchone()[0]
            return count

        return await self._database.read(op)

    async def delete_conversation(self, key: ConversationKey, *, messages: bool) -> bool:
        """Off the list, or with its messages and all that is known of its timeline; True if it was listed."""

        def op(connection: sqlite3.Connection) -> bool:
            where = " WHERE type=? AND peer=?"
            row = connection.execute("SELECT listed FROM conversations" + where, tuple(key)).fetchone()
            connection.execute("UPDATE conversations SET listed=0" + where, tuple(key))
            if messages:
                connection.execute("UPDATE conversations SET coverage='[]'" + where, tuple(key))
                connection.execute("DELETE FROM messages" + where, tuple(key))
            return bool(row and row[0])

        return await self._database.write(op)

    async def set_custom_int(self, local_id: int, value: int) -> None:
        """Raises InvalidArgument past 64 bits, or when the message is not held."""
        if not isinstance(value, int) or not -(1 << 63) <= value < 1 << 63:  # type: ignore[redundant-expr]  # users need not run a checker
            raise InvalidArgument("custom_int is a signed 64-bit number")
        await self._set("custom_int", local_id, value)

    async def set_custom_data(self, local_id: int, value: bytes) -> None:
        """Raises InvalidArgument when it is no bytes, or the message is not held."""
        if not isinstance(value, bytes | bytearray):
            raise InvalidArgument(f"custom_data is bytes, not {type(value).__name__}")
        await self._set("custom_data", local_id, bytes(value))

    async def mark_deleted(self, local_id: int) -> bool:
        """Status 4; the row stays. True if it was held."""
        return await self._count("UPDATE messages SET status=4 WHERE local_id=?", (local_id,)) > 0

    async def delete_message(self, local_id: int) -> bool:
        """The row goes, and a hole opens where it stood; True if it was held."""

        def op(connection: sqlite3.Connection) -> bool:
            row = connection.execute("DELETE FROM messages WHERE local_id=? RETURNING type, peer, seq", (local_id,)).fetchone()
            if row is not None and row[2] is not None:
                key = ConversationKey(ConversationType(row[0]), row[1])
                _write_coverage(connection, key, _coverage(connection, key).remove(row[2], row[2]))
            return row is not None

        return await self._database.write(op)

    async def _set(self, column: str, local_id: int, value: object) -> None:
        if not await self._count(f"UPDATE messages SET {column}=? WHERE local_id=?", (value, local_id)):
            raise InvalidArgument("this device does not hold the message")

    async def _count(self, sql: str, values: tuple[object, ...]) -> int:
        return await self._database.write(lambda connection: connection.execute(sql, values).rowcount)

    async def _messages(self, sql: str, values: tuple[object, ...]) -> list[Message]:
        def op(connection: sqlite3.Connection) -> list[Message]:
            return [_message(row) for row in connection.execute(sql, values).fetchall()]

        return await self._database.read(op)

    async def _rows(self, where: str, values: tuple[object, ...]) -> list[ConversationRow]:
        def op(connection: sqlite3.Connection) -> list[ConversationRow]:
            sql = "SELECT type, peer, coverage, last_seq, read_seq, floor, listed, last_time FROM conversations "
            return [
                ConversationRow(
                    ConversationKey(ConversationType(type), peer),
                    Coverage(json.loads(held)),
                    last_seq,
                    read_seq,
                    floor,
                    bool(listed),
                    last_time,
                )
                for type, peer, held, last_seq, read_seq, floor, listed, last_time in connection.execute(sql + where, values)
            ]

        return await self._database.read(op)


def _add_outgoing(connection: sqlite3.Connection, *, key: ConversationKey, message: Message, body: bytes) -> int:
    _ensure(connection, key)
    connection.execute("UPDATE conversations SET listed=1 WHERE type=? AND peer=?", tuple(key))
    row = connection.execute(
        "INSERT INTO messages(type, peer, position, msg_id, sender, timestamp, status, is_self, priority, body,"
        " cloud_custom_data) VALUES(?1,?2,coalesce((SELECT max(position) FROM messages WHERE type=?1 AND peer=?2),0),"
        "?3,?4,?5,1,1,?6,?7,?8) RETURNING local_id",
        (
            *key,
            message.msg_id,
            message.sender,
            message.timestamp,
            message.priority.value,
            body,
            message.cloud_custom_data,
        ),
    ).fetchone()
    local_id: int = row[0]
    return local_id


def _settle(
    connection: sqlite3.Connection, *, key: ConversationKey, local_id: int, seq: int, timestamp: int, body: bytes
) -> tuple[int, int]:
    there = connection.execute(
        "SELECT local_id, status FROM messages WHERE type=? AND peer=? AND seq=?", (*key, seq)
    ).fetchone()
    if there is not None and there[0] != local_id:  # its push came first: one row, with what the user put on this one
        connection.execute(
            "UPDATE messages SET (custom_int, custom_data, status) = (SELECT o.custom_int, o.custom_data,"
            " CASE WHEN o.status=4 THEN 4 ELSE messages.status END FROM messages o WHERE o.local_id=?)"
            " WHERE local_id=?",
            (local_id, there[0]),
        )
        connection.execute("DELETE FROM messages WHERE local_id=?", (local_id,))
        local_id = there[0]
    else:
        connection.execute(
            "UPDATE messages SET seq=?, position=?, timestamp=?, body=?, error_code=0, error_info='',"
            " status=CASE WHEN status=4 THEN 4 ELSE 2 END WHERE local_id=?",
            (seq, seq, timestamp, body, local_id),
        )
    _cover(connection, key, [Interval(seq, seq)], last_seq=seq, last_time=timestamp)
    row = connection.execute("SELECT status FROM messages WHERE local_id=?", (local_id,)).fetchone()
    return local_id, row[0] if row else MessageStatus.SUCCEEDED


def _add(connection: sqlite3.Connection, batch: Batch) -> list[Message]:
    key = batch.key
    new: list[int] = []
    for item in batch.incoming:
        row = connection.execute("SELECT local_id FROM messages WHERE type=? AND peer=? AND seq=?", (*key, item.seq)).fetchone()
        profile = json.dumps(asdict(item.profile)) if item.profile else None
        member = json.dumps(asdict(item.member)) if item.member else None
        if row is None and item.is_self:
            row = connection.execute(
                "SELECT local_id FROM messages WHERE type=? AND peer=? AND msg_id=? AND sender=? AND seq IS NULL",
                (*key, item.msg_id, item.sender),
            ).fetchone()
            if row is not None:  # ours, stored by the server before its ack reached us
                _settle(connection, key=key, local_id=row[0], seq=item.seq, timestamp=item.timestamp, body=item.body)
        if row is not None:  # what the server knows is written anew, what this device put on it stays
            connection.execute(
                "UPDATE messages SET timestamp=?, body=?, profile=coalesce(?, profile), member=coalesce(?, member)"
                " WHERE local_id=?",
                (item.timestamp, item.body, profile, member, row[0]),
            )
            continue
        inserted = connection.execute(
            "INSERT INTO messages(type, peer, position, seq, msg_id, sender, timestamp, status, is_self, priority, body,"
            " cloud_custom_data, profile, member) VALUES(?,?,?,?,?,?,?,2,?,?,?,?,?,?) RETURNING local_id",
            (
                *key,
                item.seq,
                item.seq,
                item.msg_id,
                item.sender,
                item.timestamp,
                item.is_self,
                item.priority,
                item.body,
                item.cloud_custom_data,
                profile,
                member,
            ),
        ).fetchone()
        new.append(inserted[0])
    last_time = max((item.timestamp for item in batch.incoming), default=0)
    _cover(connection, key, batch.covered, last_seq=batch.last_seq, last_time=last_time)
    connection.execute(
        "UPDATE conversations SET read_seq=max(read_seq, ?), floor=max(floor, ?), listed=listed OR ? WHERE type=? AND peer=?",
        (batch.read_seq, batch.floor, bool(batch.last_seq), *key),
    )
    return [_message(connection.execute(f"{_SELECT} WHERE m.local_id=?", (n,)).fetchone()) for n in new]


def _cover(
    connection: sqlite3.Connection,
    key: ConversationKey,
    covered: Sequence[Interval],
    *,
    last_seq: int,
    last_time: int,
) -> None:
    """Grow what is known of a timeline, in the transaction of its rows."""
    _ensure(connection, key)
    held = _coverage(connection, key)
    grown = held
    for interval in covered:
        grown = grown.add(*interval)
    if grown != held:
        _write_coverage(connection, key, grown)
    connection.execute(
        "UPDATE conversations SET last_seq=max(last_seq, ?), last_time=max(last_time, ?) WHERE type=? AND peer=?",
        (last_seq, last_time, *key),
    )


def _ensure(connection: sqlite3.Connection, key: ConversationKey) -> None:
    connection.execute("INSERT INTO conversations(type, peer) VALUES(?,?) ON CONFLICT DO NOTHING", tuple(key))


def _coverage(connection: sqlite3.Connection, key: ConversationKey) -> Coverage:
    row = connection.execute("SELECT coverage FROM conversations WHERE type=? AND peer=?", tuple(key)).fetchone()
    return Coverage(json.loads(row[0])) if row else Coverage()


def _write_coverage(connection: sqlite3.Connection, key: ConversationKey, coverage: Coverage) -> None:
    text = json.dumps([tuple(interval) for interval in coverage])
    connection.execute("UPDATE conversations SET coverage=? WHERE type=? AND peer=?", (text, *key))


def _message(row: tuple[Any, ...]) -> Message:
    """A row of _SELECT as a Message; its elems are decoded when they are first looked at."""
    (
        local_id,
        type,
        peer,
        seq,
        msg_id,
        sender,
        timestamp,
        status,
        is_self,
        priority,
        body,
        cloud,
        profile,
        member,
        custom_int,
        custom_data,
        read_seq,
    ) = row
    message = Message(cloud_custom_data=cloud)
    message._elems = None
    message._elem_source = partial(decode_body, body, local=seq is None)
    message.conversation = ConversationKey(ConversationType(type), peer)
    message.local_id, message.seq, message.msg_id, message.sender = local_id, seq or 0, msg_id, sender
    message.unique_id = unique_id(seq, parse_msg_id(msg_id).random) if seq else 0
    message.timestamp, message.status = timestamp, MessageStatus(status)
    message.is_self = bool(is_self)
    message.is_read = message.is_self or (seq or 0) <= read_seq
    message.priority = Priority(priority) if priority in Priority._value2member_map_ else Priority.NORMAL
    message.sender_profile = SenderProfile(**json.loads(profile)) if profile else None
    message.sender_member = SenderMember(**json.loads(member)) if member else None
    message.custom_int, message.custom_data = custom_int, bytes(custom_data)
    return message


def _key_of(message: Message) -> ConversationKey:
    if message.conversation is None:
        raise InvalidArgument("the message belongs to no conversation")
    return message.conversation


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise StorageError(f"cannot write to the data folder {path.parent}: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise StoreInUse(f"the data folder {path.parent} is open in another client") from exc
    return descriptor
