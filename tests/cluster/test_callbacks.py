"""Tests of callbacks from several gateways: each is made once and in order, also when the gateway that stored it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.backing_services import Nats
from tests.support.deployment import THIS, deployment
from tests.support.webhook_receiver import Call, WebhookReceiver, reply, webhook_receiver
from timim.protocol import callbacks as names
from timim.testing import RunningServer

Nodes = list[RunningServer]
CHANGES = 10


@pytest.fixture
async def back_end() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def nodes(database: Callable[[], str], nats_server: Nats, back_end: WebhookReceiver) -> AsyncIterator[Nodes]:
    """Start two gateways that make all callbacks to the same back end."""
    settings = {"webhook_url": back_end.url, "webhook_commands": ",".join(names.CALLBACKS - {names.STATE})}
    async with deployment(THIS, THIS, database=database(), bus=nats_server.url, **settings) as running:
        yield running.gateways


async def test_each_callback_is_made_once_and_in_order_by_any_node(nodes: Nodes, back_end: WebhookReceiver) -> None:
    here, there = nodes
    async with here.client("alice") as alice, there.client("alice") as second:
        group = await alice.groups.create("Public", name="g")
        for number in range(CHANGES):
            client = (alice, second)[number % 2]
            await client.groups.of(group.id).set_info(name=f"{number}")
            await client.group(group.id).send(f"{number}")
        await group.dissolve()
        await back_end.until(lambda calls: bool(back_end.of(names.DESTROYED)))
    changed = [call.body["Name"] for call in back_end.of(names.INFO_CHANGED)]
    sent = [call.body["MsgBody"][0]["MsgContent"]["Text"] for call in back_end.of(names.AFTER_GROUP)]
    assert changed == sent == [f"{number}" for number in range(CHANGES)]
    assert len(back_end.of(names.CREATED)) == len(back_end.of(names.BEFORE_CREATE)) == len(back_end.of(names.DESTROYED)) == 1


async def test_another_node_makes_the_callbacks_of_a_dead_one(nodes: Nodes, back_end: WebhookReceiver) -> None:
    here, _ = nodes
    came, failing = asyncio.Event(), True

    async def answer(call: Call) -> bytes:
        came.set()
        accepted = b'{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}'
        return reply(b"", status="503 Later") if failing else reply(accepted)

    back_end.answer = answer
    async with here.client("alice") as alice:
        group = await alice.groups.create("Public", name="g")
        await group.set_info(name="new")
    await came.wait()
    await here.crash()
    failing = False
    begun = len(back_end.calls)
    await back_end.until(lambda calls: bool(back_end.of(names.INFO_CHANGED)))
    told = [call.query["CallbackCommand"] for call in back_end.calls[begun:]]
    assert told == [names.CREATED, names.INFO_CHANGED]
