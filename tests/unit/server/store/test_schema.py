"""Tests of migrations of the server's database, on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.releases.databases import Engine
from tests.support.migrations_contract import Database, MigrationsContract, SqliteFile


class TestSqliteMigrations(MigrationsContract):
    """Tests of the migrations of files of earlier versions."""

    @pytest.fixture
    def engine(self) -> Engine:
        return "sqlite"

    @pytest.fixture
    def made(self, tmp_path: Path) -> Callable[[], Database]:
        """Return a function that creates an empty database."""
        names = iter(range(10))
        return lambda: SqliteFile(tmp_path / f"{next(names)}.db")
