"""Tests of R5, R6 and lost pushes: network faults lose, repeat or reorder no message."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest

from tests.support.client_processes import client_processes
from timim import Client, ConnectionFailed, HistoryReset, MessageStatus, TimimError
from timim.engine.inbox import Inbox
from timim.ids import ConversationKey
from timim.local_store.meta import MetaTable
from timim.local_store.types import IngestBatch
from timim.protocol.coverage import Interval
from timim.protocol.entries import Entry
from timim.protocol.messages import SEND_C2C
from timim.testing import EventRecorder, LocalServer, local_server
from timim.transport.websocket import Link

T = TypeVar("T")
TIMEOUT_S = 1.0  # for one request; a lost frame costs this time


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    async with local_server(hello_interval_s=2) as running:
        yield running


@contextmanager
def no_gap_repair() -> Iterator[None]:
    """Patch clients so that they take the pushed messages for the whole history: they fetch no gap and do not compare."""

    async def trust(self: Inbox, key: ConversationKey, entries: dict[int, Entry | None], last: int) -> IngestBatch | None:
        head = await self._delivered_seq(key, min(entries, default=last))
        if last <= head:
            return None
        from timim.engine.decoding import decode_message

        incoming = [decode_message(e, self._user_id) for s, e in sorted(entries.items()) if s > head and e is not None]
        return IngestBatch(key, incoming, [Interval(head + 1, last)], live=True, delivered_seq=last, last_seq=last)

    async def compare_nothing(self: Inbox, epoch: str) -> None:
        pass

    with patch.object(Inbox, "_live_batch", trust), patch.object(Inbox, "sync", compare_nothing):
        yield


@pytest.mark.requirement("R3")
async def test_a_client_that_repairs_no_gap_is_detected(server: LocalServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("bob", data_dir=tmp_path) as bob:
        watch = EventRecorder(bob)
        with no_gap_repair():
            lost = server.faults.drop(user="bob", direction="down")
            await alice.c2c("bob").send("lost on the way")
            await lost.happened()
            await alice.c2c("bob").send("arrives")
            await watch.wait_for_message(lambda m: m.text == "arrives")
        assert [m.text for m in watch.messages] == ["arrives"]


async def test_a_lost_push_is_noticed_at_the_next_heartbeat(server: LocalServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("bob", data_dir=tmp_path) as bob:
        watch = EventRecorder(bob)
        server.faults.drop(user="bob", direction="down")
        await alice.c2c("bob").send("lost on the way")
        assert [m.text for m in await watch.wait_for_messages(1)] == ["lost on the way"]


async def test_a_lost_push_is_repaired_by_the_next(server: LocalServer, tmp_path: Path) -> None:
    async with server.client("alice") as alice, server.client("bob", data_dir=tmp_path) as bob:
        watch = EventRecorder(bob)
        lost = server.faults.drop(user="bob", direction="down")
        await alice.c2c("bob").send("lost on the way")
        await lost.happened()
        await alice.c2c("bob").send("arrives")
        assert [m.text for m in await watch.wait_for_messages(2)] == ["lost on the way", "arrives"]


@pytest.mark.requirement("R3")
async def test_a_message_survives_any_number_of_cuts(server: LocalServer) -> None:
    await server.add_users("bob")
    async with server.client("alice", timeout=TIMEOUT_S, reconnect_limit=0.01) as alice:
        await alice.c2c("bob").send("before")
        cuts = server.faults.cut(user="alice", direction="up", times=25)
        sent = await alice.c2c("bob").send("after all")
        assert (sent.status, sent.seq) == (MessageStatus.SUCCEEDED, 2)
        assert cuts.done == 25


@pytest.mark.requirement("R3")
async def test_a_connection_that_ends_during_a_send_does_not_fail_the_message(server: LocalServer) -> None:
    start = Link.start
    ended = 0

    def ends(self: Link, request: Any, *given: Any, timeout_s: float) -> int:
        nonlocal ended
        if request.name == SEND_C2C.name and ended < 12:
            ended += 1
            raise ConnectionFailed("the link has just ended")
        return start(self, request, *given, timeout_s=timeout_s)

    await server.add_users("bob")
    async with server.client("alice") as alice:
        with patch.object(Link, "start", ends):
            sent = await alice.c2c("bob").send("after all")
    assert (sent.status, ended) == (MessageStatus.SUCCEEDED, 12)


SCRIPT_MESSAGES = 8


async def script(server: LocalServer, me: str, peer: str, folder: Path) -> None:
    """Send, receive, read back and mark as read, and check that no message is lost or repeated."""
    alice, bob = (
        server.client(me, data_dir=folder, timeout=TIMEOUT_S, reconnect_limit=TIMEOUT_S),
        server.client(peer, timeout=TIMEOUT_S, reconnect_limit=TIMEOUT_S),
    )
    watch = EventRecorder(bob)
    heard = EventRecorder(alice)
    await login(alice)
    async with alice, bob:
        for i in range(SCRIPT_MESSAGES):
            await alice.c2c(peer).send(f"to {i}")
            await bob.c2c(me).send(f"from {i}")
        assert [m.text for m in await heard.wait_for_messages(SCRIPT_MESSAGES)] == [f"from {i}" for i in range(SCRIPT_MESSAGES)]
        assert [m.text for m in await watch.wait_for_messages(SCRIPT_MESSAGES)] == [f"to {i}" for i in range(SCRIPT_MESSAGES)]
        page = await again(lambda: alice.c2c(peer).get_messages(100))
        assert sorted(m.seq for m in page) == list(range(1, 2 * SCRIPT_MESSAGES + 1))
        await again(alice.c2c(peer).mark_read)
        assert (await alice.c2c(peer).coverage()).intervals == ((1, 2 * SCRIPT_MESSAGES),)
    assert len(heard.messages) == len(watch.messages) == SCRIPT_MESSAGES


async def again(ask: Callable[[], Awaitable[T]]) -> T:
    """Repeat a request until it succeeds, at most six times. A cut connection may fail it."""
    for _ in range(5):
        try:
            return await ask()
        except TimimError:
            await asyncio.sleep(0.05)
    return await ask()


@pytest.mark.requirement("R5")
async def test_a_cut_at_every_frame_of_a_conversation_loses_nothing(server: LocalServer, tmp_path: Path, seed: int) -> None:
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


@pytest.mark.requirement("R5")
async def test_a_device_with_a_stale_position_gets_exactly_the_missing_messages(
    server: LocalServer, tmp_path: Path, seed: int
) -> None:
    """Test copies of a device's folder from different times, resumed in random order: each gets exactly the later messages."""
    rng = random.Random(seed)
    await server.add_users("alice")
    texts: list[str] = []
    copies: list[tuple[int, Path]] = []
    async with server.client("bob") as bob:
        for i in range(8):
            device = server.client("alice", data_dir=tmp_path / "device")
            async with device:
                pass
            copies.append((len(texts), tmp_path / f"copy {i}"))
            await asyncio.to_thread(shutil.copytree, tmp_path / "device", copies[-1][1])
            new = [f"{i} {n}" for n in range(rng.randrange(1, 12))]
            await asyncio.gather(*(bob.c2c("alice").send(text) for text in new))
            texts += new
    rng.shuffle(copies)
    for had, folder in copies:
        device = server.client("alice", data_dir=folder)
        watch = EventRecorder(device)
        async with device:
            assert [m.text for m in await watch.wait_for_messages(len(texts) - had)] == texts[had:]
            page = await device.c2c("bob").get_messages(1000)
            assert [m.text for m in reversed(page)] == texts
            assert (await device.c2c("bob").coverage()).intervals == ((1, len(texts)),)
        assert len(watch.messages) == len(texts) - had


async def resume_in_another_epoch(server: LocalServer, folder: Path) -> tuple[list[str], list[str], int]:
    """Restore the server from a copy. Return alice's history, the server's history, and the number of HistoryReset events."""
    await server.add_users("alice", "bob")
    async with server.client("alice", data_dir=folder / "alice"), server.client("bob") as bob:
        await bob.c2c("alice").send("in both")
    await server.stop()
    await asyncio.to_thread(shutil.copytree, server.folder, folder / "copy")
    await server.start()
    async with server.client("alice", data_dir=folder / "alice") as alice, server.client("bob") as bob:
        for text in ("lost 1", "lost 2"):
            await bob.c2c("alice").send(text)
        await alice.c2c("bob").get_messages(10)
    await server.stop()
    await asyncio.to_thread(shutil.rmtree, server.folder)
    await asyncio.to_thread(shutil.copytree, folder / "copy", server.folder)
    await asyncio.to_thread(another_epoch, server.folder / "timim.db")
    await server.start()
    async with server.client("bob") as bob:  # seqs 2 to 4 are other messages now
        for text in ("other 1", "other 2", "other 3"):
            await bob.c2c("alice").send(text)
    alice = server.client("alice", data_dir=folder / "alice")
    watch = EventRecorder(alice, HistoryReset)
    async with alice, server.client("alice") as fresh:
        shown = [m.text async for m in alice.c2c("bob").history(oldest_first=True) if m.seq]
        there = [m.text async for m in fresh.c2c("bob").history(oldest_first=True)]
    return shown, there, len(watch.events)


def another_epoch(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE meta SET value='another' WHERE key='epoch'")
    connection.close()


@pytest.mark.requirement("R5")
async def test_in_another_epoch_the_servers_history_is_shown_and_the_user_notified(server: LocalServer, tmp_path: Path) -> None:
    shown, there, told = await resume_in_another_epoch(server, tmp_path)
    assert shown == there == ["in both", "other 1", "other 2", "other 3"]
    assert told == 1


@pytest.mark.requirement("R5")
async def test_a_client_that_ignores_the_epoch_is_detected(server: LocalServer, tmp_path: Path) -> None:
    async def never(self: MetaTable, epoch: str) -> bool:
        return False

    with patch.object(MetaTable, "enter_epoch", never):
        shown, there, told = await resume_in_another_epoch(server, tmp_path)
    assert (shown == there, told) != (True, 1)


DEVICES = "xyz"


async def drain(
    server: LocalServer, folder: Path, seed: int, **options: Any
) -> tuple[list[str], dict[str, list[tuple[int, str]]]]:
    """Receive 1,000 messages on three devices of alice that are killed meanwhile.

    Returns the sent texts, and for each device the messages that were delivered to its handler.
    """
    rng = random.Random(seed)
    texts = [str(i) for i in range(1000)]
    await server.add_users("alice")
    for name in DEVICES:
        async with server.client("alice", data_dir=folder / name):
            pass
    async with server.client("bob") as bob:
        await asyncio.gather(*(bob.c2c("alice").send(text) for text in texts))
    thrown: dict[str, list[tuple[int, str]]] = {}
    async with client_processes() as clients, server.faults.chaos(seed, rate=0.3, kinds=("cut", "split")):

        async def one(name: str) -> None:
            runs = []
            for enough in sorted(rng.randrange(1, 900) for _ in range(KILLS)):
                runs.append(await clients.start("receive", server, "alice", folder / name, **options))
                await runs[-1].until(lambda said, enough=enough: len(said) > enough or said[-1][0] == "online")  # type: ignore[misc]
                await runs[-1].kill()
            runs.append(await clients.start("receive", server, "alice", folder / name, **options))
            await runs[-1].hear("online")
            thrown[name] = [(seq, text) for run in runs for word, *rest in run.said if word == "new" for _, seq, text in [rest]]

        await asyncio.gather(*(one(name) for name in DEVICES))
    return texts, thrown


KILLS = 3


@pytest.mark.timeout(120)
@pytest.mark.requirement("R6")
async def test_every_device_gets_each_missed_message_once_and_in_order_through_kills(
    server: LocalServer, tmp_path: Path, seed: int
) -> None:
    texts, thrown = await drain(server, tmp_path, seed)
    numbered = list(enumerate(texts, 1))
    for name in DEVICES:
        assert thrown[name] == sorted(set(thrown[name])), "each message must be delivered once and in order"
        assert set(thrown[name]) <= set(numbered)
    devices = [server.client("alice", data_dir=tmp_path / name) for name in DEVICES]
    for device in devices:
        await login(device)
        while device.c2c("bob").sync_error is not None:  # noqa: ASYNC110  not answered in time; the client tries again
            await asyncio.sleep(0.05)
        held = [(m.seq, m.text) async for m in device.c2c("bob").history(oldest_first=True)]
        assert held == numbered
        assert (await device.c2c("bob").coverage()).intervals == ((1, 1000),)
    await devices[0].c2c("bob").mark_read()
    async with asyncio.timeout(20):
        while any(device.c2c("bob").unread for device in devices):
            await devices[1].c2c("bob").coverage()
    for device in devices:
        await device.close()


@pytest.mark.timeout(120)
@pytest.mark.requirement("R6")
async def test_a_device_that_delivers_before_it_stores_is_detected(server: LocalServer, tmp_path: Path, seed: int) -> None:
    _, thrown = await drain(server, tmp_path, seed, mutant="throws early")
    assert any(len(thrown[name]) != len(set(thrown[name])) for name in DEVICES)


async def login(client: Client) -> None:
    """Log in, and retry as a user's program would if the connection is cut."""
    while True:
        try:
            return await client.login()
        except TimimError:
            await asyncio.sleep(0.05)
