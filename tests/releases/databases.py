"""Databases as each version of the schema left them: a text for SQLite and one for PostgreSQL, with rows in every table.

`python -m tests.releases.databases` writes those of the newest version. What is kept is never written anew: it is what a
release left, and the steps that bring it up are judged by it.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Literal

import asyncpg

from timim.server.store import schema
from timim.server.store.postgres_append import FUNCTION

Engine = Literal["sqlite", "postgres"]
Row = dict[str, object]
FOLDER = Path(__file__).parent
TEAM, PAIR = 1, 2  # the timelines' numbers

# What a table has: the columns that a version does not know yet are left out, and so are its tables.
ROWS: tuple[tuple[str, Row], ...] = (
    ("meta", {"key": "epoch", "value": "9f2c"}),
    ("meta", {"key": "app_id", "value": "1400000001"}),
    (
        "accounts",
        {
            "user_id": "alice",
            "tiny_id": 7,
            "nickname": "Al'ice \U0001f600",
            "face_url": "http://127.0.0.1/a.png",
            "custom": '{"k": "v"}',
            "allow_type": "AllowType_Type_AllowAny",
            "details": '{"Tag_Profile_IM_SelfSignature": "你好\\n"}',
            "version": 3,
        },
    ),
    ("accounts", {"user_id": "Zoë", "tiny_id": 6, "nickname": "", "face_url": "", "custom": "{}", "version": 1}),
    (
        "groups",
        {
            "group_id": "g",
            "type": "Public",
            "name": "team",
            "owner": "alice",
            "created": 100,
            "facts": '{"introduction": "who are we?"}',
            "version": 4,
        },
    ),
    ("groups", {"group_id": "gone", "type": "Work", "name": "", "owner": "", "created": 90, "dissolved": 1}),
    (
        "members",
        {
            "group_id": "g",
            "user_id": "alice",
            "position": 0,
            "role": "Owner",
            "name_card": "Al",
            "floor": 1,
            "joined": 100,
            "custom": '{"seat": "4"}',
        },
    ),
    ("timelines", {"id": TEAM, "name": "group\x1fg", "last_seq": 2, "last_time": 100, "act_seq": 2}),
    ("timelines", {"id": PAIR, "name": "c2c\x1fZoë\x1falice", "last_seq": 1, "last_time": 1 << 40, "floor": 1}),
    ("entries", {"timeline": TEAM, "seq": 1, "time": 90, "sender": "alice", "tail": b'"N":1}'}),
    ("entries", {"timeline": TEAM, "seq": 2, "time": 100, "sender": "alice", "tail": b'"N":2}', "kind": 1}),
    ("entries", {"timeline": PAIR, "seq": 1, "time": 1 << 40, "sender": "Zoë", "tail": bytes(range(256))}),
    (
        "msg_keys",
        {"timeline": TEAM, "sender": "alice", "client_time": 50, "random": 60, "seq": 2, "fingerprint": b"print"},
    ),
    (
        "msg_keys",
        {"timeline": PAIR, "sender": "Zoë", "client_time": 51, "random": (1 << 32) - 1, "seq": 1, "fingerprint": b"\0\xff"},
    ),
    (
        "contacts",
        {
            "user_id": "alice",
            "timeline": TEAM,
            "read_seq": 1,
            "read_time": 95,
            "floor": 1,
            "pinned": 1,
            "muted": 1,
            "draft": "not yet",
        },
    ),
    ("contacts", {"user_id": "Zoë", "timeline": PAIR, "read_seq": 1, "read_time": 0, "peer_read_seq": 1}),
    (
        "group_applications",
        {"group_id": "g", "user_id": "Zoë", "inviter": "", "wording": "please", "time": 99},
    ),
    (
        "friends",
        {
            "owner": "alice",
            "peer": "Zoë",
            "remark": "z",
            "friend_groups": '["near"]',
            "source": "AddSource_Type_web",
            "wording": "hi",
            "added": 80,
        },
    ),
    ("friend_groups", {"owner": "alice", "position": 0, "name": "near"}),
    ("applications", {"owner": "Zoë", "peer": "bob", "facts": '{"wording": "it is me"}'}),
    ("blacklist", {"owner": "alice", "peer": "mallory", "time": 70}),
    (
        "media_uploads",
        {"owner": "alice", "upload": "1-2-x", "object": "o1", "hash": "aa", "size": 1 << 33, "touched": 60},
    ),
    ("media_objects", {"object": "o2", "hash": "bb", "size": 3, "parts": "[3]"}),
    ("media_blobs", {"uuid": "u1", "owner": "alice", "object": "o2", "touched": 61}),
    ("media_refs", {"uuid": "u1", "timeline": TEAM, "seq": 1}),
    ("media_grants", {"uuid": "u1", "user_id": "Zoë"}),
    ("media_dead", {"object": "o0"}),
    ("outlets", {"outlet": "push", "timeline": TEAM, "seq": 2}),
    ("receipts_wanted", {"timeline": TEAM, "seq": 1, "sender": "alice", "readers": 1, "changed": 5}),
    ("receipts", {"timeline": TEAM, "seq": 1, "user_id": "Zoë", "time": 98}),
    ("mentions", {"timeline": TEAM, "user_id": "Zoë", "seq": 2}),
    ("circles", {"user_id": "alice", "version": 2}),
    ("places", {"user_id": "alice", "place": "mobile", "device": "d1"}),
)


def kept(engine: Engine, version: int) -> Path:
    """Where the text of a version's database is."""
    return FOLDER / f"schema_{version}.{engine}.sql"


def sqlite_text(version: int) -> str:
    database = sqlite3.connect(":memory:")
    try:
        for step in schema.STEPS[:version]:
            database.executescript(step)
        for table, row in ROWS:
            known = {column[1] for column in database.execute(f"PRAGMA table_info({table})")}
            if here := {column: value for column, value in row.items() if column in known}:
                marks = ",".join("?" * len(here))
                database.execute(f"INSERT INTO {table}({','.join(here)}) VALUES({marks})", tuple(here.values()))
        return "\n".join([*database.iterdump(), f"PRAGMA user_version={version};"]) + "\n"
    finally:
        database.close()


async def postgres_fill(url: str, version: int) -> None:
    """Make an empty database one of this version; `pg_dump` makes the text of it."""
    database = await asyncpg.connect(url)
    try:
        await database.execute("CREATE TABLE timim_schema(version BIGINT NOT NULL)")
        await database.execute("INSERT INTO timim_schema VALUES($1)", version)
        for step in schema.STEPS[:version]:
            await database.execute(schema.for_postgres(step))
        await database.execute(FUNCTION.text)
        for table, row in ROWS:
            columns = await database.fetch("SELECT column_name FROM information_schema.columns WHERE table_name=$1", table)
            known = {column[0] for column in columns}
            if here := {column: value for column, value in row.items() if column in known}:
                marks = ",".join(f"${n}" for n in range(1, len(here) + 1))
                await database.execute(f"INSERT INTO {table}({','.join(here)}) VALUES({marks})", *here.values())
        await database.execute("SELECT setval(pg_get_serial_sequence('timelines', 'id'), max(id)) FROM timelines")
    finally:
        await database.close()


def plain(dump: str) -> str:
    """A dump without comments, settings and what only psql understands."""
    kept_lines = [line for line in dump.splitlines() if line and not line.startswith(("--", "\\", "SET "))]
    return re.sub(r"SELECT pg_catalog\.set_config\([^;]*;\n", "", "\n".join(kept_lines) + "\n")


def main() -> None:
    from tests.services import Postgres

    server: Postgres | None = None
    for version in range(1, schema.VERSION + 1):
        if not kept("sqlite", version).exists():
            kept("sqlite", version).write_text(sqlite_text(version))
        if not kept("postgres", version).exists():
            server = server or Postgres()
            asyncio.run(postgres_fill(server.database(f"v{version}"), version))
            kept("postgres", version).write_text(plain(server.dump(f"v{version}", "--inserts", "--no-owner")))
    if server is not None:
        server.close()


if __name__ == "__main__":
    main()
