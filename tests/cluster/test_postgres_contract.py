"""The contracts of the server's store, on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.fixtures.releases.databases import Engine
from tests.support.locks_contract import LocksContract
from tests.support.media_store_contract import MediaStoreContract
from tests.support.migrations_contract import Database, MigrationsContract, PostgresDatabase
from tests.support.store_contract import Open, StoreContract
from timim.server.store.base import Store
from timim.server.store.postgres.engine import PostgresStore


class TestPostgresStore(StoreContract):
    """A database of its own for each test."""

    @pytest.fixture
    async def opens(self, database: Callable[[], str]) -> AsyncIterator[Open]:
        """Open the store of this test, again after each close."""
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
    """What the store knows of content."""


class TestLocksOnPostgres(LocksContract):
    """Claims and device slots."""


class TestPostgresMigrations(MigrationsContract):
    """Databases that earlier versions left."""

    @pytest.fixture
    def engine(self) -> Engine:
        return "postgres"

    @pytest.fixture
    def made(self, database: Callable[[], str]) -> Callable[[], Database]:
        """Make a database without anything in it."""
        return lambda: PostgresDatabase(database())
