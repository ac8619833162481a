"""Migrations of the server's database, on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.releases.databases import Engine
from tests.support.migrations_contract import Database, MigrationsContract, SqliteFile


class TestSqliteMigrations(MigrationsContract):
    """Files that earlier versions left."""

    @pytest.fixture
    def engine(self) -> Engine:
        return "sqlite"

    @pytest.fixture
    def made(self, tmp_path: Path) -> Callable[[], Database]:
        """Make a database without anything in it."""
        names = iter(range(10))
        return lambda: SqliteFile(tmp_path / f"{next(names)}.db")
