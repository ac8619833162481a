"""Tests of history pages from a streaming replica. The primary serves the entries that the replica lacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.support.backing_services import Nats, Postgres, ServiceProxy
from tests.support.deployment import THIS, Deployment, deployment, metrics_of
from timim import StorageError
from timim.server.store import timelines
from timim.server.store.base import MsgKey, NewEntry, Store, TimelinePage, c2c_timeline
from timim.server.store.postgres import engine
from timim.server.store.postgres.engine import PostgresEngine, PostgresStore

pytestmark = pytest.mark.timeout(180)  # several servers each, on a machine that others use too
LINE = c2c_timeline("alice", "bob")
NEWEST = 1 << 62


@dataclass(frozen=True)
class Pair:
    first: Postgres
    replica: Postgres

    async def followed(self) -> None:
        """Wait until the replica has all changes of the primary."""
        there = await asyncio.to_thread(self.first.sql, "postgres", "SELECT pg_current_wal_lsn()")
        question = f"SELECT pg_last_wal_replay_lsn() >= '{there}'"
        while await asyncio.to_thread(self.replica.sql, "postgres", question) != "t":
            pass


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    first = Postgres()
    replica = Postgres(follows=first)
    yield Pair(first, replica)
    replica.close()
    first.close()


@pytest.fixture
def name(pair: Pair, request: pytest.FixtureRequest) -> str:
    """Create a database on the primary."""
    name = f"t{abs(hash(request.node.nodeid))}"
    pair.first.database(name)
    return name


@asynccontextmanager
async def opened(url: str, replica_url: str, kind: type[PostgresStore] = PostgresStore) -> AsyncIterator[PostgresStore]:
    store = kind(url, replica_url=replica_url, retry_s=0.3)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def add(store: Store, first: int, last: int) -> None:
    for n in range(first, last + 1):
        await store.timelines.append(NewEntry(LINE, "alice", MsgKey(1, n), b"%d" % n, b'"N":%d}' % n, 100, ("alice", "bob")))


async def seqs(store: Store, first: int, last: int) -> list[int]:
    page = await store.timelines.page(LINE, first, last, 100)
    return [entry.seq for entry in reversed(page.entries)]


async def test_a_page_the_replica_has_is_read_from_it(pair: Pair, name: str) -> None:
    async with opened(pair.first.url(name), pair.replica.url(name)) as store:
        await add(store, 1, 10)
        await pair.followed()
        await asyncio.to_thread(pair.first.stop)
        try:
            assert await seqs(store, 3, 8) == [3, 4, 5, 6, 7, 8]
            with pytest.raises(StorageError):
                await seqs(store, 3, NEWEST)  # only the primary knows the newest entry
        finally:
            await asyncio.to_thread(pair.first.start)


async def behind(pair: Pair, name: str, kind: type[PostgresStore]) -> None:
    async with opened(pair.first.url(name), pair.replica.url(name), kind) as store:
        await add(store, 1, 10)
        await pair.followed()
        await asyncio.to_thread(pair.replica.sql, name, "SELECT pg_wal_replay_pause()")
        try:
            await add(store, 11, 20)
            assert await seqs(store, 1, 8) == list(range(1, 9))
            assert await seqs(store, 8, 15) == list(range(8, 16))
            assert await seqs(store, 8, NEWEST) == list(range(8, 21))
        finally:
            await asyncio.to_thread(pair.replica.sql, name, "SELECT pg_wal_replay_resume()")


async def test_entries_a_lagging_replica_lacks_come_from_the_primary(pair: Pair, name: str) -> None:
    await behind(pair, name, PostgresStore)


class TrustingTimelines(timelines.TimelineStore):
    def __init__(self, engine: PostgresEngine) -> None:
        super().__init__(engine)
        self._postgres = engine

    async def page(self, timeline: str, first: int, last: int, limit: int, *, reader: str = "") -> TimelinePage:
        page = await self._postgres.read_replica(partial(timelines.page, timeline, first, last, limit, reader))
        return page or await super().page(timeline, first, last, limit, reader=reader)


class Trusting(PostgresStore):
    """A mutant that serves each page of the replica, even if the page does not prove its interval."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self.timelines = TrustingTimelines(self.engine)


async def test_a_store_that_trusts_the_replica_is_detected(pair: Pair, name: str) -> None:
    with pytest.raises(AssertionError):
        await behind(pair, name, Trusting)


async def test_an_unreachable_replica_is_skipped_and_used_again_later(
    pair: Pair, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "REPLICA_PAUSE_S", 0.0)
    async with opened(pair.first.url(name), pair.replica.url(name)) as store:
        await add(store, 1, 10)
        await asyncio.to_thread(pair.replica.stop)
        try:
            assert await seqs(store, 3, 8) == [3, 4, 5, 6, 7, 8]
        finally:
            await asyncio.to_thread(pair.replica.start)
        await pair.followed()
        await asyncio.to_thread(pair.first.stop)
        try:
            assert await seqs(store, 3, 8) == [3, 4, 5, 6, 7, 8]
        finally:
            await asyncio.to_thread(pair.first.start)


async def test_only_one_page_waits_for_a_hanging_replica(pair: Pair, name: str) -> None:
    async with ServiceProxy(pair.replica.port) as relay:
        async with opened(pair.first.url(name), f"postgresql://timim@127.0.0.1:{relay.port}/{name}") as store:
            await add(store, 1, 10)
            await pair.followed()
            relay.swallow()
            assert await seqs(store, 3, 8) == [3, 4, 5, 6, 7, 8]
            assert relay.swallowed.is_set()
            relay.swallow()
            assert await seqs(store, 3, 8) == [3, 4, 5, 6, 7, 8]
            assert not relay.swallowed.is_set()
            relay.cut()


async def given(running: Deployment) -> float:
    """Return the number of pages that all gateways have read from the replica."""
    return (await metrics_of(*(gateway.url for gateway in running.gateways)))["timim_database_replica_pages_total"]


async def test_gateways_read_old_history_from_their_replica(pair: Pair, name: str, nats_server: Nats) -> None:
    settings = {"database": pair.first.url(name), "database_replica": pair.replica.url(name), "bus": nats_server.url}
    async with deployment(THIS, THIS, **settings) as running:
        async with running.client("bob"):
            pass  # the login creates the account
        async with running.client("alice") as alice:
            for n in range(300):
                await alice.c2c("bob").send(str(n))
        await pair.followed()
        before = await given(running)  # bob's device may already have requested a page
        async with running.client("bob") as device:
            assert [m.text async for m in device.c2c("alice").history(limit=300)] == [str(n) for n in reversed(range(300))]
        assert await given(running) > before
