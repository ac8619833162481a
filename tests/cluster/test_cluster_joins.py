"""Tests of joins in a cluster: a new member gets every message sent after the join, also if the node learns of it late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.support.backing_services import Nats
from tests.support.deployment import deployment
from timim import Client, Message
from timim.engine.inbox import Inbox
from timim.engine.sync import Sync
from timim.ids import ConversationKey
from timim.protocol.conversation_list import ConversationItem
from timim.testing import EventRecorder

pytestmark = pytest.mark.timeout(180)  # several servers each, on a machine that others use too
SLOW = ("-m", "tests.support.late_bus")
OLDER = ("-m", "tests.support.older_bus")
SAID = 5


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages if message.text]


async def came_into_a_group(alice: Client, watch: EventRecorder, type: str, *, at_once: bool) -> None:
    """Add bob to a group while alice sends in it, and check that he gets every later message once and in order.

    With `at_once` alice sends a fixed number of messages immediately; otherwise she goes on until bob has received one.
    """
    group = await alice.groups.create(type, name="old")
    for n in range(SAID):
        await group.conversation.send(f"before {n}")
    await group.invite("bob")
    heard, said = len(watch.messages), 0
    while said < SAID or not (at_once or texts(watch.messages[heard:])):
        await group.conversation.send(f"after {said}")
        said += 1
    await watch.wait_for_message(lambda message: message.key == group.conversation.key and message.text == f"after {said - 1}")
    assert texts(watch.messages[heard:]) == [f"after {n}" for n in range(said)]


@asynccontextmanager
async def alice_and_bob(url: str, bus: str, program: Sequence[str] = SLOW) -> AsyncIterator[tuple[Client, EventRecorder]]:
    """Start two gateways that subscribe late to groups. Yield a client of alice at one, and a recorder of bob at the other."""
    async with deployment(program, program, database=url, bus=bus) as running:
        here, there = running.gateways
        async with running.client("alice", at=here) as alice, running.client("bob", at=there) as bob:
            yield alice, EventRecorder(bob)


@pytest.mark.parametrize("at_once", [True, False], ids=["said at once", "said all the time"])
@pytest.mark.requirement("R7")
async def test_a_new_member_misses_no_message_of_the_group(
    at_once: bool, database: Callable[[], str], nats_server: Nats
) -> None:
    async with alice_and_bob(database(), nats_server.url) as (alice, watch):
        # in a Meeting, bob can also read earlier messages, but they are not delivered to handlers
        for type in ("Public", "Meeting"):
            await came_into_a_group(alice, watch, type, at_once=at_once)


@pytest.mark.requirement("R7")
async def test_a_new_member_misses_no_message_of_an_older_gateway(database: Callable[[], str], nats_server: Nats) -> None:
    async with alice_and_bob(database(), nats_server.url, OLDER) as (alice, watch):
        await came_into_a_group(alice, watch, "Public", at_once=True)


@pytest.mark.parametrize("at_once", [True, False], ids=["said at once", "said all the time"])
@pytest.mark.requirement("R7")
async def test_a_client_that_starts_a_group_at_the_first_push_is_detected(
    at_once: bool, database: Callable[[], str], nats_server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def what_was_pushed(self: Inbox, key: ConversationKey, first: int) -> int:
        return first - 1

    def the_last(self: Sync, key: ConversationKey, contact: ConversationItem, known: int) -> int:
        return max(contact.first_visible_seq - 1, known, self._ingest.delivered_seqs.get(key, contact.last_seq - 1))

    monkeypatch.setattr(Inbox, "_seq_before_joining", what_was_pushed)
    monkeypatch.setattr(Sync, "_first_fetched_after", the_last)
    async with alice_and_bob(database(), nats_server.url) as (alice, watch):
        with pytest.raises(AssertionError):
            await came_into_a_group(alice, watch, "Public", at_once=at_once)
