"""Tests of the contract of the server's store, on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.deletion_store_contract import DeletionStoreContract
from tests.support.store_contract import Open, StoreContract
from tests.support.topic_store_contract import TopicStoreContract
from tests.support.user_store_contract import UserStoreContract
from timim.server.store.base import Store
from timim.server.store.sqlite import SqliteStore


class TestSqliteStore(StoreContract, UserStoreContract, TopicStoreContract, DeletionStoreContract):
    """Tests on a file opened by one process."""

    @pytest.fixture
    async def opens(self, tmp_path: Path) -> AsyncIterator[Open]:
        """Return a function that opens the store of this test, also again after a close."""
        opened: list[Store] = []

        async def opens() -> Store:
            store = SqliteStore(tmp_path / "s.db")
            await store.open()
            opened.append(store)
            return store

        yield opens
        for store in opened:
            await store.close()
