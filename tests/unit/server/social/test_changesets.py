"""Tests of changesets on a real store: one transaction, pushes only to readers, and execution to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest

from timim import LimitReached, UnknownGroup
from timim.ids import ConversationKey, ConversationType
from timim.server.bus.base import Event
from timim.server.bus.local import LocalBus
from timim.server.integrations.service import Integrations
from timim.server.messaging.admission import Admission, MessageRules
from timim.server.messaging.history import HistoryReader
from timim.server.messaging.posting import MessagePoster
from timim.server.messaging.validation import MessageValidator, OutgoingMessage
from timim.server.metrics import Metrics
from timim.server.settings import Settings
from timim.server.social import group_rules
from timim.server.social.apply import ChangesetApplier
from timim.server.social.entity_cache import EntityCache
from timim.server.social.group_rules import Actor
from timim.server.store.base import Member, StoredAccount, StoredGroup
from timim.server.store.sqlite import SqliteStore

SETTINGS = Settings(data_dir=None)
GROUP, BOB = ConversationKey(ConversationType.GROUP, "g"), ConversationKey(ConversationType.C2C, "bob")
SETTINGS = Settings()  # reads files, so it is made outside of coroutines
TEXT = msgspec.Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]')


@dataclass
class Bench:
    store: SqliteStore
    directory: EntityCache
    timelines: MessagePoster
    plans: ChangesetApplier
    heard: list[tuple[str, int]]  # user and seq, in the order of the pushes

    async def actor(self, user: str) -> Actor:
        return Actor(await self.directory.account(user), 100)


def timelines_of(store: SqliteStore, bus: LocalBus, directory: EntityCache) -> MessagePoster:
    metrics = Metrics()
    admission = Admission(metrics, now=lambda: 100.0)
    rules = MessageRules(MessageValidator(1000), admission)
    integrations = Integrations(SETTINGS, store, directory, bus, app_id=1, now=lambda: 100.0)
    return MessagePoster(store, bus, directory, rules, integrations, metrics, now=lambda: 100.0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    store, bus = SqliteStore(None), LocalBus()
    await store.open()
    directory = EntityCache(store, LocalBus())
    heard: list[tuple[str, int]] = []

    def hear(event: Event) -> None:
        heard.extend((user, msgspec.json.decode(event.payload)["TimelineSeq"]) for user in event.users)

    bus.subscribe(hear)
    timelines = timelines_of(store, bus, directory)
    for user in ("alice", "bob"):
        await directory.ensure_account(user)
    await directory.create_group(StoredGroup("g", "Community", "team", "alice", 100, {"alice": Member("Owner")}))
    plans = ChangesetApplier(bus, directory, now=lambda: 100.0)
    yield Bench(store, directory, timelines, plans, heard)
    await plans.drain()
    await store.close()


async def join(bench: Bench, user: str, limit: int = 10) -> None:
    actor = await bench.actor(user)
    plan, _ = group_rules.joined(actor, await bench.directory.group("g"), "", limit)
    await bench.plans.apply(plan)


async def test_a_new_member_is_not_pushed_earlier_messages_of_the_same_commit(bench: Bench) -> None:
    said = bench.timelines.post(OutgoingMessage("alice", TEXT, 0, 1, 100), GROUP)
    posted, _ = await asyncio.gather(said, join(bench, "bob"))
    assert posted.seq == 1
    assert [seq for user, seq in bench.heard if user == "bob"] == [2]
    assert (await bench.directory.group("g")).members["bob"].floor == 2


async def test_a_changeset_is_executed_and_published_after_its_caller_is_gone(bench: Bench) -> None:
    asking = asyncio.create_task(join(bench, "bob"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await bench.plans.drain()
    assert bench.heard == [("alice", 1), ("bob", 1)]
    page = await HistoryReader(bench.store, bench.directory, now=lambda: 0.0).page("bob", GROUP, 1, 9, 9)
    assert (page.first, page.last) == (1, 1)


async def test_two_users_joining_at_once_cannot_both_take_the_last_place(bench: Bench) -> None:
    await bench.directory.ensure_account("carol")
    outcomes = await asyncio.gather(join(bench, "bob", 2), join(bench, "carol", 2), return_exceptions=True)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], LimitReached)
    assert list((await bench.directory.group("g")).members) == ["alice", "bob"]


async def test_a_group_that_is_being_dissolved_is_not_read_back(bench: Bench) -> None:
    group = await bench.directory.group("g")
    plan = group_rules.dissolved(await bench.actor("alice"), group)

    async def look() -> None:
        with pytest.raises(UnknownGroup):
            await bench.directory.group("g")

    await asyncio.gather(bench.plans.apply(plan), look())
    await look()


class SlowFirst(EntityCache):
    """A cache that returns the first account later than the others."""

    slow = True

    async def account(self, user: str) -> StoredAccount:
        if user == "bob" and self.slow:
            self.slow = False
            for _ in range(5):
                await asyncio.sleep(0)
        return await super().account(user)


@pytest.mark.parametrize("where", ["c2c", "group"])
async def test_messages_are_numbered_as_received_also_when_the_first_had_to_wait(bench: Bench, where: str) -> None:
    await join(bench, "bob")
    timelines = timelines_of(bench.store, LocalBus(), SlowFirst(bench.store, LocalBus()))

    async def post(random: int) -> int:
        draft = OutgoingMessage("bob" if where == "group" else "alice", TEXT, 0, random, 100)
        sending = timelines.post(draft, GROUP if where == "group" else BOB)
        return (await sending).seq

    seqs = await asyncio.gather(*(post(n) for n in range(1, 21)))
    assert seqs == sorted(seqs)
