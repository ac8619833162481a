"""Tests of stopping and upgrading gateways of a running cluster: users lose no message and get no error."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.support.backing_services import Nats, Postgres
from tests.support.deployment import THIS, Deployment, Talk, deployment, talk_during
from tests.support.paths import ROOT
from timim import ConnectionFailed, ConnectionLost, NetworkError, NotAMember, TimimError
from timim.server.store.schema import VERSION
from timim.testing import EventRecorder, RunningServer
from timim.testing.server import STOP_LIMIT_S

pytestmark = pytest.mark.timeout(180)  # several servers each, on a machine that others use too
DRAIN_S = STOP_LIMIT_S - 1  # just below the time for which a test waits until a server ends
PACE_S = 0.03  # between two messages of a pair: more messages would only take CPU time from the gateways that change
DROPS: Sequence[str] = ("-m", "tests.mutants.no_drain")
NEXT: Sequence[str] = ("-m", "tests.fixtures.releases.next_release")
RENAMES: Sequence[str] = ("-m", "tests.mutants.renames")
FIRST = "7ab98cc2e43069a04ad49c736d0626cbf1b57e5c"  # the first version with several gateways


@asynccontextmanager
async def held(url: str, table: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Lock a table against writes. Yield a function that waits until another connection waits for the lock."""
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
    """Stop the first gateway while a slow change is in progress and other users send."""
    leaving, staying = running.gateways

    async def drain(talk: Talk) -> None:
        async with running.client("owner", at=leaving) as owner, running.client("idle", at=leaving) as idle:
            told = EventRecorder(idle, ConnectionLost)
            await talk.goes_on()
            async with asyncio.TaskGroup() as tasks, held(url, "groups") as waited_for:
                creating = tasks.create_task(owner.groups.create("Public", name="team"))
                await waited_for()
                stopping = tasks.create_task(running.remove(leaving))
                await told.wait_for_event(ConnectionLost)
                await talk.goes_on(200)  # through the other gateway; the leaving one still waits for the group's creation
            assert stopping.result() == 0
        async with running.client("owner", at=staying) as owner:
            assert (await owner.groups.of(creating.result().id).info()).name == "team"
            await talk.goes_on()

    await talk_during(running, drain)


async def test_a_stopping_gateway_answers_the_requests_in_flight(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    async with deployment(THIS, THIS, database=url, bus=nats_server.url, drain_s=DRAIN_S) as running:
        await drained_while_asked(running, url)


async def test_a_gateway_that_drains_nothing_is_detected(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    async with deployment(DROPS, THIS, database=url, bus=nats_server.url, drain_s=DRAIN_S) as running:
        with pytest.raises(ExceptionGroup) as failed:
            await drained_while_asked(running, url)
        assert failed.group_contains(NetworkError)


async def test_a_request_that_is_never_answered_does_not_keep_a_gateway_from_stopping(
    database: Callable[[], str], nats_server: Nats
) -> None:
    """Test that such a request ends at the drain limit, and that messages of other users continue at the other gateway."""
    url = database()
    async with deployment(THIS, THIS, database=url, bus=nats_server.url, drain_s=1) as running:
        leaving = running.gateways[0]

        async def drain(talk: Talk) -> None:
            await talk.goes_on()
            async with running.client("owner", at=leaving) as owner:
                async with held(url, "groups") as waited_for:  # appends of this gateway wait behind the blocked change, too
                    creating = asyncio.create_task(owner.groups.create("Public", name="team"))
                    await waited_for()
                    assert await running.remove(leaving) == 0
                    with pytest.raises(NetworkError):
                        await creating
                await talk.goes_on()

        await talk_during(running, drain, pace_s=PACE_S)


async def test_a_gateway_without_its_database_still_stops(own_postgres: Postgres, nats_server: Nats) -> None:
    async with deployment(THIS, database=own_postgres.database("away"), bus=nats_server.url, drain_s=1) as running:
        async with running.client("alice") as alice:
            async with running.client("bob"):
                pass  # the login creates bob's account
            sent = await alice.c2c("bob").send("one")
            await asyncio.to_thread(own_postgres.stop)
            waiting = asyncio.create_task(alice.c2c("bob").send("two"))
            assert await running.remove(running.gateways[0]) == 0
            await asyncio.to_thread(own_postgres.start)
            await running.add()
            assert (await waiting).seq == (sent.seq or 0) + 1


async def a_group_is_one(running: Deployment, one: RunningServer, other: RunningServer) -> None:
    """Change something at one gateway and decide by it at the other."""
    async with running.client("owner", at=one) as owner, running.client("member", at=other) as member:
        watch = EventRecorder(member)
        group = await owner.groups.create("Public", name="team", members=["member"])
        await owner.group(group.id).send("welcome")
        await watch.wait_for_message(lambda message: message.text == "welcome")
        await member.group(group.id).send("thanks")
        told = len(watch.messages)
        await group.kick("member")
        await watch.wait_for_messages(told + 1)
        with pytest.raises(NotAMember):
            await member.group(group.id).send("wait")


async def upgraded(running: Deployment, newer: Sequence[str]) -> None:
    """Replace each gateway by one of a newer version while pairs talk. Between, both versions serve side by side."""

    async def upgrade(talk: Talk) -> None:
        for leaving in list(running.gateways):
            await talk.goes_on()
            await a_group_is_one(running, leaving, await running.add(newer))
            await talk.goes_on(200)
            assert await running.remove(leaving) == 0
        await talk.goes_on()

    await talk_during(running, upgrade, pace_s=PACE_S)


async def test_two_versions_serve_side_by_side_while_gateways_are_upgraded(
    database: Callable[[], str], nats_server: Nats
) -> None:
    url = database()
    async with deployment(THIS, THIS, database=url, bus=nats_server.url) as running:
        await upgraded(running, NEXT)
        with pytest.raises(ConnectionFailed, match=rf"newer timim \(schema {VERSION + 1}, this one knows {VERSION}\)"):
            await running.add(THIS)


async def test_a_version_that_breaks_the_older_one_is_detected(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    async with deployment(THIS, THIS, database=url, bus=nats_server.url) as running:
        with pytest.raises(ExceptionGroup) as failed:
            await upgraded(running, RENAMES)
        assert failed.group_contains(TimimError)


async def test_gateways_of_the_first_version_are_upgraded_to_this_one(
    database: Callable[[], str], nats_server: Nats, tmp_path: Path
) -> None:
    url = database()
    first = await asyncio.to_thread(program_of, FIRST, tmp_path)
    async with deployment(first, first, database=url, bus=nats_server.url) as running:
        await upgraded(running, THIS)


def program_of(commit: str, folder: Path) -> Sequence[str]:
    """Return the program of an older commit. Skip the test in a copy without history: a source archive or a shallow clone."""
    root = ROOT
    known = ["git", "cat-file", "-e", commit]
    if shutil.which("git") is None or subprocess.run(known, cwd=root, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip(f"this copy of the repository does not contain {commit[:7]}")
    archive = folder / "then.tar"
    subprocess.run(["git", "archive", f"--output={archive}", commit, "timim"], cwd=root, check=True)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); from timim.cli import main; main()"
