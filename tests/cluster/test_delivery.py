"""Tests of offline push from several gateways: each push is sent once and in order, and only for users who are offline."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.backing_services import Nats, Postgres
from tests.support.deployment import THIS, deployment
from tests.support.webhook_receiver import Call, WebhookReceiver, agree, webhook_receiver
from timim.testing import EventRecorder, RunningServer

Nodes = list[RunningServer]
NO_CLAIMS = ("-m", "tests.mutants.no_claims")
TEXTS = 20


@pytest.fixture
async def phones() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def nodes(database: Callable[[], str], nats_server: Nats, phones: WebhookReceiver) -> AsyncIterator[Nodes]:
    """Start two gateways that push to the same back end."""
    async with deployment(THIS, THIS, database=database(), bus=nats_server.url, push_url=phones.url) as running:
        yield running.gateways


def hold(phones: WebhookReceiver) -> tuple[asyncio.Event, asyncio.Event]:
    """Block the first call. Return an event that is set when the call arrives, and an event that lets it continue."""
    came, answered = asyncio.Event(), asyncio.Event()

    async def answer(call: Call) -> bytes:
        if not came.is_set():
            came.set()
            await answered.wait()
        return await agree(call)

    phones.answer = answer
    return came, answered


def seqs(phones: WebhookReceiver) -> list[int]:
    return [call.body["MsgSeq"] for call in phones.calls]


async def spoken_on_both(nodes: Nodes, phones: WebhookReceiver) -> None:
    """Send to an offline user from two nodes while the first push is slow, and wait for all pushes."""
    here, there = nodes
    await here.add_users("carol")
    async with here.client("alice") as alice, there.client("dave") as dave:
        group = await alice.groups.create("Public", name="g", members=["dave", "carol"])
        came, answered = hold(phones)
        await alice.group(group.id).send("0")
        await came.wait()
        await dave.group(group.id).send("1")
        answered.set()
        for n in range(2, TEXTS, 2):
            await asyncio.gather(alice.group(group.id).send(f"{n}"), dave.group(group.id).send(f"{n + 1}"))
        await phones.until(lambda calls: len({call.body["MsgSeq"] for call in calls}) == TEXTS)


async def test_each_push_is_delivered_once_and_in_order_by_any_node(nodes: Nodes, phones: WebhookReceiver) -> None:
    await spoken_on_both(nodes, phones)
    assert seqs(phones) == sorted(set(seqs(phones)))
    assert all(call.body["To_Account"] == ["carol"] for call in phones.calls), "dave is online on the other node"


async def test_nodes_that_do_not_claim_are_detected(
    database: Callable[[], str], nats_server: Nats, phones: WebhookReceiver
) -> None:
    url = database()
    async with deployment(NO_CLAIMS, NO_CLAIMS, database=url, bus=nats_server.url, push_url=phones.url) as running:
        await spoken_on_both(running.gateways, phones)
    assert max(Counter(seqs(phones)).values()) > 1


@pytest.mark.parametrize("other_knows", [True, False])
async def test_another_node_continues_the_deliveries_of_a_dead_one(
    nodes: Nodes, phones: WebhookReceiver, other_knows: bool
) -> None:
    here, there = nodes
    await here.add_users("bob")
    came, _ = hold(phones)
    async with here.client("alice") as alice, there.client("alice") as second:
        for n in range(3):
            await alice.c2c("bob").send(f"{n}")
        await came.wait()
        if other_knows:
            await second.c2c("bob").send("3")
        await here.crash()
        first, *rest = range(1, 5 if other_knows else 4)
        await phones.until(lambda calls: rest[-1] in seqs(phones))
    assert seqs(phones) == [first, first, *rest], "only the interrupted push is sent again; its id must be the same"
    assert len({call.body["PushId"] for call in phones.calls}) == 1 + len(rest)


async def test_delivery_continues_when_the_database_comes_back(
    own_postgres: Postgres, nats_server: Nats, phones: WebhookReceiver
) -> None:
    url = own_postgres.database("told")
    async with deployment(THIS, THIS, database=url, bus=nats_server.url, push_url=phones.url) as running:
        here, there = running.gateways
        await here.add_users("bob")
        came, answered = hold(phones)
        async with here.client("alice") as alice, there.client("alice") as second:
            for client in (alice, second, alice):
                await client.c2c("bob").send("x")
            await came.wait()
            await asyncio.to_thread(own_postgres.stop, signal.SIGQUIT)
            await asyncio.to_thread(own_postgres.start)
            answered.set()
            await second.c2c("bob").send("last")
            await phones.until(lambda calls: 4 in seqs(phones))
    assert sorted(set(seqs(phones))) == [1, 2, 3, 4]
    assert seqs(phones)[seqs(phones).index(2) :] == [2, 3, 4], "only the interrupted push may be sent twice"


async def test_a_user_online_on_another_node_gets_no_offline_push(nodes: Nodes, phones: WebhookReceiver) -> None:
    here, there = nodes
    await here.add_users("carol")
    async with here.client("alice") as alice, there.client("bob") as bob:
        watch = EventRecorder(bob)
        await alice.c2c("bob").send("to bob")
        await watch.wait_for_message(lambda m: m.text == "to bob")
        await alice.c2c("carol").send("to carol")
        await phones.until(bool)
        await alice.c2c("bob").send("to bob again")
        await watch.wait_for_message(lambda m: m.text == "to bob again")
        await alice.c2c("carol").send("to carol again")
        await phones.until(lambda calls: len(calls) >= 2)
    assert [call.body["To_Account"] for call in phones.calls] == [["carol"], ["carol"]]
