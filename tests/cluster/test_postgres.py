"""Tests of PostgreSQL as the store of several nodes: one order, one entry for each msg_id at any node, also through crashes."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from msgspec.structs import replace

from tests.support.backing_services import Postgres, ServiceProxy
from timim import InvalidArgument, StorageError
from timim.server.store.base import Appended, MsgKey, NewEntry, Store, StoredAccount, c2c_timeline
from timim.server.store.mutations import SetAccount
from timim.server.store.postgres.engine import PostgresStore
from timim.server.store.timelines import TimelineStore

LINES = [c2c_timeline("alice", peer) for peer in ("bob", "carol", "dave")]


def entry(number: int, line: str) -> NewEntry:
    return NewEntry(line, "alice", MsgKey(1_700_000_000, number), b"%d" % number, b'"N":%d}' % number, 100, ("alice", "bob"))


async def whole(store: Store, line: str) -> list[bytes]:
    """Return the payloads of a timeline, oldest first, after checking that its seqs have no gaps."""
    page = await store.timelines.page(line, 1, 1 << 62, 100_000)
    assert [e.seq for e in page.entries] == list(range(page.last_seq, 0, -1))
    return [e.tail for e in reversed(page.entries)]


async def opened(stack: AsyncExitStack, url: str, count: int, kind: type[PostgresStore] = PostgresStore) -> list[PostgresStore]:
    stores = [kind(url) for _ in range(count)]
    for store in stores:
        stack.push_async_callback(store.close)
    await asyncio.gather(*(store.open() for store in stores))  # all stores migrate the database at the same time
    return stores


@pytest.mark.requirement("R4")
async def test_several_nodes_append_to_one_timeline_without_gaps(database: Callable[[], str], seed: int) -> None:
    drawn = random.Random(seed)
    async with AsyncExitStack() as stack:
        nodes = await opened(stack, database(), 3)
        work = [entry(n, LINES[n % 3]) for n in range(600) for _ in range(2)]  # each entry twice, on any node
        drawn.shuffle(work)
        done = await asyncio.gather(*(drawn.choice(nodes).timelines.append(one) for one in work))
        by_message: dict[NewEntry, set[int]] = {}
        for one, appended in zip(work, done, strict=True):
            by_message.setdefault(one, set()).add(appended.seq)
        assert all(len(seqs) == 1 for seqs in by_message.values())
        assert sum(appended.duplicate for appended in done) == 600
        for line in LINES:
            tails = await whole(nodes[0], line)
            assert sorted(tails) == sorted(one.tail for one in by_message if one.timeline == line)


async def test_nodes_that_make_accounts_at_once_give_each_its_own_tiny_id(database: Callable[[], str]) -> None:
    async with AsyncExitStack() as stack:
        nodes = await opened(stack, database(), 3)
        made = await asyncio.gather(*(node.accounts.ensure(f"u{n}") for n in range(20) for node in nodes))
        ids = {(account.user_id, account.tiny_id) for account in made}
        assert len(ids) == 20
        assert len({tiny_id for _, tiny_id in ids}) == 20


async def test_a_value_the_database_cannot_store_is_refused_alone(database: Callable[[], str]) -> None:
    async with AsyncExitStack() as stack:
        (store,) = await opened(stack, database(), 1)
        good = [entry(n, LINES[0]) for n in range(3)]
        bad = replace(entry(9, LINES[0]), sender="a\0b")
        outcomes = await asyncio.gather(*(store.timelines.append(one) for one in (*good, bad)), return_exceptions=True)
        assert isinstance(outcomes.pop(), InvalidArgument)
        assert [getattr(outcome, "seq", None) for outcome in outcomes] == [1, 2, 3]
        await store.accounts.ensure("alice")
        with pytest.raises(InvalidArgument):
            await store.apply([SetAccount(StoredAccount("alice", 1, nickname="a\0b"))], [])


class NeverAgain(PostgresStore):
    """A mutant that does not retry: an operation that the database interrupts fails."""

    def __init__(self, url: str) -> None:
        super().__init__(url, retry_s=0)


class BlindTimelines(TimelineStore):
    async def append(self, entry: NewEntry) -> Appended:
        while True:
            try:
                return await super().append(replace(entry, msg_key=None))
            except StorageError:
                await asyncio.sleep(0.02)


class Blind(PostgresStore):
    """A mutant that retries without looking up if the entry is already stored."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.timelines = BlindTimelines(self.engine)


async def through_crashes(server: Postgres, url: str, kind: type[PostgresStore], crashes: int, seed: int) -> None:
    """Append on two nodes while the database crashes and restarts; check that each entry is stored once, with its acked seq."""
    drawn = random.Random(seed)
    async with AsyncExitStack() as stack:
        nodes = await opened(stack, url, 2, kind)
        acked: dict[tuple[str, int], bytes] = {}
        stop, reached = asyncio.Event(), asyncio.Event()
        goal = 0

        async def send(number: int) -> None:
            one = entry(number, LINES[number % 3])
            appended = await nodes[number % 2].timelines.append(one)
            assert acked.setdefault((one.timeline, appended.seq), one.tail) == one.tail
            if len(acked) >= goal:
                reached.set()

        async def load() -> int:
            number = 0
            while not stop.is_set():
                await asyncio.gather(*(send(n) for n in range(number, number + 20)))
                number += 20
            return number

        loading = asyncio.create_task(load())
        for _ in range(crashes):
            goal = len(acked) + drawn.randrange(20, 200)
            reached.clear()
            waiting = asyncio.create_task(reached.wait())
            await asyncio.wait((waiting, loading), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            await asyncio.to_thread(server.start)
        stop.set()
        count = await loading
        assert len(acked) == count
        for line in LINES:
            tails = await whole(nodes[0], line)
            assert tails == [acked.pop((line, seq), b"") for seq in range(1, len(tails) + 1)]
        assert not acked


@pytest.mark.requirement("R7")
async def test_database_crashes_lose_nothing_and_store_nothing_twice(own_postgres: Postgres, seed: int) -> None:
    await through_crashes(own_postgres, own_postgres.database("good"), PostgresStore, 3, seed)


@pytest.mark.requirement("R7")
async def test_a_store_that_does_not_retry_is_detected(own_postgres: Postgres, seed: int) -> None:
    with pytest.raises((AssertionError, StorageError)):
        await through_crashes(own_postgres, own_postgres.database("gives-up"), NeverAgain, 5, seed)


async def answers_lost_after_the_commit(url: str, kind: type[PostgresStore]) -> None:
    """Commit in the database, cut the connection before the reply, and check that each entry is stored once."""
    host, _, rest = url.rpartition(":")
    port, _, name = rest.partition("/")
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(ServiceProxy(int(port)))
        (store,) = await opened(stack, f"{host}:{relay.port}/{name}", 1, kind)
        assert (await store.timelines.append(entry(0, LINES[0]))).seq == 1
        relay.swallow()
        waiting = [asyncio.ensure_future(store.timelines.append(entry(n, LINES[0]))) for n in range(1, 6)]
        await relay.swallowed.wait()
        relay.cut()
        done = await asyncio.gather(*waiting)
        assert [appended.seq for appended in done] == [2, 3, 4, 5, 6]
        assert not any(appended.duplicate for appended in done)  # their seqs had not been acknowledged before
        assert len(await whole(store, LINES[0])) == 6


@pytest.mark.requirement("R7")
async def test_a_reply_lost_after_the_commit_is_looked_up(database: Callable[[], str]) -> None:
    await answers_lost_after_the_commit(database(), PostgresStore)


@pytest.mark.requirement("R7")
async def test_a_store_that_retries_blindly_is_detected(database: Callable[[], str]) -> None:
    with pytest.raises(AssertionError):
        await answers_lost_after_the_commit(database(), Blind)


@pytest.mark.requirement("R7")
async def test_an_operation_of_unknown_outcome_is_not_retried(database: Callable[[], str]) -> None:
    url = database()
    host, _, rest = url.rpartition(":")
    port, _, name = rest.partition("/")
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(ServiceProxy(int(port)))
        (store,) = await opened(stack, f"{host}:{relay.port}/{name}", 1)
        assert (await store.timelines.append(entry(0, LINES[0]))).seq == 1
        relay.swallow()
        waiting = asyncio.ensure_future(store.timelines.append(replace(entry(1, LINES[0]), msg_key=None)))
        await relay.swallowed.wait()
        relay.cut()
        with pytest.raises(StorageError, match="may or may not"):
            await waiting
        assert len(await whole(store, LINES[0])) == 2


async def test_an_unreachable_database_is_reported_in_time(own_postgres: Postgres) -> None:
    url = own_postgres.database("away")
    async with AsyncExitStack() as stack:
        store = PostgresStore(url, retry_s=0.3)
        stack.push_async_callback(store.close)
        await store.open()
        await asyncio.to_thread(own_postgres.stop)
        try:
            for work in (
                store.timelines.append(entry(1, LINES[0])),
                store.accounts.get("alice"),
                store.conversations.set_read("alice", LINES[0], 1),
            ):
                with pytest.raises(StorageError):
                    await work
            with pytest.raises(StorageError, match=f"127.0.0.1:{own_postgres.port}"):
                await PostgresStore(url).open()
        finally:
            await asyncio.to_thread(own_postgres.start)
        assert (await store.timelines.append(entry(1, LINES[0]))).seq == 1
