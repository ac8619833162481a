"""Tests of R3 by a state machine: two clients and a server over a network with faults, on a virtual clock.

The code of both sides is the product's own, with real sockets, frames and files. Only the time is virtual: deadlines,
heartbeats and pauses between retries pass as soon as nothing else can run.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from timim import Client, Message, MessageStatus, Page, TimimError
from timim.server.store import timelines
from timim.server.store.base import Appended, NewEntry
from timim.server.store.operation import Operation
from timim.testing import EventRecorder, VirtualClock, local_server
from timim.testing.fault_proxy import Direction

T = TypeVar("T")
USERS = ("alice", "bob")
PEER = {"alice": "bob", "bob": "alice"}
SETTLE_S = 900  # on the virtual clock: longer than any deadline, pause or interval of comparing
users = st.sampled_from(USERS)
directions: st.SearchStrategy[Direction] = st.sampled_from(["up", "down"])


class Network(RuleBasedStateMachine):
    """The state machine. Its model is the list of texts that each user has sent; every device must show them once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.runner = asyncio.Runner(loop_factory=self.clock.new_event_loop)
        self.folder = tempfile.TemporaryDirectory()
        self.open = AsyncExitStack()
        self.given: dict[str, list[str]] = {user: [] for user in USERS}
        self.sending: list[asyncio.Task[Message]] = []
        self.clients: dict[str, Client] = {}
        self.watches: dict[str, list[EventRecorder]] = {user: [] for user in USERS}
        self.deleted: dict[str, set[int]] = {user: set() for user in USERS}

    def do(self, work: Coroutine[None, None, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(SETTLE_S):
                return await work

        return self.runner.run(bounded())

    @initialize()
    def start(self) -> None:
        async def work() -> None:
            self.server = await self.open.enter_async_context(local_server(self.clock, hello_interval_s=4))
            await self.server.add_users(*USERS)
            for user in USERS:
                await self.enter(user)

        self.do(work())

    async def enter(self, user: str) -> None:
        client = self.server.client(user, data_dir=Path(self.folder.name) / user, timeout=3, reconnect_limit=2)
        self.watches[user].append(EventRecorder(client))
        self.clients[user] = client
        while True:
            try:
                return await client.login()
            except TimimError:
                await asyncio.sleep(1)

    @rule(user=users, count=st.integers(1, 4))
    def send(self, user: str, count: int) -> None:
        async def work() -> None:
            for _ in range(count):
                message = Message(f"{user} {len(self.given[user])}")
                self.given[user].append(message.text)
                self.sending.append(asyncio.create_task(self.clients[user].c2c(PEER[user]).send(message)))
                while not message.local_id:  # noqa: ASYNC110  the message is on disk, so the outbox has to send it
                    await asyncio.sleep(0.001)

        self.do(work())

    @rule(user=users, direction=directions, after=st.integers(0, 3), half=st.booleans())
    def cut(self, user: str, direction: Direction, after: int, half: bool) -> None:
        self.server.faults.cut(user=user, direction=direction, after_frames=after, half=half)

    @rule(user=users, direction=directions, after=st.integers(0, 3), times=st.integers(1, 2))
    def drop(self, user: str, direction: Direction, after: int, times: int) -> None:
        self.server.faults.drop(user=user, direction=direction, after_frames=after, times=times)

    @rule(user=users, direction=directions, after=st.integers(0, 3))
    def duplicate(self, user: str, direction: Direction, after: int) -> None:
        self.server.faults.duplicate(user=user, direction=direction, after_frames=after)

    @rule(user=users, direction=directions, after=st.integers(0, 3))
    def reorder(self, user: str, direction: Direction, after: int) -> None:
        self.server.faults.reorder(user=user, direction=direction, after_frames=after)

    @rule(user=users, direction=directions)
    def stall(self, user: str, direction: Direction) -> None:
        self.server.faults.stall(user=user, direction=direction)

    @rule(seconds=st.sampled_from([0.1, 5, 60, 3600]))
    def sleep(self, seconds: float) -> None:
        """Advance the clock, as if the machine had slept or nothing had happened."""
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-60, 60]))
    def set_the_clock_wrong(self, seconds: float) -> None:
        # a larger offset would make the server refuse signatures as issued in the future
        if abs(self.clock.wall.offset_s + seconds) <= 120:
            self.clock.wall.jump(seconds)

    @rule()
    def cut_all(self) -> None:
        async def work() -> None:
            self.server.faults.cut_all()

        self.do(work())

    @rule()
    def restart_the_server(self) -> None:
        self.server.faults.clear()  # a stalled connection would delay the server's stop
        self.do(self.server.restart())

    @rule(user=users)
    def restart_a_client(self, user: str) -> None:
        async def work() -> None:
            await self.clients[user].close()
            await self.enter(user)

        self.server.faults.clear()
        self.do(work())

    @rule(user=users, count=st.integers(1, 30))
    def read_history(self, user: str, count: int) -> None:
        """Read a page. The request may fail with the connection, but a page has no gap."""

        async def work() -> None:
            try:
                page = await self.clients[user].c2c(PEER[user]).get_messages(count)
            except TimimError:
                return
            seqs = [m.seq for m in page if m.seq]
            assert seqs == list(range(seqs[0], seqs[0] - len(seqs), -1)) if seqs else True

        self.do(work())

    @precondition(lambda self: any(self.given.values()))
    @rule(user=users)
    def delete_the_newest(self, user: str) -> None:
        """Delete the newest message from the local store, which opens a gap that a later page fills."""

        async def work() -> None:
            page = await self.clients[user].c2c(PEER[user]).get_local_messages(1)
            for message in page:
                if message.status is MessageStatus.SUCCEEDED:
                    self.deleted[user].add(message.seq)
                    await message.delete_from_storage()

        self.do(work())

    @rule()
    def settle(self) -> None:
        """End the faults, and check that both devices have all messages once and in order."""
        if not hasattr(self, "server"):
            return
        self.server.faults.clear()
        self.do(self.all_is_there())

    async def all_is_there(self) -> None:
        for result in await asyncio.gather(*self.sending, return_exceptions=True):
            assert isinstance(result, Message | TimimError), result
        self.sending.clear()
        for client in self.clients.values():
            while client.engine.outbox.sending:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        async with self.server.client("bob") as fresh:
            stored = [m async for m in fresh.c2c("alice").history(oldest_first=True)]
        assert [m.seq for m in stored] == list(range(1, len(stored) + 1)), "the seqs must have no gap"
        times = [m.timestamp for m in stored]
        assert times == sorted(times), "times must not decrease"
        for user in USERS:
            assert [m.text for m in stored if m.sender == user] == self.given[user], "stored once, in each sender's order"
        for user in USERS:
            await self.is_whole(user, stored)

    async def is_whole(self, user: str, stored: list[Message]) -> None:
        due = [m.seq for m in stored if m.sender != user]
        while len(seen := [m.seq for watch in self.watches[user] for m in watch.messages]) < len(due):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert seen == due, "each message must be delivered once and in order"
        if not stored:
            return
        page = await self.read(user)
        held = [(m.seq, m.text) for m in reversed(page) if m.seq]
        assert held == [(m.seq, m.text) for m in stored]
        known = await self.clients[user].c2c(PEER[user]).coverage()
        assert known.intervals == ((1, len(stored)),)
        assert known.complete

    async def read(self, user: str) -> Page:
        while True:
            try:
                page = await self.clients[user].c2c(PEER[user]).get_messages(1000)
            except TimimError:
                page = None
            if page is not None and page.complete:  # an incomplete page means that the client is reconnecting
                return page
            await asyncio.sleep(0.5)

    def teardown(self) -> None:
        async def work() -> None:
            for client in self.clients.values():
                await client.close()
            await asyncio.gather(*self.sending, return_exceptions=True)
            await self.open.aclose()

        try:
            self.settle()
        finally:
            if hasattr(self, "server"):
                self.server.faults.clear()
            self.do(work())
            self.runner.close()
            self.folder.cleanup()


LOOSE = [HealthCheck.too_slow, HealthCheck.filter_too_much]
TestANetworkWithFaultsKeepsEveryPromise = pytest.mark.requirement("R3")(pytest.mark.timeout(300)(Network.TestCase))
# a step takes about 50 ms; `make fuzz` runs many more
TestANetworkWithFaultsKeepsEveryPromise.settings = settings(
    max_examples=settings().max_examples // 8, stateful_step_count=12, deadline=None, suppress_health_check=LOOSE
)


@pytest.mark.timeout(300)
@pytest.mark.requirement("R3")
def test_a_server_that_does_not_recognise_a_resend_is_detected_by_the_state_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    append = timelines.append

    def append_always(entry: NewEntry) -> Operation[Appended]:
        return append(replace(entry, msg_key=None))

    class LosesAcks(Network):
        """The same state machine with more lost acks, so that few examples are needed."""

        @rule(user=users)
        def send_and_lose_the_ack(self, user: str) -> None:
            self.server.faults.cut(user=user, direction="down")
            self.send(user, 1)

    monkeypatch.setattr(timelines, "append", append_always)
    monkeypatch.setattr(timelines, "append_all", timelines.one_by_one)
    enough = settings(
        max_examples=20,
        stateful_step_count=8,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=LOOSE,
    )
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_state_machine_as_test(LosesAcks, settings=enough)
