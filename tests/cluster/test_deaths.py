"""Tests of dying parts of a cluster (R7): no message is lost or repeated, and users recover soon."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import get_args

import pytest

from tests.support.backing_services import Nats, Postgres, ServiceProxy, free_port
from tests.support.chaos import Part, killable_cluster, percentile, survive_deaths
from timim import NotAMember
from timim.testing import EventRecorder, RunningServer, running_server

NO_COMPARE = ("-m", "tests.mutants.no_compare")
LIMIT_S = 30.0  # an upper bound for a busy machine; the long test asserts the recovery time
MUTANT_LIMIT_S = 4.0  # nodes compare when NATS is back; a node that does not compare finds a loss only minutes later
RECOVERY_P99_S = 2.0


def some_deaths(rng: random.Random, count: int) -> list[Part]:
    """Return `count` deaths of each part in random order.

    The outage of all NATS servers is the first one, because the clients of a pair are then certainly on different gateways.
    """
    deaths: list[Part] = [*get_args(Part)] * count
    rng.shuffle(deaths)
    deaths.remove("bus")
    return ["bus", *deaths]


@pytest.mark.timeout(180)
@pytest.mark.requirement("R7")
async def test_killing_every_part_loses_nothing_and_repeats_nothing(own_postgres: Postgres, seed: int) -> None:
    rng = random.Random(seed)
    async with killable_cluster(own_postgres, "r7") as cluster:
        print((await survive_deaths(cluster, some_deaths(rng, 1), rng, pairs=4, limit_s=LIMIT_S)).tell())


@pytest.mark.timeout(180)
@pytest.mark.requirement("R7")
async def test_nodes_that_do_not_compare_are_detected(own_postgres: Postgres, seed: int) -> None:
    rng = random.Random(seed)
    async with killable_cluster(own_postgres, "r7", gateways=2, program=NO_COMPARE) as cluster:
        with pytest.raises(ExceptionGroup) as failed:
            await survive_deaths(cluster, some_deaths(rng, 1), rng, pairs=4, limit_s=MUTANT_LIMIT_S)
        assert failed.group_contains(TimeoutError)


@pytest.mark.requirement("R7")
async def test_gateways_continue_with_the_remaining_nats_servers(own_postgres: Postgres) -> None:
    async with killable_cluster(own_postgres, "rolling", gateways=2) as cluster:
        async with cluster.running.client("alice") as alice, cluster.running.client("bob") as bob:
            watch = EventRecorder(bob)
            for n, server in enumerate(cluster.nats.servers, 1):
                await asyncio.to_thread(server.stop)
                await alice.c2c("bob").send(f"{n}")
                await watch.wait_for_messages(n)
                await asyncio.to_thread(server.start)
            assert [m.text for m in watch.messages] == ["1", "2", "3"]


async def a_route_loses_a_hint(url: str, limit_s: float) -> None:
    """Lose a hint on the route between two NATS servers, each with one node, without an error at either node."""
    async with AsyncExitStack() as stack:

        async def nats(*routes: int) -> Nats:
            server = await asyncio.to_thread(Nats, cluster_port=free_port(), routes=routes)
            stack.callback(server.close)
            return server

        far = await nats()
        route = await stack.enter_async_context(ServiceProxy(far.cluster_port))
        near = await nats(route.port)
        here = await stack.enter_async_context(running_server(database=url, bus=near.url))
        there = await stack.enter_async_context(running_server(database=url, bus=far.url))
        alice = await stack.enter_async_context(here.client("alice"))
        bob = await stack.enter_async_context(there.client("bob"))
        watch = EventRecorder(alice)
        await bob.c2c("alice").send("before")
        await watch.wait_for_message(lambda m: m.text == "before")
        route.swallow(b".beat")
        await bob.c2c("alice").send("lost")
        await route.swallowed.wait()
        route.cut()
        async with asyncio.timeout(limit_s):
            await watch.wait_for_message(lambda m: m.text == "lost")


@pytest.mark.requirement("R7")
async def test_hints_lost_between_two_nats_servers_are_repaired(database: Callable[[], str]) -> None:
    await a_route_loses_a_hint(database(), LIMIT_S)


@pytest.mark.requirement("R7")
async def test_nodes_that_ignore_gaps_in_heartbeats_are_detected(
    database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunningServer, "program", ("-m", "tests.mutants.no_beats"))
    with pytest.raises(TimeoutError):
        await a_route_loses_a_hint(database(), MUTANT_LIMIT_S)


async def test_a_server_without_nats_keeps_working_and_decides_by_the_database(own_postgres: Postgres) -> None:
    async with killable_cluster(own_postgres, "away", gateways=2) as cluster:
        async with cluster.running.client("owner") as owner, cluster.running.client("bob") as bob:
            group = await owner.groups.create("Public", name="team", members=["bob"])
            await bob.group(group.id).send("one")
            await asyncio.to_thread(cluster.nats.stop)
            watch = EventRecorder(bob)
            await owner.group(group.id).send("two")
            await watch.wait_for_message(lambda m: m.text == "two")  # bob's client compares while NATS is away
            await group.kick("bob")
            with pytest.raises(NotAMember):
                await bob.group(group.id).send("three")


@pytest.mark.cluster
@pytest.mark.requirement("R7")
async def test_twenty_deaths_of_every_kind(own_postgres: Postgres, seed: int) -> None:
    """Kill each part 20 times, then stop NATS for 10 s, and print the recovery times."""
    rng = random.Random(seed)
    async with killable_cluster(own_postgres, "r7") as cluster:
        story = await survive_deaths(cluster, some_deaths(rng, 20), rng, pairs=9, limit_s=LIMIT_S)
        print(f"\n20 deaths of each kind\n{story.tell()}")
        away = await survive_deaths(cluster, ["bus"], rng, pairs=9, limit_s=LIMIT_S, away_s=10.0)
        print(f"NATS away for 10 s\n{away.tell()}")
    assert percentile(story.all_recoveries, 99) < RECOVERY_P99_S
    assert percentile(away.all_recoveries, 99) < RECOVERY_P99_S
