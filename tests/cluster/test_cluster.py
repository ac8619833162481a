"""Tests of several nodes on one PostgreSQL and one NATS, which act as one server. test_deaths.py tests failures of parts."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import httpx2
import pytest

from tests.support.backing_services import Nats, Postgres
from tests.support.chaos import killable_cluster
from tests.support.deployment import THIS, deployment, metrics_of
from timim import KickedOffline, KickedOut, Muted, NotAMember, RelationChanged, TopicsChanged, UnknownGroup
from timim.elem_base import RelationType
from timim.testing import EventRecorder, RunningServer

Nodes = list[RunningServer]


@pytest.fixture
async def nodes(database: Callable[[], str], nats_server: Nats) -> AsyncIterator[Nodes]:
    """Start two gateways on a new database."""
    async with deployment(THIS, THIS, database=database(), bus=nats_server.url) as running:
        yield running.gateways


async def test_two_users_on_two_nodes_talk_both_ways(nodes: Nodes) -> None:
    async with nodes[0].client("alice") as alice, nodes[1].client("bob") as bob, nodes[1].client("alice") as second:
        mine, bobs, seconds = EventRecorder(alice), EventRecorder(bob), EventRecorder(second)
        for n in range(20):
            await alice.c2c("bob").send(f"to bob {n}")
            await bob.c2c("alice").send(f"to alice {n}")
        assert [m.text for m in await mine.wait_for_messages(20)] == [f"to alice {n}" for n in range(20)]
        assert [m.text for m in await bobs.wait_for_messages(20)] == [f"to bob {n}" for n in range(20)]
        assert [m.text for m in await seconds.wait_for_messages(40)] == [
            f"to {who} {n}" for n in range(20) for who in ("bob", "alice")
        ]


async def test_metrics_show_the_bus_and_the_database(nodes: Nodes) -> None:
    async with nodes[0].client("alice") as alice, nodes[1].client("bob") as bob:
        watch = EventRecorder(bob)
        await asyncio.gather(*(alice.c2c("bob").send(str(n)) for n in range(50)))
        await watch.wait_for_messages(50)
        here, there = [await metrics_of(node.url) for node in nodes]
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


async def test_a_group_is_the_same_on_all_nodes(nodes: Nodes) -> None:
    here, there = nodes
    async with here.client("owner") as owner, there.client("bob") as bob, there.client("carol") as carol:
        watch, late = EventRecorder(bob), EventRecorder(carol)
        group = await owner.groups.create("Public", name="team", members=["bob"])
        await owner.group(group.id).send("one")
        await watch.wait_for_message(lambda m: m.text == "one")
        await bob.group(group.id).send("two")
        await group.invite("carol")
        await owner.group(group.id).send("three")
        await late.wait_for_message(lambda m: m.text == "three")
        assert [m.text for m in late.messages if m.text] == ["three"]
        await carol.group(group.id).send("four")
        await watch.wait_for_message(lambda m: m.text == "four")
        told, tips = len(late.messages), len(watch.messages)
        await group.kick("carol")
        await late.wait_for_messages(told + 1)  # the notice of her removal; her node has updated its cached group by then
        with pytest.raises(NotAMember):
            await carol.group(group.id).send("five")
        await watch.wait_for_messages(tips + 1)
        tips = len(watch.messages)
        await group.set_info(muted_all=True)
        await watch.wait_for_messages(tips + 1)
        with pytest.raises(Muted):
            await bob.group(group.id).send("six")


async def test_topics_are_the_same_on_all_nodes(nodes: Nodes) -> None:
    here, there = nodes
    async with here.client("owner") as owner, there.client("bob") as bob, there.client("carol") as carol:
        watch, late = EventRecorder(bob, TopicsChanged), EventRecorder(carol)
        town = await owner.groups.create("Community", name="town", members=["bob"], topics=True)
        news = await town.topics.create("news")
        assert (await watch.wait_for_event(TopicsChanged)).topic_ids == (news,)
        await owner.group(news).send("one")
        await watch.wait_for_message(lambda m: m.text == "one")
        await bob.group(news).send("two")
        await town.invite("carol")
        await carol.group(news).send("three")
        await watch.wait_for_message(lambda m: m.text == "three")
        await owner.group(news).send("four")
        await late.wait_for_message(lambda m: m.text == "four")
        assert [m.text for m in await carol.group(news).get_messages(4)] == ["four", "three", "two", "one"]
        await town.topics.edit(news, muted_all=True)
        with pytest.raises(Muted):
            await bob.group(news).send("five")
        await town.topics.delete(news)
        with pytest.raises(UnknownGroup):
            await bob.group(news).send("six")


async def test_a_message_sent_right_after_a_group_is_made_reaches_all_nodes(nodes: Nodes) -> None:
    """Test that no message is lost while the other node has not subscribed to the group yet."""
    async with nodes[0].client("owner") as owner, nodes[1].client("bob") as bob, nodes[1].client("carol") as carol:
        watches = [EventRecorder(bob), EventRecorder(carol)]
        said = []
        for n in range(20):
            group = await owner.groups.create("ChatRoom", name="new", members=["bob", "carol"])
            said += [f"{n} first", f"{n} second"]
            await asyncio.gather(*(owner.group(group.id).send(text) for text in said[-2:]))
        for watch in watches:
            await watch.wait_for_message(lambda m: m.text == said[-1])
            assert [m.text for m in watch.messages if m.text] == said


async def test_members_who_join_on_all_nodes_at_once_are_all_members(nodes: Nodes) -> None:
    async with AsyncExitStack() as stack:
        users = [await stack.enter_async_context(nodes[n % 2].client(f"u{n}")) for n in range(16)]
        group = await users[0].groups.create("ChatRoom", name="busy")
        await asyncio.gather(*(user.groups.join(group.id) for user in users[1:]))
        for user in users[:2]:
            members = [member.user_id for member in await user.groups.of(group.id).members()]
            assert sorted(members) == sorted(f"u{n}" for n in range(16))


async def test_users_who_ask_each_other_on_two_nodes_at_once_become_friends(nodes: Nodes) -> None:
    async with nodes[0].client("alice") as alice, nodes[1].client("bob") as bob:
        told = EventRecorder(alice, RelationChanged), EventRecorder(bob, RelationChanged)
        await asyncio.gather(alice.friends.add("bob"), bob.friends.add("alice"))
        for watch in told:
            await watch.wait_for_event(RelationChanged, lambda event: event.change.type is RelationType.FRIEND_ADDED)
        assert [[friend.user_id for friend in await user.friends.list()] for user in (alice, bob)] == [["bob"], ["alice"]]


@pytest.mark.parametrize("policy", ["platform", "one"])
async def test_a_device_slot_is_the_same_on_all_nodes(
    policy: Literal["platform", "one"], database: Callable[[], str], nats_server: Nats
) -> None:
    async with deployment(THIS, THIS, database=database(), bus=nats_server.url, devices=policy) as running:
        here, there = running.gateways
        phone, desk = here.client("alice", platform="mobile"), here.client("alice", platform="desktop")
        second = there.client("alice", platform="mobile")
        watches = {device: EventRecorder(device, KickedOut) for device in (phone, desk, second)}
        async with phone, desk, second, here.client("bob") as bob:
            for device in (phone, *([desk] if policy == "one" else ())):
                assert isinstance((await watches[device].wait_for_event(KickedOut)).error, KickedOffline)
            await bob.c2c("alice").send("hello")
            for device in {second, *([desk] if policy == "platform" else ())}:
                await watches[device].wait_for_message(lambda m: m.text == "hello")
                assert watches[device].events == []
            await phone.login()  # the phone takes its slot back
            await watches[second].wait_for_event(KickedOut)


async def test_a_device_that_lost_its_slot_on_another_node_stays_logged_out(
    database: Callable[[], str], nats_server: Nats
) -> None:
    async with deployment(THIS, THIS, database=database(), bus=nats_server.url, devices="one") as running:
        here, there = running.gateways
        phone = here.client("alice", reconnect_limit=0.2)
        watch = EventRecorder(phone, KickedOut)
        async with phone:
            await here.crash()
            async with there.client("alice") as tablet:
                stays = EventRecorder(tablet, KickedOut)
                await here.start()
                # the phone reconnected without a call of login()
                assert isinstance((await watch.wait_for_event(KickedOut)).error, KickedOffline)
                assert stays.events == []


async def test_a_slot_lost_while_nats_is_away_is_found_by_comparing(database: Callable[[], str]) -> None:
    nats = await asyncio.to_thread(Nats)
    try:
        async with deployment(THIS, THIS, database=database(), bus=nats.url, devices="one") as running:
            here, there = running.gateways
            async with here.client("alice") as phone:
                watch = EventRecorder(phone, KickedOut)
                await asyncio.to_thread(nats.stop)
                async with there.client("alice") as tablet:
                    await watch.wait_for_event(KickedOut)
                    assert "online" in repr(tablet)
    finally:
        await asyncio.to_thread(nats.close)


async def test_a_device_that_logs_in_on_another_node_ends_its_older_session(
    database: Callable[[], str], nats_server: Nats, tmp_path: Path
) -> None:
    async with deployment(THIS, THIS, database=database(), bus=nats_server.url) as running:
        here, there = running.gateways
        phone, twin = here.client("alice", data_dir=tmp_path), there.client("alice")
        watch = EventRecorder(phone, KickedOut)
        async with phone:
            await twin.open()
            await twin.engine.store.meta.set(
                "instance", await phone.engine.store.meta.get("instance", "")
            )  # a copy of the data folder
            async with twin:
                assert "logged in again" in str((await watch.wait_for_event(KickedOut)).error)
                assert "online" in repr(twin)


async def doctor(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run `timim doctor`, and return its exit status and its output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "timim.cli",
        *("doctor", "--port", "0"),
        *arguments,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_doctor_tells_a_good_deployment_from_a_bad_one(database: Callable[[], str], nats_server: Nats) -> None:
    url = database()
    status, said = await doctor("--database", url, "--bus", nats_server.url)
    assert (status, "bad " in said, "commit" in said) == (0, False, True), said
    status, said = await doctor("--database", url, "--bus", f"{nats_server.url},nats://127.0.0.1:1")
    assert status == 1
    assert "bad      bus: nats://127.0.0.1:1: cannot connect" in said
    assert "Traceback" not in said
    status, said = await doctor("--database", "postgresql://x:secret@127.0.0.1:1/d")
    assert (status, "TIMIM_DATABASE" in said, "secret" in said) == (2, True, False)
    status, said = await doctor(TIMIM_DATABASE="postgresql://x:secret@127.0.0.1:1/d")
    assert status == 1
    assert "bad      database: cannot connect" in said
    assert "secret" not in said


async def test_readyz_is_good_only_while_the_database_answers(own_postgres: Postgres) -> None:
    async with killable_cluster(own_postgres, "ready", gateways=1) as cluster, httpx2.AsyncClient() as http:
        url = cluster.running.gateways[0].url.replace("ws", "http", 1) + "/readyz"
        ready = await http.get(url)
        assert (ready.status_code, ready.json()) == (200, {"status": "ok", "bus": "ok"})
        await asyncio.to_thread(own_postgres.stop)
        await until_status(http, url, 503)
        await asyncio.to_thread(own_postgres.start)
        await until_status(http, url, 200)


async def until_status(http: httpx2.AsyncClient, url: str, status: int) -> None:
    """Request an address until it answers with a status, because the result of a check counts for a moment."""
    async with asyncio.timeout(20):
        while (await http.get(url, timeout=10)).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
