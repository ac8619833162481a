"""Several servers on one PostgreSQL and one NATS are one server: whoever is where, and whatever dies."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest

from tests.services import Nats, Postgres
from timim import Message, Muted, NotAMember, RelationChanged
from timim.notice_types import RelationType
from timim.testing import RunningServer, Watch, running_server

Nodes = list[RunningServer]
LOST_LIMIT_S = 8.0  # comparing begins when NATS is back; without it nothing comes before minutes


@pytest.fixture
async def nodes(database: Callable[[], str], nats_server: Nats) -> AsyncIterator[Nodes]:
    """Two gateways on a database of their own."""
    url = database()
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running_server(database=url, bus=nats_server.url, group_messages_per_s=0))
            for _ in range(2)
        ]


async def test_two_users_on_two_nodes_talk_both_ways(nodes: Nodes) -> None:
    async with nodes[0].client("alice") as alice, nodes[1].client("bob") as bob, nodes[1].client("alice") as second:
        mine, bobs, seconds = Watch(alice), Watch(bob), Watch(second)
        for n in range(20):
            await alice.c2c("bob").send(f"to bob {n}")
            await bob.c2c("alice").send(f"to alice {n}")
        assert [m.text for m in await mine.upto(20)] == [f"to alice {n}" for n in range(20)]
        assert [m.text for m in await bobs.upto(20)] == [f"to bob {n}" for n in range(20)]
        assert [m.text for m in await seconds.upto(40)] == [f"to {who} {n}" for n in range(20) for who in ("bob", "alice")]


async def test_metrics_tell_of_the_bus_and_the_database(nodes: Nodes) -> None:
    async with nodes[0].client("alice") as alice, nodes[1].client("bob") as bob:
        watch = Watch(bob)
        await asyncio.gather(*(alice.c2c("bob").send(str(n)) for n in range(50)))
        await watch.upto(50)
        here, there = [await metrics_of(node) for node in nodes]
    assert (here["timim_bus_connected"], there["timim_bus_connected"]) == (1, 1)
    assert here["timim_bus_published_total"] >= 50
    assert there["timim_bus_received_total"] >= 50
    assert here["timim_bus_dropped_total"] == 0
    assert here["timim_database_batch_sum"] == 50
    assert here["timim_database_commit_seconds_count"] == here["timim_database_batch_count"]
    assert here["timim_database_commit_seconds_sum"] > 0
    assert here["timim_database_connections"] >= 1
    assert here["timim_database_waiting"] == here["timim_database_errors_total"] == 0
    assert here['timim_logins_total{outcome="accepted"}'] == here["timim_login_seconds_count"] == 1


async def metrics_of(node: RunningServer) -> dict[str, float]:
    async with httpx2.AsyncClient() as http:
        text = (await http.get(node.url.replace("ws", "http", 1) + "/metrics")).text
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")}


async def test_a_group_is_one_on_all_nodes(nodes: Nodes) -> None:
    here, there = nodes
    async with here.client("owner") as owner, there.client("bob") as bob, there.client("carol") as carol:
        watch, late = Watch(bob), Watch(carol)
        group = await owner.groups.create("Public", name="team", members=["bob"])
        await owner.group(group.id).send("one")
        await watch.message(lambda m: m.text == "one")
        await bob.group(group.id).send("two")
        await group.invite("carol")
        await owner.group(group.id).send("three")
        await late.message(lambda m: m.text == "three")
        assert [m.text for m in late.messages if m.text] == ["three"]
        await carol.group(group.id).send("four")
        await watch.message(lambda m: m.text == "four")
        told, tips = len(late.messages), len(watch.messages)
        await group.kick("carol")
        await late.upto(told + 1)  # her notice: what her node knew is forgotten before it comes
        with pytest.raises(NotAMember):
            await carol.group(group.id).send("five")
        await watch.upto(tips + 1)
        tips = len(watch.messages)
        await group.set_info(muted_all=True)
        await watch.upto(tips + 1)
        with pytest.raises(Muted):
            await bob.group(group.id).send("six")


async def test_what_is_said_as_soon_as_a_group_stands_is_heard_on_all_nodes(nodes: Nodes) -> None:
    """Also while the other node has not subscribed to the group yet."""
    async with nodes[0].client("owner") as owner, nodes[1].client("bob") as bob, nodes[1].client("carol") as carol:
        watches = [Watch(bob), Watch(carol)]
        said = []
        for n in range(20):
            group = await owner.groups.create("ChatRoom", name="new", members=["bob", "carol"])
            said += [f"{n} first", f"{n} second"]
            await asyncio.gather(*(owner.group(group.id).send(text) for text in said[-2:]))
        for watch in watches:
            await watch.message(lambda m: m.text == said[-1])
            assert [m.text for m in watch.messages if m.text] == said


async def test_members_who_join_on_all_nodes_at_once_are_all_inside(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        users = [await stack.enter_async_context(nodes[n % 2].client(f"u{n}")) for n in range(16)]
        group = await users[0].groups.create("ChatRoom", name="busy")
        await asyncio.gather(*(user.groups.join(group.id) for user in users[1:]))
        for user in users[:2]:
            members = [member.user_id for member in await user.groups.of(group.id).members()]
            assert sorted(members) == sorted(f"u{n}" for n in range(16))


async def test_friends_who_ask_each_other_on_two_nodes_at_once_agree(nodes: Nodes) -> None:
    async with nodes[0].client("alice") as alice, nodes[1].client("bob") as bob:
        told = Watch(alice, RelationChanged), Watch(bob, RelationChanged)
        await asyncio.gather(alice.friends.add("bob"), bob.friends.add("alice"))
        for watch in told:
            await watch.event(RelationChanged, lambda event: event.change.type is RelationType.FRIEND_ADDED)
        assert [[friend.user_id for friend in await user.friends.list()] for user in (alice, bob)] == [["bob"], ["alice"]]


class Gateways:
    """Servers on one database and one NATS that may be killed."""

    def __init__(self, nats: Nats, servers: Nodes) -> None:
        self.nats = nats
        self.servers = servers


@asynccontextmanager
async def mortal(url: str, count: int = 2, program: Sequence[str] = RunningServer.program) -> AsyncIterator[Gateways]:
    """Gateways with a NATS of their own."""
    nats = await asyncio.to_thread(Nats)
    try:
        async with AsyncExitStack() as stack:
            servers = []
            for _ in range(count):
                folder = Path(await asyncio.to_thread(stack.enter_context, TemporaryDirectory()))
                server = RunningServer(folder, {"database": url, "bus": nats.url, "group_messages_per_s": 0})
                server.program = program
                stack.push_async_callback(server.stop)
                stack.push_async_callback(server.faults.stop)
                await server.start()
                servers.append(server)
            yield Gateways(nats, servers)
    finally:
        await asyncio.to_thread(nats.close)


async def a_hint_is_lost(gateways: Gateways) -> None:
    """NATS goes, a message is posted, NATS comes back; nothing is posted after it that would show the gap."""
    here, there = gateways.servers
    async with here.client("alice") as alice, there.client("bob") as bob:
        watch = Watch(bob)
        await alice.c2c("bob").send("before")
        await watch.message(lambda m: m.text == "before")
        await asyncio.to_thread(gateways.nats.stop)
        await alice.c2c("bob").send("meanwhile")
        await asyncio.to_thread(gateways.nats.start)
        async with asyncio.timeout(LOST_LIMIT_S):
            await watch.message(lambda m: m.text == "meanwhile")
        assert [m.text for m in watch.messages] == ["before", "meanwhile"]


async def test_r7_a_hint_lost_with_nats_is_made_good(database: Callable[[], str]) -> None:
    async with mortal(database()) as gateways:
        await a_hint_is_lost(gateways)


async def test_r7_nodes_that_do_not_compare_are_found_out(database: Callable[[], str]) -> None:
    async with mortal(database(), program=("-m", "tests.mutants.no_compare")) as gateways:
        with pytest.raises(TimeoutError):
            await a_hint_is_lost(gateways)


async def test_a_server_works_on_while_nats_is_away_and_decides_by_the_database(database: Callable[[], str]) -> None:
    async with mortal(database()) as gateways:
        here, there = gateways.servers
        async with here.client("owner") as owner, there.client("bob") as bob:
            group = await owner.groups.create("Public", name="team", members=["bob"])
            await bob.group(group.id).send("one")
            await asyncio.to_thread(gateways.nats.stop)
            watch = Watch(bob)
            await owner.group(group.id).send("two")
            await watch.message(lambda m: m.text == "two")  # by comparing, while it is away
            await group.kick("bob")
            with pytest.raises(NotAMember):
                await bob.group(group.id).send("three")


async def talked_through(
    gateways: Gateways, postgres: Postgres, act: Callable[[], Awaitable[None]], *, pairs: int = 4
) -> list[float]:
    """Pairs on different gateways talk while `act` breaks things; each gets exactly what was acked for it, in its order.

    How many seconds each message took from the call of `send` until it was thrown.
    """
    servers = gateways.servers
    stop = asyncio.Event()
    begun: dict[str, float] = {}
    took: list[float] = []
    quick: dict[str, Any] = {"reconnect_limit": 0.5, "timeout": 30.0}
    async with AsyncExitStack() as stack:
        senders, watches = [], []
        for n in range(pairs):
            receiver = await stack.enter_async_context(servers[(n + 1) % len(servers)].client(f"r{n}", **quick))

            @receiver.on_new_message
            def note(messages: list[Message]) -> None:
                took.extend(time.monotonic() - begun[m.text] for m in messages if m.text)

            watches.append(Watch(receiver))
            senders.append(await stack.enter_async_context(servers[n % len(servers)].client(f"s{n}", **quick)))
        sent: list[list[str]] = [[] for _ in range(pairs)]

        async def talk(n: int) -> None:
            while not stop.is_set():
                text = f"{n}-{len(sent[n])}"
                begun[text] = time.monotonic()
                sent[n].append(text)
                await senders[n].c2c(f"r{n}").send(text)
                await asyncio.sleep(0.02)  # a pace, not a wait: some fifty a second

        async with asyncio.TaskGroup() as talking:
            for n in range(pairs):
                talking.create_task(talk(n))
            await act()
            stop.set()
        for n, watch in enumerate(watches):
            await watch.upto(len(sent[n]))
            assert [m.text for m in watch.messages if m.text] == sent[n]
    return took


async def kill_each(gateways: Gateways, postgres: Postgres, rng: random.Random, kills: int) -> None:
    """Each kind of part dies so often, in a random order, and comes back."""
    deaths = ["gateway", "nats", "postgres"] * kills
    rng.shuffle(deaths)
    for death in deaths:
        match death:
            case "gateway":
                server = rng.choice(gateways.servers)
                await server.crash()
                await server.start()
            case "nats":
                await asyncio.to_thread(gateways.nats.stop)
                await asyncio.to_thread(gateways.nats.start)
            case _:
                await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
                await asyncio.to_thread(postgres.start)
        await asyncio.sleep(0.2 + rng.random())  # some messages pass in between


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@pytest.mark.timeout(180)
async def test_r7_deaths_of_every_part_lose_nothing_and_repeat_nothing(own_postgres: Postgres, seed: int) -> None:
    async with mortal(own_postgres.database("r7")) as gateways:
        await talked_through(gateways, own_postgres, partial(kill_each, gateways, own_postgres, random.Random(seed), 1))


@pytest.mark.cluster
async def test_r7_in_full(own_postgres: Postgres, seed: int) -> None:
    """20 deaths of each kind on 3 gateways, then NATS away for 10 s; the times are printed."""
    async with mortal(own_postgres.database("r7"), 3) as gateways:
        kills = partial(kill_each, gateways, own_postgres, random.Random(seed), 20)
        told(await talked_through(gateways, own_postgres, kills, pairs=9), "with 20 deaths of each kind")

        async def nats_away() -> None:
            await asyncio.to_thread(gateways.nats.stop)
            await asyncio.sleep(10)
            await asyncio.to_thread(gateways.nats.start)

    async with mortal(own_postgres.database("away"), 3) as gateways:
        told(await talked_through(gateways, own_postgres, nats_away, pairs=9), "with NATS away for 10 s")


def told(took: list[float], what: str) -> None:
    took.sort()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    print(f"{what}: {len(took)} messages, p50 {p50 * 1000:.0f} ms, p99 {p99:.2f} s, longest {took[-1]:.2f} s")


async def doctor(*arguments: str) -> tuple[int, str]:
    """What `timim doctor` prints, and its exit status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "timim.cli",
        "doctor",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_the_doctor_tells_a_good_deployment_from_a_bad_one(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    status, said = await doctor("--database", url, "--bus", nats_server.url)
    assert (status, "BAD" in said, "commit" in said) == (0, False, True), said
    status, said = await doctor("--database", url, "--bus", f"{nats_server.url},nats://127.0.0.1:1")
    assert status == 1
    assert "BAD   bus: nats://127.0.0.1:1: cannot connect" in said
    assert "Traceback" not in said
    status, said = await doctor("--database", "postgresql://x:secret@127.0.0.1:1/d")
    assert status == 1
    assert "BAD   database: cannot connect" in said
    assert "secret" not in said


async def test_a_node_that_is_ready_says_so_and_one_without_its_database_does_not(own_postgres: Postgres) -> None:
    async with mortal(own_postgres.database("ready"), 1) as gateways, httpx2.AsyncClient() as http:
        url = gateways.servers[0].url.replace("ws", "http", 1) + "/readyz"
        ready = await http.get(url)
        assert (ready.status_code, ready.json()) == (200, {"status": "ok", "bus": "ok"})
        await asyncio.to_thread(own_postgres.stop)
        assert (await http.get(url, timeout=10)).status_code == 503
        await asyncio.to_thread(own_postgres.start)
        assert (await http.get(url, timeout=10)).status_code == 200
