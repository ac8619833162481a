"""R5, R6, R9, and pushes that are lost: nothing is lost, repeated or out of order, whatever the network does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from pyleak import no_task_leaks

from timim import Client, ConnectionFailed, Message, MessageStatus, TimimError
from timim.engine.inbox import Inbox
from timim.ids import ConversationKey
from timim.net.link import Link
from timim.rows import Batch
from timim.testing import RunningServer, Watch, running_server
from timim.wire.coverage import Interval
from timim.wire.entries import Entry
from timim.wire.frames import Frame
from timim.wire.messages import SEND_C2C

T = TypeVar("T")
MUTANTS = Path(__file__).parent / "mutants"
TIMEOUT_S = 1.0  # of one request: what a lost message costs


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(hello_interval_s=2) as running:
        yield running


@contextmanager
def no_gap_repair() -> Iterator[None]:
    """A client that takes what is pushed for all there is."""

    async def trust(self: Inbox, key: ConversationKey, entries: dict[int, Entry | None], last: int) -> Batch | None:
        head = await self._head(key, min(entries, default=last))
        if last <= head:
            return None
        from timim.engine.entries import incoming_of

        incoming = [incoming_of(e, self._user_id) for s, e in sorted(entries.items()) if s > head and e is not None]
        return Batch(key, incoming, [Interval(head + 1, last)], live=True, head=last, last_seq=last)

    async def compare_nothing(self: Inbox) -> None:
        pass

    with patch.object(Inbox, "_live_batch", trust), patch.object(Inbox, "sync", compare_nothing):
        yield


async def test_r3_a_client_that_repairs_no_gap_is_found_out(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("bob", data_dir=tmp_path) as bob:
        watch = Watch(bob)
        with no_gap_repair():
            lost = server.faults.drop(user="bob", direction="down")
            await alice.c2c("bob").send("lost on the way")
            await lost.happened()
            await alice.c2c("bob").send("arrives")
            await watch.message(lambda m: m.text == "arrives")
        assert [m.text for m in watch.messages] == ["arrives"]


async def test_a_lost_push_is_noticed_at_the_next_heartbeat(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("bob", data_dir=tmp_path) as bob:
        watch = Watch(bob)
        server.faults.drop(user="bob", direction="down")
        await alice.c2c("bob").send("lost on the way")
        assert [m.text for m in await watch.upto(1)] == ["lost on the way"]


async def test_a_lost_push_is_repaired_by_the_next(server: RunningServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("bob", data_dir=tmp_path) as bob:
        watch = Watch(bob)
        lost = server.faults.drop(user="bob", direction="down")
        await alice.c2c("bob").send("lost on the way")
        await lost.happened()
        await alice.c2c("bob").send("arrives")
        assert [m.text for m in await watch.upto(2)] == ["lost on the way", "arrives"]


async def test_r3_a_message_outlives_any_number_of_cuts(server: RunningServer) -> None:
    await server.add_users("bob")
    async with server.client("alice", timeout=TIMEOUT_S, reconnect_limit=0.01) as alice:
        await alice.c2c("bob").send("before")
        cuts = server.faults.cut(user="alice", direction="up", times=25)
        sent = await alice.c2c("bob").send("after all")
        assert (sent.status, sent.seq) == (MessageStatus.SUCCEEDED, 2)
        assert cuts.done == 25


async def test_r3_a_link_that_ends_as_a_message_leaves_does_not_fail_the_message(server: RunningServer) -> None:
    start = Link.start
    ended = 0

    def ends(self: Link, command: Any, body: Any, *, timeout_s: float) -> asyncio.Future[Frame]:
        nonlocal ended
        if command is SEND_C2C and ended < 12:
            ended += 1
            raise ConnectionFailed("the link has just ended")
        return start(self, command, body, timeout_s=timeout_s)

    await server.add_users("bob")
    async with server.client("alice") as alice:
        with patch.object(Link, "start", ends):
            sent = await alice.c2c("bob").send("after all")
    assert (sent.status, ended) == (MessageStatus.SUCCEEDED, 12)


SCRIPT_MESSAGES = 8


async def script(server: RunningServer, me: str, peer: str, folder: Path) -> None:
    """Sending, receiving, reading back, marking as read; and what must be true after it."""
    alice, bob = (
        server.client(me, data_dir=folder, timeout=TIMEOUT_S, reconnect_limit=TIMEOUT_S),
        server.client(peer, timeout=TIMEOUT_S, reconnect_limit=TIMEOUT_S),
    )
    watch = Watch(bob)
    heard = Watch(alice)
    await login(alice)
    async with alice, bob:
        for i in range(SCRIPT_MESSAGES):
            await alice.c2c(peer).send(f"to {i}")
            await bob.c2c(me).send(f"from {i}")
        assert [m.text for m in await heard.upto(SCRIPT_MESSAGES)] == [f"from {i}" for i in range(SCRIPT_MESSAGES)]
        assert [m.text for m in await watch.upto(SCRIPT_MESSAGES)] == [f"to {i}" for i in range(SCRIPT_MESSAGES)]
        page = await again(lambda: alice.c2c(peer).get_messages(100))
        assert sorted(m.seq for m in page) == list(range(1, 2 * SCRIPT_MESSAGES + 1))
        await again(alice.c2c(peer).mark_read)
        assert (await alice.c2c(peer).coverage()).intervals == ((1, 2 * SCRIPT_MESSAGES),)
    assert len(heard.messages) == len(watch.messages) == SCRIPT_MESSAGES


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """What is asked of the server fails when the link does, and is asked again by whoever wants it."""
    for _ in range(5):
        try:
            return await ask()
        except TimimError:
            await asyncio.sleep(0.05)
    return await ask()


async def test_r5_a_cut_at_every_frame_of_a_conversation_loses_nothing(
    server: RunningServer, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)

    async def cut_after(frames: int) -> None:
        me, peer = f"a{frames}", f"b{frames}"
        await server.add_users(me, peer)
        fault = server.faults.cut(after_frames=frames, user=me, half=rng.random() < 0.5)
        await script(server, me, peer, tmp_path / me)
        done.append(fault.done)

    done: list[int] = []
    for first in range(0, 36, 6):
        await asyncio.gather(*(cut_after(frames) for frames in range(first, first + 6)))
    assert sum(done) >= 30


async def test_r6_every_device_gets_all_that_was_missed_once_and_in_order(
    server: RunningServer, tmp_path: Path, seed: int
) -> None:
    texts = [str(i) for i in range(1000)]
    await server.add_users("alice")
    for name in "xyz":
        async with server.client("alice", data_dir=tmp_path / name):
            pass
    async with server.client("bob") as bob:
        await asyncio.gather(*(bob.c2c("alice").send(text) for text in texts))
    devices = [server.client("alice", data_dir=tmp_path / name, timeout=TIMEOUT_S, reconnect_limit=TIMEOUT_S) for name in "xyz"]
    watches = [Watch(device) for device in devices]
    async with server.faults.chaos(seed, rate=0.3, kinds=("cut", "split")):
        logins = [asyncio.create_task(login(device)) for device in devices]
        await watches[0].upto(100)
        await server.crash()
        await server.start()
        await asyncio.gather(*logins)
        for watch in watches:
            assert [m.text for m in await watch.upto(1000)] == texts
    await again(devices[0].c2c("bob").mark_read)
    async with asyncio.timeout(20):
        while any(device.c2c("bob").unread for device in devices):
            await devices[1].c2c("bob").coverage()
    for device, watch in zip(devices, watches, strict=True):
        assert len(watch.messages) == 1000
        assert (await device.c2c("bob").coverage()).intervals == ((1, 1000),)
        await device.close()


async def login(client: Client) -> None:
    """As a user's program would: again, when the first try is cut."""
    while True:
        try:
            return await client.login()
        except TimimError:
            await asyncio.sleep(0.05)


async def test_r9_a_send_that_is_cancelled_at_any_moment_is_stored_once_or_never(server: RunningServer, tmp_path: Path) -> None:
    await server.add_users("bob")
    messages: list[Message] = []
    async with no_task_leaks(action="raise"):
        async with server.client("alice", data_dir=tmp_path) as alice:
            for steps in range(60):
                message = Message(f"{steps}")
                messages.append(message)
                sending = asyncio.create_task(alice.c2c("bob").send(message))
                for _ in range(steps):
                    await asyncio.sleep(0)
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            await alice.c2c("bob").send("last")
    async with server.client("bob") as bob:
        stored = [m.text async for m in bob.c2c("alice").history(oldest_first=True)]
    succeeded = [m.text for m in messages if m.status is MessageStatus.SUCCEEDED]
    assert stored == [*succeeded, "last"]
    assert len(set(stored)) == len(stored)
    assert all(m.status in (MessageStatus.SUCCEEDED, MessageStatus.FAILED, None) for m in messages)
