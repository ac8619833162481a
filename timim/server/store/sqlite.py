"""The store on one SQLite file: every write waits for a commit that is on disk, and shares it with all that wait."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Sequence
from pathlib import Path

from ...errors import MsgIdConflict
from ...failpoint import reach
from ...sqlite import Database
from . import people
from .base import UNREAD_LIMIT, Account, Appended, Change, Circle, Contact, Group, NewEntry, StoredEntry, TimelinePage
from .changes import CreateGroup

_SCHEMA_1 = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE accounts(user_id TEXT PRIMARY KEY, tiny_id INTEGER NOT NULL UNIQUE, nickname TEXT NOT NULL,
  face_url TEXT NOT NULL, custom TEXT NOT NULL);
CREATE TABLE groups(group_id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL,
  created INTEGER NOT NULL);
CREATE TABLE members(group_id TEXT NOT NULL, user_id TEXT NOT NULL, position INTEGER NOT NULL, role TEXT NOT NULL,
  name_card TEXT NOT NULL, floor INTEGER NOT NULL, PRIMARY KEY(group_id, user_id)) WITHOUT ROWID;
CREATE INDEX members_of_user ON members(user_id);
CREATE TABLE timelines(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_seq INTEGER NOT NULL DEFAULT 0,
  last_time INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1);
CREATE TABLE entries(timeline INTEGER NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, sender TEXT NOT NULL,
  tail BLOB NOT NULL, PRIMARY KEY(timeline, seq)) WITHOUT ROWID;
CREATE TABLE msg_keys(timeline INTEGER NOT NULL, sender TEXT NOT NULL, client_time INTEGER NOT NULL,
  random INTEGER NOT NULL, seq INTEGER NOT NULL, fingerprint BLOB NOT NULL,
  PRIMARY KEY(timeline, sender, client_time, random)) WITHOUT ROWID;
CREATE TABLE contacts(user_id TEXT NOT NULL, timeline INTEGER NOT NULL, read_seq INTEGER NOT NULL DEFAULT 0,
  read_time INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 1, PRIMARY KEY(user_id, timeline)) WITHOUT ROWID;
"""
_STEPS = (_SCHEMA_1, people.SCHEMA_2)  # a released one never changes; a new file takes them all
SCHEMA_VERSION = len(_STEPS)
_FIRST_TINY_ID = 144_115_200_000_000_000  # as large as the web client's own, below 2**63; sent as a string


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"the file is of a newer timim (schema {version}, this one knows {SCHEMA_VERSION})")
    for number, step in enumerate(_STEPS[version:], version + 1):
        connection.executescript(f"BEGIN; {step} PRAGMA user_version={number}; COMMIT;")


class SqliteStore:
    """`path` None keeps nothing. The constructor does no I/O."""

    def __init__(self, path: Path | None, *, synchronous: str = "FULL") -> None:
        self._database = Database(path, migrate=_migrate, synchronous=synchronous)

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def append(self, entry: NewEntry) -> Appended:
        return await self._database.submit(lambda connection: _append(connection, entry))

    async def standing(self, entry: NewEntry) -> Appended | None:
        if entry.msg_key is None:
            return None
        return await self._database.write(lambda connection: _standing(connection, entry))

    def apply(self, changes: Sequence[Change], entries: Sequence[NewEntry]) -> Awaitable[list[Appended]]:
        return self._database.submit(lambda connection: _apply(connection, changes, entries))

    async def timeline_page(self, timeline: str, first: int, last: int, limit: int) -> TimelinePage:
        return await self._database.read(lambda connection: _page(connection, timeline, first, last, limit))

    async def seq_before(self, timeline: str, time: int, msg_key: str) -> int:
        return await self._database.read(lambda connection: _seq_before(connection, timeline, time, msg_key))

    async def contacts(self, user: str, offset: int, limit: int, *, since: int = 0) -> list[Contact]:
        return await self._database.read(lambda connection: _contacts(connection, user, offset, limit, since))

    async def unread(self, user: str, timelines: Sequence[str]) -> list[int]:
        return await self._database.read(lambda connection: [_unread(connection, user, name) for name in timelines])

    async def set_read(self, user: str, timeline: str, seq: int, *, time: int = 0) -> int:
        return await self._database.write(lambda connection: _set_read(connection, user, timeline, seq, time))

    async def read_time(self, user: str, timeline: str) -> int:
        return await self._database.read(lambda connection: _read_time(connection, user, timeline))

    async def account(self, user: str) -> Account | None:
        return await self._database.read(lambda connection: people.account(connection, user))

    async def ensure_account(self, user: str, *, nickname: str = "", face_url: str = "") -> Account:
        if (account := await self.account(user)) is not None and not nickname and not face_url:
            return account
        return await self._database.write(lambda connection: _ensure_account(connection, user, nickname, face_url))

    async def create_group(self, group: Group) -> None:
        await self._database.write(lambda connection: people.carry_out(connection, CreateGroup(group)))

    async def group(self, group_id: str) -> Group | None:
        return await self._database.read(lambda connection: people.group(connection, group_id))

    async def group_ids_of(self, user: str) -> list[str]:
        return await self._database.read(lambda connection: people.group_ids_of(connection, user))

    async def circle(self, user: str) -> Circle:
        return await self._database.read(lambda connection: people.circle(connection, user))

    async def groups_of(self, user: str) -> list[Group]:
        return await self._database.read(lambda connection: _groups_of(connection, user))

    async def meta(self, key: str, default: str) -> str:
        def read(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
            return row[0] if row else None

        def write(connection: sqlite3.Connection) -> str:
            connection.execute("INSERT INTO meta VALUES(?,?) ON CONFLICT DO NOTHING", (key, default))
            return read(connection) or default

        known = await self._database.read(read)
        return known if known is not None else await self._database.write(write)


def _apply(connection: sqlite3.Connection, changes: Sequence[Change], entries: Sequence[NewEntry]) -> list[Appended]:
    for change in changes:
        people.carry_out(connection, change)
    return [_append(connection, entry) for entry in entries]


def _append(connection: sqlite3.Connection, entry: NewEntry) -> Appended:
    row = connection.execute(
        "UPDATE timelines SET last_seq=last_seq+1, last_time=max(last_time, ?) WHERE name=? RETURNING id, last_seq, last_time",
        (entry.time, entry.timeline),
    ).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO timelines(name, last_seq, last_time) VALUES(?,1,?) RETURNING id, last_seq, last_time",
            (entry.timeline, entry.time),
        ).fetchone()
    timeline, seq, time = row
    if entry.msg_key is not None:
        try:
            connection.execute(
                "INSERT INTO msg_keys VALUES(?,?,?,?,?,?)",
                (timeline, entry.sender, *entry.msg_key, seq, entry.fingerprint),
            )
        except sqlite3.IntegrityError:
            # the number just taken is given back
            connection.execute("UPDATE timelines SET last_seq=last_seq-1 WHERE id=?", (timeline,))
            if (standing := _standing(connection, entry)) is None:
                raise  # not the msg_id, then
            return standing
    reach("before-insert")
    connection.execute("INSERT INTO entries VALUES(?,?,?,?,?)", (timeline, seq, time, entry.sender, entry.tail))
    reach("after-insert")
    if seq == 1 and entry.contacts:
        connection.executemany(
            "INSERT INTO contacts(user_id, timeline) VALUES(?,?) ON CONFLICT DO NOTHING",
            [(user, timeline) for user in entry.contacts],
        )
    return Appended(seq, time)


def _standing(connection: sqlite3.Connection, entry: NewEntry) -> Appended | None:
    """The entry that already has this msg_id."""
    row = connection.execute(
        "SELECT k.seq, k.fingerprint, e.time FROM timelines t JOIN msg_keys k ON k.timeline=t.id"
        " JOIN entries e ON e.timeline=t.id AND e.seq=k.seq"
        " WHERE t.name=? AND k.sender=? AND k.client_time=? AND k.random=?",
        (entry.timeline, entry.sender, *(entry.msg_key or ())),
    ).fetchone()
    if row is None:
        return None
    seq, fingerprint, time = row
    if fingerprint != entry.fingerprint:
        raise MsgIdConflict(f"msg_id {entry.msg_key} of {entry.sender} already stands for another message")
    return Appended(seq, time, duplicate=True)


def _page(connection: sqlite3.Connection, timeline: str, first: int, last: int, limit: int) -> TimelinePage:
    row = connection.execute("SELECT id, last_seq, floor FROM timelines WHERE name=?", (timeline,)).fetchone()
    if row is None:
        return TimelinePage((), 1, 0, 1, 0)
    number, last_seq, floor = row
    last = min(last, last_seq)
    first = max(first, floor, last - limit + 1)
    rows = connection.execute(
        "SELECT seq, time, tail FROM entries WHERE timeline=? AND seq BETWEEN ? AND ? ORDER BY seq DESC",
        (number, first, last),
    ).fetchall()
    return TimelinePage([StoredEntry(*r) for r in rows], first, last, floor, last_seq)


def _seq_before(connection: sqlite3.Connection, timeline: str, time: int, msg_key: str) -> int:
    row = connection.execute("SELECT id, last_seq FROM timelines WHERE name=?", (timeline,)).fetchone()
    if row is None:
        return 0
    number, last_seq = row
    up_to = _last_not_after(connection, number, last_seq, time)
    # several messages may share a second: among these the MsgKey tells which one is meant
    for seq, at, tail in connection.execute(
        "SELECT seq, time, tail FROM entries WHERE timeline=? AND seq<=? ORDER BY seq DESC", (number, up_to)
    ):
        if at < time or not msg_key:
            return int(seq)
        fields = json.loads(b"{" + tail)
        if f"{fields.get('MsgSeq', 0)}_{fields.get('MsgRandom', 0)}_{at}" == msg_key:
            return int(seq) - 1
    return 0


def _last_not_after(connection: sqlite3.Connection, timeline: int, last_seq: int, time: int) -> int:
    """The last seq of this time or an earlier one, by halving: times never go back within a timeline."""
    low, high = 0, last_seq
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(
            "SELECT seq, time FROM entries WHERE timeline=? AND seq<=? ORDER BY seq DESC LIMIT 1", (timeline, middle)
        ).fetchone()
        if row is None or row[1] <= time:
            low = middle
        else:
            high = row[0] - 1
    return low


def _contacts(connection: sqlite3.Connection, user: str, offset: int, limit: int, since: int) -> list[Contact]:
    rows = connection.execute(
        "SELECT t.name, t.last_seq, t.last_time, c.read_seq, max(c.floor, t.floor), e.time, e.tail"
        " FROM contacts c JOIN timelines t ON t.id=c.timeline"
        " LEFT JOIN entries e ON e.timeline=t.id AND e.seq=t.last_seq"
        " WHERE c.user_id=? AND (t.last_time>=? OR c.read_time>=?) ORDER BY t.last_time DESC, t.id DESC LIMIT ? OFFSET ?",
        (user, since, since, limit, offset),
    ).fetchall()
    return [
        Contact(name, last_seq, last_time, read, floor, StoredEntry(last_seq, time, tail) if tail is not None else None)
        for name, last_seq, last_time, read, floor, time, tail in rows
    ]


def _unread(connection: sqlite3.Connection, user: str, timeline: str) -> int:
    row = connection.execute(
        "SELECT t.id, max(c.read_seq, c.floor-1) FROM timelines t JOIN contacts c ON c.timeline=t.id"
        " WHERE t.name=? AND c.user_id=?",
        (timeline, user),
    ).fetchone()
    if row is None:
        return 0
    others = "SELECT 1 FROM entries WHERE timeline=? AND seq>? AND sender NOT IN (?, '') LIMIT ?"  # '': a tip
    count: int = connection.execute(f"SELECT count(*) FROM ({others})", (*row, user, UNREAD_LIMIT)).fetchone()[0]
    return count


def _read_time(connection: sqlite3.Connection, user: str, timeline: str) -> int:
    row = connection.execute(
        "SELECT e.time FROM timelines t JOIN contacts c ON c.timeline=t.id"
        " JOIN entries e ON e.timeline=t.id AND e.seq=c.read_seq"
        " WHERE t.name=? AND c.user_id=?",
        (timeline, user),
    ).fetchone()
    return int(row[0]) if row else 0


def _set_read(connection: sqlite3.Connection, user: str, timeline: str, seq: int, time: int) -> int:
    row = connection.execute(
        "UPDATE contacts SET read_seq=max(read_seq, min(?, (SELECT last_seq FROM timelines WHERE name=?))), read_time=?"
        " WHERE user_id=? AND timeline=(SELECT id FROM timelines WHERE name=?) RETURNING read_seq",
        (seq, timeline, time, user, timeline),
    ).fetchone()
    return row[0] if row else 0


def _ensure_account(connection: sqlite3.Connection, user: str, nickname: str, face_url: str) -> Account:
    connection.execute(
        "INSERT INTO accounts(user_id, tiny_id, nickname, face_url, custom)"
        " SELECT ?, coalesce(max(tiny_id), ?) + 1, ?, ?, '{}' FROM accounts WHERE true"
        " ON CONFLICT(user_id) DO UPDATE SET nickname=CASE WHEN excluded.nickname='' THEN nickname ELSE excluded.nickname END,"
        " version=version + CASE WHEN excluded.nickname='' AND excluded.face_url='' THEN 0 ELSE 1 END,"
        " face_url=CASE WHEN excluded.face_url='' THEN face_url ELSE excluded.face_url END",
        (user, _FIRST_TINY_ID, nickname, face_url),
    )
    account = people.account(connection, user)
    assert account is not None
    return account


def _groups_of(connection: sqlite3.Connection, user: str) -> list[Group]:
    return [group for id in people.group_ids_of(connection, user) if (group := people.group(connection, id)) is not None]
