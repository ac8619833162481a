"""What one node at a time holds (claims), and one device at a time (places): the contract, on each store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from timim.errors import StorageError
from timim.server.store.base import Store
from timim.server.store.postgres.engine import PostgresStore
from timim.server.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened: Store = SqliteStore(tmp_path / "s.db")
    if request.param == "postgres":
        opened = PostgresStore(request.getfixturevalue("database")())
    await opened.open()
    yield opened
    await opened.close()


async def test_a_claim_is_held_once_until_it_is_released(store: Store) -> None:
    claims = store.claims
    assert await claims.take("a")
    assert not await claims.take("a")
    assert await claims.take("b")
    assert (claims.holds("a"), claims.holds("c")) == (True, False)
    await claims.release("a")
    await claims.release("c")
    assert (claims.holds("a"), claims.holds("b")) == (False, True)
    assert await claims.take("a")


async def test_a_claim_belongs_to_one_node_and_ends_with_it(database: Callable[[], str]) -> None:
    url = database()
    here, there = PostgresStore(url), PostgresStore(url)
    await asyncio.gather(here.open(), there.open())
    try:
        taken = await asyncio.gather(*(store.claims.take(f"{n}") for n in range(20) for store in (here, there)))
        assert [sum(taken[n : n + 2]) for n in range(0, 40, 2)] == [1] * 20
        assert await here.claims.take("a")
        assert not await there.claims.take("a")
        await here.close()
        assert not here.claims.holds("a")
        assert await _in_time(there, "a")
    finally:
        await asyncio.gather(here.close(), there.close())


async def test_claims_are_lost_with_their_connection_and_can_be_made_again(database: Callable[[], str]) -> None:
    url = database()
    here, there = PostgresStore(url), PostgresStore(url)
    await asyncio.gather(here.open(), there.open())
    operator = await asyncpg.connect(url)
    try:
        assert await here.claims.take("a")
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'timim claims'"
        assert await operator.fetchval(ended)
        assert await there.claims.take("a"), "it is free as soon as the connection is gone"
        with suppress(StorageError):  # it finds out now, unless it has already
            await here.claims.take("b")
        assert not here.claims.holds("a")
        assert await here.claims.take("c")
    finally:
        await operator.close()
        await asyncio.gather(here.close(), there.close())


async def _in_time(store: Store, name: str) -> bool:
    """The other's connection was closed; PostgreSQL hears of it a moment later."""
    async with asyncio.timeout(20):
        while not await store.claims.take(name):
            pass  # a round trip each
    return True


async def test_the_last_login_has_the_slot_and_a_returning_device_does_not_take_it(store: Store) -> None:
    places = store.places
    assert await places.take("alice", "mobile", "phone", resumed=True), "it was nobody's"
    assert await places.take("alice", "mobile", "tablet", resumed=False)
    assert not await places.take("alice", "mobile", "phone", resumed=True)
    assert await places.take("alice", "mobile", "tablet", resumed=True)
    assert await places.take("alice", "desktop", "phone", resumed=True)
    assert await places.take("bob", "mobile", "phone", resumed=True)
    assert [await places.holder("alice", place) for place in ("mobile", "desktop", "")] == ["tablet", "phone", None]
    await places.leave("alice", "mobile", "phone")
    assert await places.holder("alice", "mobile") == "tablet"
    await places.leave("alice", "mobile", "tablet")
    assert await places.take("alice", "mobile", "phone", resumed=True)
