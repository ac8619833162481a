"""What operators do to a running cluster: nobody who talks meanwhile loses a message, or is told of what is none of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.gateways import THIS, Deployment, Talk, deployment, talked_through
from tests.services import Nats, Postgres
from timim import ConnectionLost, NetworkError
from timim.testing import Watch
from timim.testing.server import STOP_LIMIT_S

DRAIN_S = STOP_LIMIT_S - 1  # as long as a test waits for a server's end
DROPS: Sequence[str] = ("-m", "tests.mutants.no_drain")


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One that a test may stop."""
    server = Postgres()
    yield server
    server.close()


@asynccontextmanager
async def held(url: str, table: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Nobody can write to this table while inside; what is given waits until somebody tries to."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")

            async def waited_for() -> None:
                while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    pass

            yield waited_for
    finally:
        await connection.close()


async def drained_while_asked(running: Deployment, url: str) -> None:
    """The first gateway is told to stop while a change is under way that takes its time, and others talk."""
    leaving, staying = running.gateways

    async def drain(talk: Talk) -> None:
        async with running.client("owner", at=leaving) as owner, running.client("idle", at=leaving) as idle:
            told = Watch(idle, ConnectionLost)
            await talk.goes_on()
            async with asyncio.TaskGroup() as tasks, held(url, "groups") as waited_for:
                creating = tasks.create_task(owner.groups.create("Public", name="team"))
                await waited_for()
                stopping = tasks.create_task(running.remove(leaving))
                await told.event(ConnectionLost)
                await talk.goes_on(200)  # by way of the other; what is under way here is still waited for
            assert stopping.result() == 0
        async with running.client("owner", at=staying) as owner:
            assert (await owner.groups.of(creating.result().id).facts()).name == "team"
            await talk.goes_on()

    await talked_through(running, drain)


async def test_a_gateway_that_stops_answers_what_is_under_way(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    async with deployment(THIS, THIS, database=url, bus=nats_server.url, drain_s=DRAIN_S) as running:
        await drained_while_asked(running, url)


async def test_a_gateway_that_stops_at_once_is_found_out(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    async with deployment(DROPS, THIS, database=url, bus=nats_server.url, drain_s=DRAIN_S) as running:
        with pytest.raises(ExceptionGroup) as failed:
            await drained_while_asked(running, url)
        assert failed.group_contains(NetworkError)


async def test_what_is_never_answered_does_not_keep_a_gateway(database: Callable[[], str], nats_server: Nats) -> None:
    """It ends at its limit; what was sent to it and is not stored goes by way of the other."""
    url = database()
    async with deployment(THIS, THIS, database=url, bus=nats_server.url, drain_s=1) as running:
        leaving = running.gateways[0]

        async def drain(talk: Talk) -> None:
            await talk.goes_on()
            async with running.client("owner", at=leaving) as owner:
                async with held(url, "groups") as waited_for:  # appends of this gateway wait behind the change, too
                    creating = asyncio.create_task(owner.groups.create("Public", name="team"))
                    await waited_for()
                    assert await running.remove(leaving) == 0
                    with pytest.raises(NetworkError):
                        await creating
                await talk.goes_on()

        await talked_through(running, drain)


async def test_a_gateway_whose_database_is_away_stops_all_the_same(own_postgres: Postgres, nats_server: Nats) -> None:
    async with deployment(THIS, database=own_postgres.database("away"), bus=nats_server.url, drain_s=1) as running:
        async with running.client("alice") as alice:
            async with running.client("bob"):
                pass  # an account, now
            sent = await alice.c2c("bob").send("one")
            await asyncio.to_thread(own_postgres.stop)
            waiting = asyncio.create_task(alice.c2c("bob").send("two"))
            assert await running.remove(running.gateways[0]) == 0
            await asyncio.to_thread(own_postgres.start)
            await running.add()
            assert (await waiting).seq == (sent.seq or 0) + 1
