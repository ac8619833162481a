"""Tests of the contract of media metadata, on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.media_store_contract import MediaStoreContract
from timim.server.store.base import Store
from timim.server.store.sqlite import SqliteStore


class TestMediaOnSqlite(MediaStoreContract):
    """Tests on a file opened by one process."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = SqliteStore(tmp_path / "s.db")
        await store.open()
        yield store
        await store.close()
