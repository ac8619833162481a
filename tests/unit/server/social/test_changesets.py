"""Plans over a real store: one transaction, pushed to whom it concerns, and carried out to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest

from timim import LimitReached, UnknownGroup
from timim.server.bus.base import Event
from timim.server.bus.local import LocalBus
from timim.server.messaging.admission import Admission
from timim.server.messaging.history import Pages
from timim.server.messaging.posting import Timelines
from timim.server.messaging.validation import Draft, DraftRules
from timim.server.metrics import Metrics
from timim.server.social import group_rules
from timim.server.social.apply import Plans
from timim.server.social.entity_cache import Directory
from timim.server.social.group_rules import Actor
from timim.server.store.base import Account, Group, Member
from timim.server.store.sqlite import SqliteStore

TEXT = msgspec.Raw(b'[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]')


@dataclass
class Bench:
    store: SqliteStore
    directory: Directory
    timelines: Timelines
    plans: Plans
    heard: list[tuple[str, int]]  # user and seq, in the order of the pushes

    async def actor(self, user: str) -> Actor:
        return Actor(await self.directory.account(user), 100)


def timelines_of(store: SqliteStore, bus: LocalBus, directory: Directory) -> Timelines:
    metrics = Metrics(sessions=lambda: 0)
    admission = Admission(metrics, now=lambda: 100.0)
    return Timelines(store, bus, directory, metrics, DraftRules(1000), admission, now=lambda: 100.0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    store, bus = SqliteStore(None), LocalBus()
    await store.open()
    directory = Directory(store)
    heard: list[tuple[str, int]] = []

    def hear(event: Event) -> None:
        heard.extend((user, msgspec.json.decode(event.payload)["TimelineSeq"]) for user in event.users)

    bus.subscribe(hear)
    timelines = timelines_of(store, bus, directory)
    for user in ("alice", "bob"):
        await directory.ensure_account(user)
    await directory.create_group(Group("g", "Community", "team", "alice", 100, {"alice": Member("Owner")}))
    plans = Plans(bus, directory, now=lambda: 100.0)
    yield Bench(store, directory, timelines, plans, heard)
    await plans.drain()
    await store.close()


async def join(bench: Bench, user: str, limit: int = 10) -> None:
    actor = await bench.actor(user)
    plan, _ = group_rules.joined(actor, await bench.directory.group("g"), "", limit)
    await bench.plans.carry_out(plan)


async def test_a_new_member_is_not_pushed_earlier_messages_of_the_same_commit(bench: Bench) -> None:
    said = bench.timelines.post_group(Draft("alice", TEXT, 0, 1, 100), "g")
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
    page = await Pages(bench.store, bench.directory).group("bob", "g", 1, 9, 9)
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

    await asyncio.gather(bench.plans.carry_out(plan), look())
    await look()


class SlowFirst(Directory):
    """The armed fault: the first look at an account takes longer than the others'."""

    slow = True

    async def account(self, user: str) -> Account:
        if user == "bob" and self.slow:
            self.slow = False
            for _ in range(5):
                await asyncio.sleep(0)
        return await super().account(user)


@pytest.mark.parametrize("where", ["c2c", "group"])
async def test_messages_are_numbered_as_received_also_when_the_first_had_to_wait(bench: Bench, where: str) -> None:
    await join(bench, "bob")
    timelines = timelines_of(bench.store, LocalBus(), SlowFirst(bench.store))

    async def post(random: int) -> int:
        draft = Draft("bob" if where == "group" else "alice", TEXT, 0, random, 100)
        sending = timelines.post_group(draft, "g") if where == "group" else timelines.post_c2c(draft, "bob")
        return (await sending).seq

    seqs = await asyncio.gather(*(post(n) for n in range(1, 21)))
    assert seqs == sorted(seqs)
