"""Claims and device slots, on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.locks_contract import LocksContract
from timim.server.store.base import Store
from timim.server.store.sqlite import SqliteStore


class TestLocksOnSqlite(LocksContract):
    """A file opened by one process, which holds every claim."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = SqliteStore(tmp_path / "s.db")
        await store.open()
        yield store
        await store.close()
