"""R3, R5, R6, R9: nothing is lost, repeated or out of order, whatever the network and the server do meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import pytest
from pyleak import no_task_leaks

from timim import Client, Message, MessageStatus, TimimError
from timim.engine.inbox import Inbox
from timim.ids import ConversationKey
from timim.rows import Batch
from timim.testing import RunningServer, Watch, running_server
from timim.wire.coverage import Interval
from timim.wire.entries import Entry

T = TypeVar("T")
MUTANTS = Path(__file__).parent / "mutants"
TIMEOUT_S = 1.0  # of one request: what a lost message costs


@dataclass
class Storm:
    """What was sent, what the receiver was thrown, and what a new device finds, of each sender."""

    sent: dict[str, list[str]]
    thrown: dict[str, list[tuple[int, str]]]
    stored: dict[str, list[tuple[int, str]]]
    faults: int
    proven: bool


async def storm(
    server: RunningServer, folder: Path, seed: int, *, senders: int, each: int, rate: float, crashes: int, wait_s: float = 40
) -> Storm:
    rng = random.Random(seed)
    names = [f"s{i}" for i in range(senders)]
    await server.add_users("bob", *names)
    bob = server.client("bob", data_dir=folder / "bob", timeout=TIMEOUT_S, reconnect_limit=TIMEOUT_S)
    watch = Watch(bob)
    clients = [server.client(name, data_dir=folder / name, timeout=TIMEOUT_S, reconnect_limit=TIMEOUT_S) for name in names]
    sent = {name: [f"{name} {i}" for i in range(each)] for name in names}
    async with bob, asyncio.timeout(wait_s):
        await asyncio.gather(*(client.login() for client in clients))
        try:
            async with server.faults.chaos(seed, rate=rate) as counts:
                sending = asyncio.gather(*(send_all(client, sent[client.user_id]) for client in clients))
                for _ in range(crashes):
                    more = rng.randrange(each * senders // (crashes + 2))
                    await watch.upto(min(len(watch.messages) + more, each * senders))
                    await server.crash()
                    await server.start()
                await sending
            await watch.upto(senders * each)
        finally:
            await asyncio.gather(*(client.close() for client in clients))
        known = [await bob.c2c(name).coverage() for name in names]
    thrown: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for message in watch.messages:
        thrown[message.sender].append((message.seq, message.text))
    async with server.client("bob") as fresh:
        stored = {name: [(m.seq, m.text) async for m in fresh.c2c(name).history(oldest_first=True)] for name in names}
    proven = all(k.intervals == ((1, each),) and k.complete for k in known)
    return Storm(sent, thrown, stored, sum(counts.values()), proven)


async def send_all(client: Client, texts: Sequence[str]) -> None:
    slots = asyncio.Semaphore(20)

    async def one(text: str) -> None:
        try:
            await client.c2c("bob").send(text)
        finally:
            slots.release()

    async with asyncio.TaskGroup() as tasks:
        for text in texts:
            await slots.acquire()
            tasks.create_task(one(text))


def hold(storm: Storm) -> None:
    """The promise."""
    for name, texts in storm.sent.items():
        numbered = list(enumerate(texts, 1))
        assert storm.stored[name] == numbered, f"stored of {name}"
        assert storm.thrown[name] == numbered, f"thrown of {name}"
    assert storm.proven


@pytest.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(hello_interval_s=2) as running:
        yield running


async def test_r3_nothing_is_lost_repeated_or_out_of_order(server: RunningServer, tmp_path: Path, seed: int) -> None:
    result = await storm(server, tmp_path, seed, senders=10, each=60, rate=0.3, crashes=2)
    hold(result)
    assert result.faults > 20


@pytest.mark.soak
@pytest.mark.parametrize("round", range(50))
async def test_r3_for_long(server: RunningServer, tmp_path: Path, seed: int, round: int) -> None:
    result = await storm(server, tmp_path, seed + round, senders=10, each=400, rate=0.2, crashes=4, wait_s=600)
    hold(result)
    print(f"round {round}: 4000 messages, {result.faults} faults, 4 crashes")


async def test_r3_a_server_that_knows_no_resend_is_found_out(tmp_path: Path, seed: int) -> None:
    async with running_server(data_dir=tmp_path / "server", hello_interval_s=2) as server:
        server.program = (str(MUTANTS / "no_dedupe.py"),)
        await server.restart()
        with pytest.raises((AssertionError, TimeoutError)):
            hold(await storm(server, tmp_path, seed, senders=4, each=40, rate=0.4, crashes=1, wait_s=15))


@contextmanager
def no_gap_repair() -> Iterator[None]:
    """A client that takes what is pushed for all there is."""

    async def trust(self: Inbox, key: ConversationKey, entries: dict[int, Entry | None], last: int) -> Batch | None:
        head = await self._head(key, min(entries, default=last))
        if last <= head:
            return None
        from timim.engine.inbox import incoming_of

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
