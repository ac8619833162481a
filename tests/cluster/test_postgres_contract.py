"""Tests of the contracts of the server's store, on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.fixtures.releases.databases import Engine
from tests.support.deletion_store_contract import DeletionStoreContract
from tests.support.locks_contract import LocksContract
from tests.support.media_store_contract import MediaStoreContract
from tests.support.migrations_contract import Database, MigrationsContract, PostgresDatabase
from tests.support.store_contract import Open, StoreContract
from tests.support.topic_store_contract import TopicStoreContract
from tests.support.user_store_contract import UserStoreContract
from timim.server.store.base import Store
from timim.server.store.postgres.engine import PostgresStore


class TestPostgresStore(StoreContract, UserStoreContract, TopicStoreContract, DeletionStoreContract):
    """Tests of the store's contract, with a new database for each test."""

    @pytest.fixture
    async def opens(self, database: Callable[[], str]) -> AsyncIterator[Open]:
        """Return a function that opens the store of this test, also again after a close."""
        opened: list[Store] = []
        url = database()

        async def opens() -> Store:
            store = PostgresStore(url)
            await store.open()
            opened.append(store)
            return store

        yield opens
        for store in opened:
            await store.close()


@pytest.fixture
async def store(database: Callable[[], str]) -> AsyncIterator[Store]:
    store = PostgresStore(database())
    await store.open()
    yield store
    await store.close()


class TestMediaOnPostgres(MediaStoreContract):
    """Tests of the contract of media metadata."""


class TestLocksOnPostgres(LocksContract):
    """Tests of the contract of cluster locks and device slots."""


class TestPostgresMigrations(MigrationsContract):
    """Tests of the migrations of databases of earlier versions."""

    @pytest.fixture
    def engine(self) -> Engine:
        return "postgres"

    @pytest.fixture
    def made(self, database: Callable[[], str]) -> Callable[[], Database]:
        """Return a function that creates an empty database."""
        return lambda: PostgresDatabase(database())
