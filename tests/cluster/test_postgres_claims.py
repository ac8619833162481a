"""Tests of claims on PostgreSQL: one node at a time has a claim, until the node ends or loses its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncpg

from timim.errors import StorageError
from timim.server.store.base import Store
from timim.server.store.postgres.engine import PostgresStore


async def test_a_claim_belongs_to_one_node_and_ends_with_it(database: Callable[[], str]) -> None:
    url = database()
    here, there = PostgresStore(url), PostgresStore(url)
    await asyncio.gather(here.open(), there.open())
    try:
        taken = await asyncio.gather(*(store.locks.try_acquire(f"{n}") for n in range(20) for store in (here, there)))
        assert [sum(taken[n : n + 2]) for n in range(0, 40, 2)] == [1] * 20
        assert await here.locks.try_acquire("a")
        assert not await there.locks.try_acquire("a")
        await here.close()
        assert not here.locks.holds("a")
        assert await _in_time(there, "a")
    finally:
        await asyncio.gather(here.close(), there.close())


async def test_claims_are_lost_with_their_connection_and_can_be_made_again(database: Callable[[], str]) -> None:
    url = database()
    here, there = PostgresStore(url), PostgresStore(url)
    await asyncio.gather(here.open(), there.open())
    operator = await asyncpg.connect(url)
    try:
        assert await here.locks.try_acquire("a")
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'timim claims'"
        assert await operator.fetchval(ended)
        assert await there.locks.try_acquire("a"), "the claim must be free once its connection has ended"
        with suppress(StorageError):  # the store notices the loss with this call, or has noticed it already
            await here.locks.try_acquire("b")
        assert not here.locks.holds("a")
        assert await here.locks.try_acquire("c")
    finally:
        await operator.close()
        await asyncio.gather(here.close(), there.close())


async def _in_time(store: Store, name: str) -> bool:
    """Acquire a claim of a node that has closed. PostgreSQL releases it a moment after the close."""
    async with asyncio.timeout(20):
        while not await store.locks.try_acquire(name):
            pass  # each try is one round trip
    return True
