"""Migration of the databases of earlier versions: every row is preserved, and the structure is that of a new database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol

import asyncpg
import pytest

from tests.fixtures.releases.databases import Engine, Row, kept
from timim import StorageError
from timim.server.store import schema
from timim.server.store.base import Member, MsgKey, NewEntry, Store, StoredAccount, StoredGroup
from timim.server.store.mutations import InsertMembers
from timim.server.store.postgres.append import FUNCTION
from timim.server.store.postgres.engine import PostgresStore
from timim.server.store.sqlite import SqliteStore

VERSIONS = range(1, schema.VERSION + 1)
ADDED: Row = {"key": "last_tiny_id", "value": "7"}  # the only row that a step adds
COLUMN_FACTS = "table_name, ordinal_position, column_name, data_type, collation_name, column_default, is_nullable, is_identity"
Tables = dict[str, list[Row]]
Defaults = dict[str, dict[str, str]]  # of each table with default values: column → value, as text


class Database(Protocol):
    """A database that a store will open, and that the test reads without the store."""

    def store(self) -> Store: ...
    async def load(self, text: str) -> None: ...
    async def tables(self) -> Tables: ...
    async def shape(self) -> tuple[object, ...]: ...  # the structure, as comparable values
    async def defaults(self) -> Defaults: ...


class SqliteFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def store(self) -> Store:
        return SqliteStore(self._path)

    async def load(self, text: str) -> None:
        with closing(sqlite3.connect(self._path)) as file:
            file.executescript(text)

    async def tables(self) -> Tables:
        with closing(sqlite3.connect(self._path)) as file:
            file.row_factory = sqlite3.Row
            names = [row["name"] for row in file.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
            return {name: [dict(row) for row in file.execute(f"SELECT * FROM {name}")] for name in names}

    async def shape(self) -> tuple[object, ...]:
        with closing(sqlite3.connect(self._path)) as file:
            return tuple(file.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"))

    async def defaults(self) -> Defaults:
        found: Defaults = {}
        with closing(sqlite3.connect(self._path)) as file:
            for (table,) in file.execute("SELECT name FROM sqlite_schema WHERE type='table'").fetchall():
                columns = file.execute(f"PRAGMA table_info({table})")
                found[table] = {row[1]: row[4].strip("'") for row in columns if row[4] is not None}
        return found


class PostgresDatabase:
    """A database of PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def store(self) -> Store:
        return PostgresStore(self._url)

    async def load(self, text: str) -> None:
        connection = await asyncpg.connect(self._url)
        await connection.execute(text)
        await connection.close()

    async def _ask(self, *questions: str) -> list[list[Row]]:
        """Return the rows of each question. All of them use one connection, because PostgreSQL starts a process for each."""
        connection = await asyncpg.connect(self._url)
        try:
            return [[dict(row) for row in await connection.fetch(question)] for question in questions]
        finally:
            await connection.close()

    async def tables(self) -> Tables:
        (rows,) = await self._ask("SELECT tablename FROM pg_tables WHERE schemaname='public' AND tablename <> 'timim_schema'")
        names = [str(row["tablename"]) for row in rows]
        return dict(zip(names, await self._ask(*(f"SELECT * FROM {name}" for name in names)), strict=True))

    async def shape(self) -> tuple[object, ...]:
        questions = (
            f"SELECT {COLUMN_FACTS} FROM information_schema.columns WHERE table_schema='public' ORDER BY 1, 2",
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname='public' ORDER BY 1",
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace='public'::regnamespace ORDER BY 1",
            # the function of an earlier version stays for nodes of that version
            f"SELECT proname, prosrc FROM pg_proc WHERE pronamespace='public'::regnamespace AND proname='{FUNCTION.name}'",
            "SELECT version FROM timim_schema",
        )
        return tuple(await self._ask(*questions))

    async def defaults(self) -> Defaults:
        (rows,) = await self._ask(
            "SELECT table_name AS of, column_name AS name, column_default AS value FROM information_schema.columns"
            " WHERE table_schema='public' AND column_default IS NOT NULL"
        )
        found: Defaults = {}
        for row in rows:
            found.setdefault(str(row["of"]), {})[str(row["name"])] = str(row["value"]).removesuffix("::text").strip("'")
        return found


async def migrate(database: Database) -> None:
    store = database.store()
    await store.open()
    await store.close()


async def check_migration(engine: Engine, version: int, database: Database) -> None:
    """Check that every row is preserved, that new columns have their defaults, and that no other row was added."""
    await database.load(kept(engine, version).read_text())
    before = await database.tables()
    assert all(before.values()), "a table without rows would make the test pass for no reason"
    await migrate(database)
    after, all_defaults = await database.tables(), await database.defaults()
    assert before.keys() <= after.keys()
    for table, rows in after.items():
        was = before.get(table, [])
        defaults = all_defaults.get(table, {})
        new = {column for row in rows for column in row} - {column for row in was for column in row}
        assert all(str(row[column]) == defaults[column] for row in rows for column in new if was), table
        is_now = [{column: value for column, value in row.items() if column not in new} for row in rows] if was else rows
        came = [row for row in is_now if row not in was]
        assert came == ([ADDED] if table == "meta" and version < 3 else []), table
        assert [row for row in was if row not in is_now] == [], table
        assert len(is_now) == len(was) + len(came), table


_SHAPES_OF_NEW: dict[Engine, tuple[object, ...]] = {}


class MigrationsContract:
    """The contract of migrations. The fixtures `engine` and `made` are provided by a subclass."""

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.requirement("R19")
    async def test_a_migration_keeps_every_row_of_every_version(
        self, engine: Engine, version: int, made: Callable[[], Database]
    ) -> None:
        await check_migration(engine, version, made())

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.requirement("R19")
    async def test_a_migrated_database_has_the_schema_of_a_new_one(
        self, engine: Engine, version: int, made: Callable[[], Database]
    ) -> None:
        if engine not in _SHAPES_OF_NEW:
            new = made()
            await migrate(new)
            _SHAPES_OF_NEW[engine] = await new.shape()
        old = made()
        await old.load(kept(engine, version).read_text())
        await migrate(old)
        assert await old.shape() == _SHAPES_OF_NEW[engine]

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.requirement("R19")
    async def test_a_migrated_database_works(self, engine: Engine, version: int, made: Callable[[], Database]) -> None:
        database = made()
        await database.load(kept(engine, version).read_text())
        store = database.store()
        await store.open()
        try:
            alice = await store.accounts.get("alice")
            assert isinstance(alice, StoredAccount)
            assert (alice.tiny_id, alice.nickname, alice.custom) == (7, "Al'ice \U0001f600", {"k": "v"})
            assert alice.version == (3 if version > 1 else 1)
            assert (await store.accounts.ensure("bob")).tiny_id > 7
            page = await store.timelines.page("group\x1fg", 1, 1 << 62, 10)
            assert [(entry.seq, entry.tail) for entry in page.entries] == [(2, b'"N":2}'), (1, b'"N":1}')]
            again = await store.timelines.append(NewEntry("group\x1fg", "alice", MsgKey(50, 60), b"print", b'"N":9}', 100))
            assert (again.seq, again.duplicate) == (2, True)
            first = await store.timelines.append(
                NewEntry("c2c\x1fbob\x1falice", "bob", MsgKey(1, 1), b"", b"{}", 100, ("bob", "alice"))
            )
            assert (first.seq, first.duplicate) == (1, False)
            lines = {contact.timeline: contact for contact in await store.conversations.page("alice", 0, 10)}
            assert lines.keys() == {"group\x1fg", "c2c\x1fbob\x1falice"}
            assert (lines["group\x1fg"].read_seq, lines["group\x1fg"].last_seq) == (1, 2)
            await store.apply([InsertMembers("g", {"bob": Member("Member")}, from_now=True)], [])
            group = await store.groups.get("g")
            assert isinstance(group, StoredGroup)
            assert {user: member.floor for user, member in group.members.items()} == {"alice": 1, "bob": 3}
            assert group.members["alice"].name_card == "Al"
        finally:
            await store.close()

    @pytest.mark.requirement("R19")
    async def test_a_migration_that_loses_something_is_detected(
        self, engine: Engine, made: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before_last = schema.VERSION
        for step in ("UPDATE members SET name_card='';", "DELETE FROM contacts WHERE read_seq=0 OR timeline=2;"):
            with monkeypatch.context() as patched:
                patched.setattr(schema, "STEPS", (*schema.STEPS, step))
                patched.setattr(schema, "VERSION", before_last + 1)
                with pytest.raises(AssertionError):
                    await check_migration(engine, before_last, made())

    @pytest.mark.requirement("R19")
    async def test_a_database_of_a_later_version_is_refused_and_left_unchanged(
        self, engine: Engine, made: Callable[[], Database]
    ) -> None:
        database = made()
        text = kept(engine, schema.VERSION).read_text()
        later = f"PRAGMA user_version={schema.VERSION + 1};" if engine == "sqlite" else "UPDATE timim_schema SET version=1000;"
        await database.load(text)
        await database.load(later)
        before = await database.tables()
        with pytest.raises(StorageError, match="newer timim"):
            await database.store().open()
        assert await database.tables() == before
