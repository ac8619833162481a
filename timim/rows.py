"""The local store's tables: what runs inside its transactions. Rows of messages, and what is known of each timeline.

Intervals grow in the same transaction as the rows that prove them; a refetch writes only what the server knows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from .ids import ConversationKey, ConversationType, parse_msg_id, unique_id
from .message import Message, MessageStatus, Priority, SenderMember, SenderProfile
from .wire.coverage import Coverage, Interval
from .wire.elems import decode_body

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE conversations(type INTEGER NOT NULL, peer TEXT NOT NULL, coverage TEXT NOT NULL DEFAULT '[]',
  last_seq INTEGER NOT NULL DEFAULT 0, read_seq INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1,
  head INTEGER NOT NULL DEFAULT 0, hidden_seq INTEGER NOT NULL DEFAULT 0, listed INTEGER NOT NULL DEFAULT 0,
  last_time INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(type, peer)) WITHOUT ROWID;
CREATE TABLE messages(local_id INTEGER PRIMARY KEY, type INTEGER NOT NULL, peer TEXT NOT NULL,
  position INTEGER NOT NULL, seq INTEGER, msg_id TEXT NOT NULL, sender TEXT NOT NULL, timestamp INTEGER NOT NULL,
  status INTEGER NOT NULL, is_self INTEGER NOT NULL, priority TEXT NOT NULL, body BLOB NOT NULL,
  cloud_custom_data TEXT NOT NULL, profile TEXT, member TEXT, custom_int INTEGER NOT NULL DEFAULT 0,
  custom_data BLOB NOT NULL DEFAULT x'', unsent INTEGER NOT NULL DEFAULT 0,
  thrown INTEGER NOT NULL DEFAULT 1, error_code INTEGER NOT NULL DEFAULT 0, error_info TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX messages_seq ON messages(type, peer, seq) WHERE seq IS NOT NULL;
CREATE INDEX messages_position ON messages(type, peer, position, local_id);
CREATE INDEX messages_unsettled ON messages(local_id) WHERE status = 1;
CREATE INDEX messages_unnumbered ON messages(type, peer, msg_id) WHERE seq IS NULL;
"""
_FIELDS = (
    "m.local_id, m.type, m.peer, m.seq, m.msg_id, m.sender, m.timestamp, m.status, m.is_self, m.priority, m.body,"
    " m.cloud_custom_data, m.profile, m.member, m.custom_int, m.custom_data, m.unsent"
)
_READ_SEQ = "coalesce((SELECT read_seq FROM conversations c WHERE c.type=m.type AND c.peer=m.peer), 0)"
SELECT = f"SELECT {_FIELDS}, {_READ_SEQ} FROM messages m"
_UNREAD = (
    "(SELECT count(*) FROM messages m WHERE m.type=c.type AND m.peer=c.peer AND m.position>c.read_seq"
    " AND NOT m.is_self AND m.status<>4 AND m.seq IS NOT NULL)"
)
SELECT_CONVERSATION = (
    "SELECT c.type, c.peer, c.coverage, c.head, c.last_seq, c.read_seq, c.floor, c.listed, c.last_time,"
    f" {_UNREAD} FROM conversations c"
)


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
    """What came of one conversation, and the intervals that this proves.

    `live`: it came by itself, up to `head`, and what is new of it will be thrown; otherwise somebody asked for it.
    """

    key: ConversationKey
    incoming: Sequence[Incoming] = ()
    covered: Sequence[Interval] = ()
    live: bool = False
    head: int = 0
    last_seq: int = 0
    last_time: int = 0
    read_seq: int = 0
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch: the messages to throw, in order, and how its conversation stands in the list.

    `unread` None: the batch said nothing of what is read.
    """

    key: ConversationKey
    new: Sequence[Message]
    listed: bool
    last_time: int
    unread: int | None


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """What is known of a conversation. `listed`: it stands in the conversation list; `head`: docs/history.md."""

    key: ConversationKey
    coverage: Coverage
    head: int
    last_seq: int
    read_seq: int
    floor: int
    listed: bool
    last_time: int
    unread: int


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a new or old file to the current schema."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    elif version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"the file is of a newer timim (schema {version})")


def add_outgoing(connection: sqlite3.Connection, *, key: ConversationKey, message: Message, body: bytes) -> int:
    """Store a message as SENDING; its local_id."""
    ensure(connection, key)
    connection.execute("UPDATE conversations SET listed=1 WHERE type=? AND peer=?", tuple(key))
    row = connection.execute(
        "INSERT INTO messages(type, peer, position, msg_id, sender, timestamp, status, is_self, priority, body,"
        " cloud_custom_data, unsent) VALUES(?1,?2,coalesce((SELECT max(position) FROM messages WHERE type=?1 AND peer=?2),0),"
        "?3,?4,?5,1,1,?6,?7,?8,1) RETURNING local_id",
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


def settle(
    connection: sqlite3.Connection, *, key: ConversationKey, local_id: int, seq: int, timestamp: int, body: bytes
) -> tuple[int, int]:
    """The server numbered a message: one row, also when its push came first. Its local_id and status."""
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
            "UPDATE messages SET seq=?, position=?, timestamp=?, body=?, unsent=0, error_code=0, error_info='',"
            " status=CASE WHEN status=4 THEN 4 ELSE 2 END WHERE local_id=?",
            (seq, seq, timestamp, body, local_id),
        )
    _cover(connection, key, [Interval(seq, seq)], last_seq=seq, last_time=timestamp)
    row = connection.execute("SELECT status FROM messages WHERE local_id=?", (local_id,)).fetchone()
    return local_id, row[0] if row else MessageStatus.SUCCEEDED


def add(connection: sqlite3.Connection, batch: Batch) -> Stored:
    """Store a batch of messages, and the intervals that it proves."""
    key, live = batch.key, batch.live
    new: list[int] = []
    for item in batch.incoming:
        local_id, thrown = _held(connection, key, item)
        profile = json.dumps(asdict(item.profile)) if item.profile else None
        member = json.dumps(asdict(item.member)) if item.member else None
        if local_id:  # what the server knows is written anew, what this device put on it stays
            connection.execute(
                "UPDATE messages SET timestamp=?, body=?, profile=coalesce(?, profile), member=coalesce(?, member),"
                " thrown=thrown OR ? WHERE local_id=?",
                (item.timestamp, item.body, profile, member, live, local_id),
            )
        else:
            local_id = connection.execute(
                "INSERT INTO messages(type, peer, position, seq, msg_id, sender, timestamp, status, is_self, priority, body,"
                " cloud_custom_data, profile, member, thrown) VALUES(?,?,?,?,?,?,?,2,?,?,?,?,?,?,?) RETURNING local_id",
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
                    live,
                ),
            ).fetchone()[0]
        if live and not thrown:
            new.append(local_id)
    last_time = max((item.timestamp for item in batch.incoming), default=batch.last_time)
    _cover(connection, key, batch.covered, last_seq=batch.last_seq, last_time=last_time)
    listed, newest = connection.execute(
        "UPDATE conversations SET read_seq=max(read_seq, ?), floor=max(floor, ?), head=max(head, ?),"
        " listed=listed OR (? AND ?>hidden_seq) WHERE type=? AND peer=? RETURNING listed, last_time",
        (batch.read_seq, batch.floor, batch.head, live, batch.last_seq, *key),
    ).fetchone()
    unread: int | None = None
    if batch.read_seq:
        (unread,) = connection.execute(f"SELECT {_UNREAD} FROM conversations c WHERE type=? AND peer=?", tuple(key)).fetchone()
    messages = [message_of(connection.execute(f"{SELECT} WHERE m.local_id=?", (n,)).fetchone()) for n in new]
    return Stored(key, messages, bool(listed), newest, unread)


def _held(connection: sqlite3.Connection, key: ConversationKey, item: Incoming) -> tuple[int, bool]:
    """The row that this message has already (0: none), and whether it was thrown, or is this device's own."""
    row = connection.execute(
        "SELECT local_id, thrown FROM messages WHERE type=? AND peer=? AND seq=?", (*key, item.seq)
    ).fetchone()
    if row is None:
        row = connection.execute(
            "SELECT local_id, thrown FROM messages WHERE type=? AND peer=? AND msg_id=? AND sender=? AND seq IS NULL",
            (*key, item.msg_id, item.sender),
        ).fetchone()
        if row is not None:  # ours, and its ack was lost; or known from before the server's epoch
            settle(connection, key=key, local_id=row[0], seq=item.seq, timestamp=item.timestamp, body=item.body)
    return (row[0], bool(row[1])) if row is not None else (0, False)


def _cover(
    connection: sqlite3.Connection,
    key: ConversationKey,
    covered: Sequence[Interval],
    *,
    last_seq: int,
    last_time: int,
) -> None:
    """Grow what is known of a timeline, in the transaction of its rows."""
    ensure(connection, key)
    held = coverage_of(connection, key)
    grown = held
    for interval in covered:
        grown = grown.add(*interval)
    if grown != held:
        write_coverage(connection, key, grown)
    connection.execute(
        "UPDATE conversations SET last_seq=max(last_seq, ?), last_time=max(last_time, ?) WHERE type=? AND peer=?",
        (last_seq, last_time, *key),
    )


def last_not_after(connection: sqlite3.Connection, key: ConversationKey, time: int) -> int:
    """The last held seq of this time or an earlier one, 0 for none; by halving, for times never go back."""
    low, high = 0, connection.execute("SELECT max(seq) FROM messages WHERE type=? AND peer=?", tuple(key)).fetchone()[0] or 0
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(
            "SELECT seq, timestamp FROM messages WHERE type=? AND peer=? AND seq<=? ORDER BY seq DESC LIMIT 1", (*key, middle)
        ).fetchone()
        if row is None or row[1] <= time:
            low = middle
        else:
            high = row[0] - 1
    row = connection.execute("SELECT max(seq) FROM messages WHERE type=? AND peer=? AND seq<=?", (*key, low)).fetchone()
    return int(row[0] or 0)


def ensure(connection: sqlite3.Connection, key: ConversationKey) -> None:
    """There is a row for this conversation."""
    connection.execute("INSERT INTO conversations(type, peer) VALUES(?,?) ON CONFLICT DO NOTHING", tuple(key))


def coverage_of(connection: sqlite3.Connection, key: ConversationKey) -> Coverage:
    """The seqs that are held."""
    row = connection.execute("SELECT coverage FROM conversations WHERE type=? AND peer=?", tuple(key)).fetchone()
    return Coverage(json.loads(row[0])) if row else Coverage()


def write_coverage(connection: sqlite3.Connection, key: ConversationKey, coverage: Coverage) -> None:
    """What is held is now this."""
    text = json.dumps([tuple(interval) for interval in coverage])
    connection.execute("UPDATE conversations SET coverage=? WHERE type=? AND peer=?", (text, *key))


def message_of(row: tuple[Any, ...]) -> Message:
    """A row of SELECT as a Message; its elems are decoded when they are first looked at."""
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
        unsent,
        read_seq,
    ) = row
    message = Message(cloud_custom_data=cloud)
    message._elems = None
    message._elem_source = partial(decode_body, body, local=bool(unsent))
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
