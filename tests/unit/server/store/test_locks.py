"""Tests of the contract of cluster locks and device slots, on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.locks_contract import LocksContract
from timim.server.store.base import Store
from timim.server.store.sqlite import SqliteStore


class TestLocksOnSqlite(LocksContract):
    """Tests on a file opened by one process, which can acquire every lock."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = SqliteStore(tmp_path / "s.db")
        await store.open()
        yield store
        await store.close()
