"""Tests of new databases, which are copies of a blank one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from timim.local_store import schema
from timim.server.store.sqlite import SqliteSchema
from timim.sqlite.blank import copy_blank, is_empty

Build = Callable[[sqlite3.Connection], None]


def _structure(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def _local_steps(connection: sqlite3.Connection) -> None:
    for number in range(1, schema.VERSION + 1):
        connection.executescript(schema.statements(number))


def _server_steps(connection: sqlite3.Connection) -> None:
    from timim.server.store import schema as server_schema

    for step in server_schema.STEPS:
        connection.executescript(step)


@pytest.mark.parametrize(
    "migrate, steps",
    [(schema.migrate, _local_steps), (SqliteSchema().migrate, _server_steps)],
    ids=["local store", "server"],
)
def test_a_new_file_has_the_tables_of_all_migrations(tmp_path: Path, migrate: Build, steps: Build) -> None:
    with closing(sqlite3.connect(tmp_path / "new.db")) as new, closing(sqlite3.connect(":memory:")) as stepwise:
        new.execute("PRAGMA journal_mode=WAL")
        migrate(new)
        steps(stepwise)
        assert _structure(new) == _structure(stepwise)
        assert new.execute("PRAGMA user_version").fetchone()[0] > 0
        assert new.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert new.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(sqlite3.connect(tmp_path / "new.db")) as again:
        migrate(again)  # changes nothing
        assert not is_empty(again)


def test_a_blank_database_is_built_once() -> None:
    calls: list[int] = []

    def build(connection: sqlite3.Connection) -> None:
        calls.append(1)
        connection.executescript("CREATE TABLE a(x); PRAGMA user_version=7;")

    for _ in range(3):
        with closing(sqlite3.connect(":memory:")) as connection:
            assert is_empty(connection)
            copy_blank(build, connection)
            assert connection.execute("PRAGMA user_version").fetchone() == (7,)
    assert len(calls) == 1
